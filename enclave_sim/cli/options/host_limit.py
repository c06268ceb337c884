"""The option `--host-limit`: its syntax, and the scope in which it holds. It imports little, since `boot` uses it."""

import re
from contextlib import AbstractContextManager, nullcontext

from enclave_sim.errors import ConfigurationError
from machine.host_limit import HostLimit

HELP = "Stop the run after this much host time, such as 10s or 5min: without a result."
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_TIME = re.compile(rf"([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?) ?({'|'.join(_UNITS)})")


def seconds(text: str) -> float:
    """Parse a length of host time. Return it in seconds. Raises ConfigurationError for other texts."""
    found = _TIME.fullmatch(text)
    value = 0.0 if found is None else float(found[1]) * _UNITS[found[2]]
    if not value:
        raise ConfigurationError(f"{text!r} is not a time with a unit ({', '.join(_UNITS)}) above 0, such as 10s")
    return value


def limited(limit: float | None) -> AbstractContextManager[object]:
    """Return a scope in which a limit in seconds of host time holds; None means no limit."""
    return nullcontext() if limit is None else HostLimit(limit)
