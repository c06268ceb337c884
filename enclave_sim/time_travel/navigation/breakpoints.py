"""Where a run is to be stopped: breakpoints, watchpoints, and the conditions on both.

A watchpoint sees what instructions access, and notices by its content what others write: the scrub engine, the guest
engine, the processor when it delivers an interrupt.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel.position import Position
from machine.events import Event
from machine.machine import Machine

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
class Stopped:
    """Where a run has stopped, and why."""

    position: Position
    why: Breakpoint | Watchpoint | None
    """None at the end of the run, or at a limit."""


class Watching:
    """Notices accesses to watched memory: by instructions while it is installed, by others from what has changed.

    `noticed` is called at each access by an instruction. Without `unchanged`, a write counts for a point that watches
    writes alone only if it changes the bytes; no instruction need be looked at for that, which is much faster.
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
        self._accessed: list[tuple[Watchpoint, int]] = []
        """By instructions, each with its RIP."""
        self._changed: list[Watchpoint] = []

    @property
    def hits(self) -> list[Watchpoint]:
        """What was noticed: accesses by instructions first."""
        return [*(point for point, _ in self._accessed), *self._changed]

    @property
    def hit(self) -> Watchpoint | None:
        """The last access by an instruction; else the first change by something else."""
        return self._accessed[-1][0] if self._accessed else self._changed[0] if self._changed else None

    @property
    def rip(self) -> int | None:
        """Of the instruction that made the access, or None."""
        return self._accessed[-1][1] if self._accessed else None

    def _content(self, point: Watchpoint) -> bytes:
        return self._machine.ram.read(point.where.start, len(point.where))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """A scope in which accesses by instructions are noticed."""
        cpu = self._machine.cpu
        points = [point for point in self._points if point.reads or self._unchanged]
        ends = [cpu.watch_memory(point.where, self._seer(point)) for point in points]
        try:
            yield
        finally:
            for end in ends:
                end()

    def _seer(self, point: Watchpoint) -> Callable[[bool, int, int], None]:
        def seen(writes: bool, _address: int, _size: int) -> None:
            if point.writes if writes else point.reads:
                self._accessed.append((point, self._machine.cpu.hook.last))
                self._noticed()

        return seen

    def changed(self, _event: Event | None = None) -> bool:
        """Compare contents with those of the last look; return whether anything was noticed until now.

        To be called at every event, and at every stop.
        """
        for index, point in enumerate(self._points):
            content = self._content(point)
            if content != self._contents[index]:
                self._contents[index] = content
                if point.writes:
                    self._changed.append(point)
        return self.hit is not None

    def forget(self) -> None:
        """What was noticed has been dealt with."""
        self._accessed.clear()
        self._changed.clear()
        self._contents = [self._content(point) for point in self._points]


def checked_range(base: int, size: int, ram_bytes: int) -> range:
    """A range of physical memory to watch. Raises ConfigurationError for one that is none."""
    if size < 1 or base < 0 or base + size > ram_bytes:
        raise ConfigurationError(f"{size} bytes at {base:#x} cannot be watched; RAM ends at {ram_bytes - 1:#x}")
    return range(base, base + size)
