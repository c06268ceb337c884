"""Snapshots along a run, in order, within a memory limit."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from enclave_sim.time_travel.position import Position
from machine.bus.ram import RamImage

_MOST = 512
_MAX_BYTES = 1 << 30
"""The maximum number of bytes of RAM in all snapshots."""


class KeptSnapshot(NamedTuple):
    """A snapshot, and the position at which it was taken."""

    position: Position
    seen: int
    """The number of events so far."""
    snapshot: Any


class Snapshots:
    """The kept snapshots. If there are too many, every second one is dropped, but not the first or last."""

    def __init__(self) -> None:
        self._kept: list[KeptSnapshot] = []

    @property
    def positions(self) -> tuple[Position, ...]:
        """The positions at which they were taken, in order."""
        return tuple(one.position for one in self._kept)

    def has(self, position: Position) -> bool:
        """Return whether there is one at a position."""
        index = bisect_right(self.positions, position)
        return bool(index) and self._kept[index - 1].position == position

    def put(self, new: KeptSnapshot) -> None:
        """Keep one more. Memory equal to that of the preceding one is shared."""
        index = bisect_right(self.positions, new.position)
        if index:
            new = new._replace(snapshot=_sharing(new.snapshot, self._kept[index - 1].snapshot))
        self._kept.insert(index, new)
        while len(self._kept) > 2 and (len(self._kept) > _MOST or self._is_too_large(new)):
            del self._kept[1:-1:2]

    def forget_after(self, position: Position) -> None:
        """Drop the snapshots after a position."""
        del self._kept[bisect_right(self.positions, position) :]

    def before(self, goal: Position) -> KeptSnapshot:
        """Find the nearest one at or before a position."""
        return self._kept[bisect_right(self.positions, goal) - 1]

    def before_event(self, seq: int) -> KeptSnapshot:
        """Find the nearest one before an event; the first one, if the event came before the run began."""
        return self._kept[max(bisect_right([one.seen for one in self._kept], seq) - 1, 0)]

    def _is_too_large(self, latest: KeptSnapshot) -> bool:
        if len(self._kept) * sum(len(data) for _, data in _runs(latest)) <= _MAX_BYTES:
            return False
        each = {id(data): len(data) for one in self._kept for _, data in _runs(one)}
        return sum(each.values()) > _MAX_BYTES


def _runs(kept: KeptSnapshot) -> Iterator[tuple[int, bytes]]:
    image: RamImage = kept.snapshot.machine.ram
    yield from image.runs


def _sharing(snapshot: Any, other: Any) -> Any:
    """Return the snapshot, sharing the RAM that is equal in `other`."""
    known = dict(other.machine.ram.runs)
    runs = tuple((base, known[base] if known.get(base) == data else data) for base, data in snapshot.machine.ram.runs)
    return msgspec.structs.replace(snapshot, machine=msgspec.structs.replace(snapshot.machine, ram=RamImage(runs)))
