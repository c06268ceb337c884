"""Where a run is to be stopped: breakpoints, watchpoints, and the conditions on both.

A watchpoint sees what instructions access, and notices by its content what others write: the scrub engine, the guest
engine, the processor when it delivers an interrupt.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.events import Event

Condition = Callable[[Any], bool]
"""Asked of the session, where the run is."""


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """Stops in front of the instruction at a linear address, where `when` holds."""

    address: int
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Watchpoint:
    """Stops behind what reads or writes one of some bytes of physical memory, where `when` holds."""

    where: range
    reads: bool
    writes: bool
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run has stopped."""

    position: Position
    why: Breakpoint | Watchpoint | None
    """None at the end of the run, or at a limit."""


@dataclass(frozen=True, slots=True)
class Write:
    """The last change of some bytes before a moment."""

    position: Position
    """Behind the write."""
    rip: int | None
    """Of the instruction that wrote; None where it was none."""
    by: str
    """In words."""

    def __str__(self) -> str:
        return f"last written at {self.position} by {self.by}"


class Watching:
    """Notices accesses to ranges while a timeline runs, and stops it behind them."""

    def __init__(self, timeline: Timeline[Any], points: list[Watchpoint]) -> None:
        self._timeline = timeline
        self._points = points
        self._contents = [self._content(point) for point in points]
        self.hit: Watchpoint | None = None
        self.rip: int | None = None
        """Of the instruction that made the access, or None."""

    def _content(self, point: Watchpoint) -> bytes:
        return self._timeline.machine.ram.read(point.where.start, len(point.where))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """While it is, accesses are noticed."""
        cpu = self._timeline.machine.cpu
        ends = [cpu.watch_memory(point.where, self._seer(point)) for point in self._points]
        try:
            yield
        finally:
            for end in ends:
                end()

    def _seer(self, point: Watchpoint) -> Callable[[bool, int, int], None]:
        machine = self._timeline.machine

        def seen(writes: bool, _address: int, _size: int) -> None:
            if point.writes if writes else point.reads:
                self.hit, self.rip = point, machine.cpu.hook.last
                self._timeline.interrupt()

        return seen

    def changed(self, _event: Event | None = None) -> bool:
        """Whether content has changed, by whomever, since the last look: asked at every event, and at every stop."""
        for index, point in enumerate(self._points):
            content = self._content(point)
            if content != self._contents[index]:
                self._contents[index] = content
                if point.writes and self.hit is None:
                    self.hit, self.rip = point, None
        return self.hit is not None

    def forget(self) -> None:
        """What was noticed has been dealt with."""
        self.hit = self.rip = None
        self._contents = [self._content(point) for point in self._points]


def checked_range(base: int, size: int, ram_bytes: int) -> range:
    """A range of physical memory to watch. Raises ConfigurationError for one that is none."""
    if size < 1 or base < 0 or base + size > ram_bytes:
        raise ConfigurationError(f"{size} bytes at {base:#x} cannot be watched; RAM ends at {ram_bytes - 1:#x}")
    return range(base, base + size)
