"""Breakpoints, watchpoints, and the conditions on both.

A watchpoint sees every access by an instruction, and every write by a device, by an input, or by the processor that
names itself (`machine.bus.writer`). The other writes are noticed because the content changes: stores of a guest that
the host executes, and accessed and dirty flags set by Unicorn.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel.position import Position
from machine.bus.writer import Seen, Writer
from machine.events import Event
from machine.machine import Machine

Condition = Callable[[Any], bool]
"""Called with the session, at the position of the hit."""


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """Stops before the instruction at a linear address, if `when` holds."""

    address: int
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Watchpoint:
    """Stops after a read or write of any byte in a range of physical memory, if `when` holds."""

    where: range
    reads: bool
    writes: bool
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The position at which a run stopped, and the reason."""

    position: Position
    why: Breakpoint | Watchpoint | None
    """The point that was hit; None at the end or the beginning of the run, or at a limit."""


@dataclass(frozen=True, slots=True)
class WatchedAccess:
    """An access to watched memory that was seen as it happened."""

    point: Watchpoint
    rip: int | None
    """The RIP of the instruction; None for another writer."""
    by: Writer | None
    """The writer; None for an instruction."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of watched memory that was noticed by comparing the content."""

    point: Watchpoint
    before: bytes
    """The content before."""
    since_ns: int
    """The virtual time (ns) at which it still had that content."""


class Watching:
    """Notices accesses to watched memory: as they happen while it is installed, other writes from changed content.

    Args:
        machine: The watched machine.
        points: The watchpoints.
        noticed: Called at each access that is seen as it happens.
        unchanged: False to ignore writes that change nothing, for points that watch only writes. No instruction is
        instrumented for such a point, which is much faster.
    """

    def __init__(
        self,
        machine: Machine,
        points: Sequence[Watchpoint],
        noticed: Callable[[], None] = lambda: None,
        *,
        unchanged: bool = True,
    ) -> None:
        self._machine = machine
        self._points = points
        self._noticed = noticed
        self._unchanged = unchanged
        self._contents = [self._content(point) for point in points]
        self._accessed: list[WatchedAccess] = []
        self._changed: list[Change] = []
        self._compared_ns = machine.clock.now_ns
        self._paused = False

    @property
    def hits(self) -> list[Watchpoint]:
        """The points that were hit: first those seen as it happened, then by changed content."""
        return [*(access.point for access in self._accessed), *(change.point for change in self._changed)]

    @property
    def hit(self) -> Watchpoint | None:
        """The point of the last access, or else of the first other change."""
        return self._accessed[-1].point if self._accessed else self._changed[0].point if self._changed else None

    @property
    def access(self) -> WatchedAccess | None:
        """The last access that was seen as it happened, or None."""
        return self._accessed[-1] if self._accessed else None

    @property
    def change(self) -> Change | None:
        """The first change that nothing explains; None if an access was seen."""
        return self._changed[0] if self._changed and not self._accessed else None

    def _content(self, point: Watchpoint) -> bytes:
        return self._machine.ram.read(point.where.start, len(point.where))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """A scope in which accesses are noticed as they happen."""
        cpu, ram = self._machine.cpu, self._machine.ram
        points = [point for point in self._points if point.reads or self._unchanged]
        removals = [cpu.watch_memory(point.where, self._callback(point), reads=point.reads) for point in points]
        removals += [ram.watch(point.where, self._written(point)) for point in points if point.writes]
        try:
            yield
        finally:
            for remove in removals:
                remove()

    def _callback(self, point: Watchpoint) -> Callable[[bool, int, int], None]:
        def accessed(writes: bool, _address: int, _size: int) -> None:
            if point.writes if writes else point.reads:
                self._note(WatchedAccess(point, self._machine.cpu.hook.last, None))

        return accessed

    def _written(self, point: Watchpoint) -> Seen:
        def written(by: Writer, _base: int, _size: int) -> None:
            self._note(WatchedAccess(point, None, by))

        return written

    def _note(self, access: WatchedAccess) -> None:
        if not self._paused:
            self._accessed.append(access)
            self._noticed()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A scope in which nothing is noticed."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def changed(self, _event: Event | None = None) -> bool:
        """Compare the contents with those at the last call. Call it at every event and at every stop.

        Returns:
            True if anything has been noticed so far.
        """
        for index, point in enumerate(self._points):
            content = self._content(point)
            if content != self._contents[index]:
                if point.writes:
                    self._changed.append(Change(point, self._contents[index], self._compared_ns))
                self._contents[index] = content
        self._compared_ns = self._machine.clock.now_ns
        return self.hit is not None

    def forget(self) -> None:
        """Forget what was noticed, and treat the current contents as unchanged."""
        self._accessed.clear()
        self._changed.clear()
        self._contents = [self._content(point) for point in self._points]
        self._compared_ns = self._machine.clock.now_ns


def checked_range(base: int, size: int, ram_bytes: int) -> range:
    """Return a range of physical memory to watch. Raises ConfigurationError if it is empty or not all in RAM."""
    if size < 1 or base < 0 or base + size > ram_bytes:
        raise ConfigurationError(f"{size} bytes at {base:#x} cannot be watched; RAM ends at {ram_bytes - 1:#x}")
    return range(base, base + size)
