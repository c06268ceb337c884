"""A limit in seconds of host time, for tests and campaigns: the time that the caller is willing to wait.

    with HostLimit(10):
        outcome = machine.run()     # Outcome.HOST_LIMIT, if 10 s were not enough

The limit is not part of the machine's state. The place where it stops a run depends only on the host, and the run can
continue from there as if it had not been stopped.
"""

from contextvars import ContextVar, Token
from time import monotonic

from machine.errors import MachineError

_deadline: ContextVar[float | None] = ContextVar("_deadline", default=None)
"""The deadline on the host's monotonic clock, in seconds. Each thread and task has its own."""


class HostLimit:
    """A context in which machines run for a limited host time. Contexts nest: the earliest end counts.

    The machine checks the clock between two instructions, several times a second. Longer work in Python, such as
    compiling a payload, is not interrupted.

    Args:
        seconds: The limit in host seconds, more than 0.

    Raises:
        MachineError: `seconds` is not more than 0.
    """

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise MachineError(f"a host limit of {seconds} s leaves no time; it must be more than 0")
        self.seconds = seconds
        self._before: Token[float | None] | None = None

    def __enter__(self) -> "HostLimit":
        ends, outer = monotonic() + self.seconds, _deadline.get()
        self._before = _deadline.set(ends if outer is None else min(ends, outer))
        return self

    def __exit__(self, *_error: object) -> None:
        if self._before is not None:
            _deadline.reset(self._before)


def is_limited() -> bool:
    """Report whether there is a limit."""
    return _deadline.get() is not None


def is_reached() -> bool:
    """Report whether the limit is reached."""
    deadline = _deadline.get()
    return deadline is not None and monotonic() >= deadline
