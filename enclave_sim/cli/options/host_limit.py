"""The option `--host-limit`: how it is read, and the scope that it stands for. Light: `boot` stands on it."""

import re
from contextlib import AbstractContextManager, nullcontext

from enclave_sim.errors import ConfigurationError
from machine.host_limit import HostLimit

HELP = "Give the run up after so much time of the host, such as 10s or 5min: an end that says nothing of the run."
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_TIME = re.compile(rf"([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?) ?({'|'.join(_UNITS)})")


def seconds(text: str) -> float:
    """A length of time of the host, in seconds. Raises ConfigurationError for what is none."""
    found = _TIME.fullmatch(text)
    value = 0.0 if found is None else float(found[1]) * _UNITS[found[2]]
    if not value:
        raise ConfigurationError(f"{text!r} is not a time with a unit ({', '.join(_UNITS)}) above 0, such as 10s")
    return value


def limited(limit: float | None) -> AbstractContextManager[object]:
    """The scope in which a limit in seconds holds; None: none."""
    return nullcontext() if limit is None else HostLimit(limit)
