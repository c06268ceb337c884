"""A limit in seconds of host time, for tests and campaigns: the time that the caller is willing to wait.

    with HostLimit(10):
        outcome = machine.run()     # Outcome.HOST_LIMIT, if 10 s were not enough

The limit is not part of the machine's state. The place where it stops a run depends only on the host, and the run can
continue from there as if it had not been stopped.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from time import monotonic
from types import MappingProxyType

from machine.errors import MachineError

Clock = Callable[[], float]
"""A clock, in seconds."""
_deadlines: ContextVar[Mapping[Clock, float]] = ContextVar("_deadlines", default=MappingProxyType({}))
"""The earliest end of the limits on each clock. Each thread and task has its own."""


class HostLimit:
    """A context in which machines run for a limited host time. Contexts nest: the earliest end counts.

    The machine checks the clock between two instructions, several times a second. Longer work in Python, such as
    compiling a payload, is not interrupted.

    Args:
        seconds: The limit in host seconds, more than 0.
        clock: The clock that counts them; None for that of the host. `time.process_time` limits processor time, which
            a busy host does not shorten.

    Raises:
        MachineError: `seconds` is not more than 0.
    """

    def __init__(self, seconds: float, clock: Clock | None = None) -> None:
        if not seconds > 0:
            raise MachineError(f"a host limit of {seconds} s leaves no time; it must be more than 0")
        self.seconds = seconds
        self._clock = monotonic if clock is None else clock
        self._before: Token[Mapping[Clock, float]] | None = None

    def __enter__(self) -> "HostLimit":
        outer, ends = _deadlines.get(), self._clock() + self.seconds
        self._before = _deadlines.set({**outer, self._clock: min(ends, outer.get(self._clock, ends))})
        return self

    def __exit__(self, *_error: object) -> None:
        if self._before is not None:
            _deadlines.reset(self._before)


def is_limited() -> bool:
    """Report whether there is a limit."""
    return bool(_deadlines.get())


def is_reached() -> bool:
    """Report whether the limit is reached."""
    return any(clock() >= ends for clock, ends in _deadlines.get().items())
