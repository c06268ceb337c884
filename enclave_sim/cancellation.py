"""Cancellation of what takes long on the host: running to a goal, searching, letting a guest catch up.

A token is made once, and handed to all that may take long when that is constructed; nobody replaces it later. An
operation polls its token at checkpoints: places where it can end and leave everything whole, so that the same thing can
be asked for again. At a checkpoint `Cancelled` is raised once somebody has cancelled the token, or a source says so.

The machine has no token. What stops it between two instructions, a `HostLimit` or a signal of the host, ends `run` with
an outcome or after it; both are looked at by the machine itself, far more often than there are checkpoints here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Source = Callable[[], bool]
"""Asked at every checkpoint, in the thread that does the work: True cancels. What it raises is raised there."""


class Cancelled(Exception):  # noqa: N818 - not an error
    """The operation was cancelled at a checkpoint."""


class Cancellation:
    """A token that is shared by those who work and those who may want the work to end."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources
        self._cancelled = False

    def cancel(self) -> None:
        """Have every checkpoint from now on raise Cancelled. May be called from any thread."""
        self._cancelled = True

    def poll(self) -> None:
        """Be at a checkpoint. Raises Cancelled, or what a source raises."""
        if self._cancelled:
            raise Cancelled
        for source in self._sources:
            if source():
                raise Cancelled

    @contextmanager
    def asking(self, source: Source) -> Iterator[None]:
        """A scope in which `source` is asked, too: for somebody who is there for one operation only."""
        before = self._sources
        self._sources = (*before, source)
        try:
            yield
        finally:
            self._sources = before
