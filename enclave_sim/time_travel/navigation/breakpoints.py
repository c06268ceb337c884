"""Breakpoints, watchpoints, and the conditions on both.

A watchpoint sees every access by an instruction. Other writes (by the scrub engine, the guest engine, the processor's
interrupt delivery) are noticed because the content changes.
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


class Watching:
    """Notices accesses to watched memory: by instructions while it is installed, other writes from changed content.

    Args:
        machine: The watched machine.
        points: The watchpoints.
        noticed: Called at each access by an instruction.
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
        self._accessed: list[tuple[Watchpoint, int]] = []
        """Accesses by instructions, each with the instruction's RIP."""
        self._changed: list[Watchpoint] = []

    @property
    def hits(self) -> list[Watchpoint]:
        """The points that were hit: first by instructions, then by changed content."""
        return [*(point for point, _ in self._accessed), *self._changed]

    @property
    def hit(self) -> Watchpoint | None:
        """The point of the last access by an instruction, or else of the first other change."""
        return self._accessed[-1][0] if self._accessed else self._changed[0] if self._changed else None

    @property
    def rip(self) -> int | None:
        """The RIP of the accessing instruction, or None."""
        return self._accessed[-1][1] if self._accessed else None

    def _content(self, point: Watchpoint) -> bytes:
        return self._machine.ram.read(point.where.start, len(point.where))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """A scope in which accesses by instructions are noticed."""
        cpu = self._machine.cpu
        points = [point for point in self._points if point.reads or self._unchanged]
        removals = [cpu.watch_memory(point.where, self._callback(point)) for point in points]
        try:
            yield
        finally:
            for remove in removals:
                remove()

    def _callback(self, point: Watchpoint) -> Callable[[bool, int, int], None]:
        def accessed(writes: bool, _address: int, _size: int) -> None:
            if point.writes if writes else point.reads:
                self._accessed.append((point, self._machine.cpu.hook.last))
                self._noticed()

        return accessed

    def changed(self, _event: Event | None = None) -> bool:
        """Compare the contents with those at the last call. Call it at every event and at every stop.

        Returns:
            True if anything has been noticed so far, by an instruction or by a change.
        """
        for index, point in enumerate(self._points):
            content = self._content(point)
            if content != self._contents[index]:
                self._contents[index] = content
                if point.writes:
                    self._changed.append(point)
        return self.hit is not None

    def forget(self) -> None:
        """Forget what was noticed, and treat the current contents as unchanged."""
        self._accessed.clear()
        self._changed.clear()
        self._contents = [self._content(point) for point in self._points]


def checked_range(base: int, size: int, ram_bytes: int) -> range:
    """Return a range of physical memory to watch. Raises ConfigurationError if it is empty or not all in RAM."""
    if size < 1 or base < 0 or base + size > ram_bytes:
        raise ConfigurationError(f"{size} bytes at {base:#x} cannot be watched; RAM ends at {ram_bytes - 1:#x}")
    return range(base, base + size)
