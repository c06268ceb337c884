"""gdb's breakpoints and watchpoints, implemented by those of a session.

Breakpoints do not change code, so software and hardware breakpoints are the same.
"""

from enum import IntEnum
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.gdb.memory import place_of
from enclave_sim.time_travel.navigation.breakpoints import Breakpoint, Watchpoint
from enclave_sim.time_travel.travel import Travel

MAX_WATCHED = 4096
"""The maximum size of a watchpoint in bytes."""


class PointKind(IntEnum):
    """The number after `Z` and `z`."""

    SOFTWARE_BREAKPOINT = 0
    HARDWARE_BREAKPOINT = 1
    WRITE_WATCHPOINT = 2
    READ_WATCHPOINT = 3
    ACCESS_WATCHPOINT = 4


_REASONS = {
    PointKind.SOFTWARE_BREAKPOINT: "swbreak",
    PointKind.HARDWARE_BREAKPOINT: "hwbreak",
    PointKind.WRITE_WATCHPOINT: "watch",
    PointKind.READ_WATCHPOINT: "rwatch",
    PointKind.ACCESS_WATCHPOINT: "awatch",
}
Key = tuple[PointKind, int, int]


class Points:
    """The breakpoints and watchpoints of one gdb."""

    def __init__(self, session: Travel[Any]) -> None:
        self._session = session
        self._breakpoints: dict[Key, Breakpoint] = {}
        self._watchpoints: dict[Key, Watchpoint] = {}

    def insert(self, kind: PointKind, address: int, size: int) -> None:
        """Insert a point; it may already exist. Raises ConfigurationError if it is not possible."""
        key = kind, address, size
        if kind <= PointKind.HARDWARE_BREAKPOINT:
            if key not in self._breakpoints:
                self._breakpoints[key] = self._session.add_breakpoint(address)
        elif key not in self._watchpoints:
            self._watchpoints[key] = self._watch(kind, address, size)

    def _watch(self, kind: PointKind, address: int, size: int) -> Watchpoint:
        if not 1 <= size <= MAX_WATCHED:
            raise ConfigurationError(f"{size} bytes cannot be watched; 1 to {MAX_WATCHED} can")
        place = place_of(self._session.machine, address, size)
        if place is None:
            raise ConfigurationError(f"{size} bytes at {address:#x} are not mapped to one piece of RAM here")
        reads, writes = kind != PointKind.WRITE_WATCHPOINT, kind != PointKind.READ_WATCHPOINT
        return self._session.add_watchpoint(place.start, size, reads=reads, writes=writes)

    def remove(self, kind: PointKind, address: int, size: int) -> None:
        """Remove a point, if it exists."""
        key = kind, address, size
        breakpoint_, watchpoint = self._breakpoints.pop(key, None), self._watchpoints.pop(key, None)
        if breakpoint_ is not None:
            self._session.breakpoints.remove(breakpoint_)
        if watchpoint is not None:
            self._session.watchpoints.remove(watchpoint)

    def clear(self) -> None:
        """Remove all points."""
        for key in (*self._breakpoints, *self._watchpoints):
            self.remove(*key)

    def reason(self, hit: Breakpoint | Watchpoint) -> str:
        """Return the part of a stop reply that names the hit point."""
        known = self._breakpoints if isinstance(hit, Breakpoint) else self._watchpoints
        kind, address, _size = next(key for key, point in known.items() if point == hit)
        return f"{_REASONS[kind]}:{'' if isinstance(hit, Breakpoint) else f'{address:x}'}"
