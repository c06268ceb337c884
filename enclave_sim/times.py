"""Parsing times: `1.5 ms`, or a number in a default unit."""

import re

from enclave_sim.errors import ConfigurationError

UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
"""Nanoseconds of each unit."""
_MICRO = str.maketrans("\u00b5\u03bc", "uu")
"""The micro sign and the Greek letter."""
_TIME = re.compile(rf"(0[xX][0-9a-fA-F_]{{1,20}}|([0-9][0-9_,]{{0,30}})(?:\.([0-9]{{1,20}}))?) *({'|'.join(UNITS)})?")


def nanoseconds(text: str, unit: str | None = "ns") -> int:
    """Convert a text to nanoseconds, exactly.

    Args:
        text: A number with a unit, such as `1ms` or `2.5 s`. Underscores and commas may group its digits.
        unit: The default unit; None if the text must have a unit.

    Returns:
        The time in nanoseconds.

    Raises:
        ConfigurationError: The text is not a time, or is not a whole number of nanoseconds.
    """
    found = _TIME.fullmatch(text.strip().translate(_MICRO))
    named = None if found is None else found[4] or unit
    if found is None or named is None:
        bare = "it needs a unit" if unit is None else f"without a unit it is in {unit}"
        raise ConfigurationError(
            f"{text!r} is not a time such as 10s or 1.5ms; units are {', '.join(UNITS)}, and {bare}"
        )
    if found[2] is None:
        return int(found[1], 16) * UNITS[named]
    fraction = found[3] or ""
    digits = int(re.sub("[_,]", "", found[2]) + fraction)
    time, rest = divmod(digits * UNITS[named], 10 ** len(fraction))
    if rest:
        raise ConfigurationError(f"{text!r} is not a whole number of nanoseconds")
    return int(time)


def short(time: int) -> str:
    """Format a time in nanoseconds in the largest unit that keeps it whole, such as `10ms`."""
    unit = max((unit for unit in UNITS if time % UNITS[unit] == 0), key=UNITS.__getitem__) if time else "ns"
    return f"{time // UNITS[unit]}{unit}"
