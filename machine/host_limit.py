"""A limit in seconds of the host, for tests and campaigns: how long somebody is ready to wait.

    with HostLimit(10):
        outcome = machine.run()     # Outcome.HOST_LIMIT, if 10 s were not enough

Nothing of the machine knows of it. Where the limit stops a run says something of the host and nothing of the run, which
can go on from there as if it had not been stopped.
"""

from contextvars import ContextVar, Token
from time import monotonic

from machine.errors import MachineError

_deadline: ContextVar[float | None] = ContextVar("_deadline", default=None)
"""When the host's clock says so. Of this thread."""


class HostLimit:
    """A scope in which machines run for so many seconds at most. Scopes nest: the one that ends first counts.

    The machine looks at the clock between two instructions, some times a second; what Python does in one go, such as
    compiling a payload, is not cut short. Raises MachineError unless `seconds` is more than 0.
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
    """Whether there is a limit."""
    return _deadline.get() is not None


def is_reached() -> bool:
    """Whether the limit is reached."""
    deadline = _deadline.get()
    return deadline is not None and monotonic() >= deadline
