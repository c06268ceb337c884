"""The option `--host-limit`: its syntax, and the scope of the limit. It imports little, because `boot` uses it."""

from contextlib import AbstractContextManager, nullcontext

from enclave_sim.cli.command import MACHINE, option
from enclave_sim.cli.options.types import Parsed
from enclave_sim.errors import ConfigurationError
from enclave_sim.times import nanoseconds
from machine.host_limit import HostLimit


def seconds(text: str) -> float:
    """Parse a host time. Return it in seconds. Raises ConfigurationError if it is invalid."""
    time = nanoseconds(text, None)
    if not time:
        raise ConfigurationError(f"{text!r} is not a time above 0, such as 10s")
    return time / 1e9


host_limit = option(
    "--host-limit",
    type=Parsed(seconds, "time"),
    metavar="TIME",
    help="Stop the run, without a result, after this much host time, such as 10s or 5min.",
    heading=MACHINE,
)


def limited(limit: float | None) -> AbstractContextManager[object]:
    """Return a scope with a limit of host time in seconds; None means no limit."""
    return nullcontext() if limit is None else HostLimit(limit)
