"""Cancellation of long operations on the host: running to a goal, searching, replaying a guest.

A token is created once, and passed to the constructor of every object with long operations; it is never replaced. An
operation polls its token at checkpoints: places at which it can end in a consistent state, so that it can be requested
again. A checkpoint raises `Cancelled` if the token was cancelled, or if a source requests it.

The machine has no token. A `HostLimit` or a host signal stops it between two instructions, and ends `run` with an
outcome or an exception; the machine checks for both itself, far more often than at these checkpoints.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Source = Callable[[], bool]
"""Called at every checkpoint, in the operation's thread: True cancels. Its exceptions are raised there."""


class Cancelled(Exception):  # noqa: N818 - not an error
    """The operation was cancelled at a checkpoint."""


class Cancellation:
    """A token, shared by operations and the code that may cancel them. `sources` are polled too."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources
        self._cancelled = False

    def cancel(self) -> None:
        """Make every later checkpoint raise Cancelled. May be called from any thread."""
        self._cancelled = True

    def poll(self) -> None:
        """Raise Cancelled if the token was cancelled. Operations call this at a checkpoint. Sources may raise, too."""
        if self._cancelled:
            raise Cancelled
        for source in self._sources:
            if source():
                raise Cancelled

    @contextmanager
    def asking(self, source: Source) -> Iterator[None]:
        """Also poll `source` within a `with` statement, for the caller of a single operation."""
        before = self._sources
        self._sources = (*before, source)
        try:
            yield
        finally:
            self._sources = before
