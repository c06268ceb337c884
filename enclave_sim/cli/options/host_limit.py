"""The option `--host-limit`: its syntax, and the scope in which it holds. It imports little, since `boot` uses it."""

from contextlib import AbstractContextManager, nullcontext

from enclave_sim.cli.command import MACHINE, option
from enclave_sim.cli.options.types import Parsed
from enclave_sim.errors import ConfigurationError
from enclave_sim.times import nanoseconds
from machine.host_limit import HostLimit


def seconds(text: str) -> float:
    """Parse a length of host time. Return it in seconds. Raises ConfigurationError for other texts."""
    time = nanoseconds(text, None)
    if not time:
        raise ConfigurationError(f"{text!r} is not a time above 0, such as 10s")
    return time / 1e9


host_limit = option(
    "--host-limit",
    type=Parsed(seconds, "time"),
    metavar="TIME",
    help="Stop the run after this much host time, such as 10s or 5min: without a result.",
    heading=MACHINE,
)


def limited(limit: float | None) -> AbstractContextManager[object]:
    """Return a scope in which a limit in seconds of host time holds; None means no limit."""
    return nullcontext() if limit is None else HostLimit(limit)
