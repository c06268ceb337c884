"""The writes to physical memory in stretches of a run, recorded on demand.

A stretch reaches from a snapshot to the position of the question, or to the next stretch. It is run once with all
writes observed; then each question about it takes microseconds. Each stretch that a search needs covers twice as many
snapshots as the last one: to observe the writes, the engine must translate all code again. Stores of a WebAssembly
guest are not among them, and not the accessed and dirty flags that Unicorn sets.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from enclave_sim.time_travel.navigation.provenance.places import Place
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.bus.writer import Writer

_LINE_BITS = 6
_LONG = 256
"""Writes of more bytes are listed apart, not by line."""
_MOST = 8_000_000
"""The number of writes that are kept; when there are more, the stretches used least recently are forgotten."""
_MOST_SNAPSHOTS = 128
"""Snapshots in a stretch, at most."""


class Stretch:
    """The writes between two positions."""

    def __init__(self, start: Position, end: Position) -> None:
        self.start, self.end = start, end
        self._addresses, self._sizes, self._times = array("Q"), array("I"), array("Q")
        self._lines: defaultdict[int, list[int]] = defaultdict(list)
        self._long: list[int] = []

    def __len__(self) -> int:
        return len(self._addresses)

    def add(self, address: int, size: int, at_ns: int) -> None:
        """Add a write, which comes after all others."""
        index = len(self._addresses)
        self._addresses.append(address)
        self._sizes.append(size)
        self._times.append(at_ns)
        first, last = address >> _LINE_BITS, address + size - 1 >> _LINE_BITS
        if first == last:
            self._lines[first].append(index)
        elif size > _LONG:
            self._long.append(index)
        else:
            for line in range(first, last + 1):
                self._lines[line].append(index)

    def last(self, place: Place, until_ns: int) -> int | None:
        """Return the virtual time (ns) of the last write to any of some bytes, up to a time; None if there is none."""
        best = -1
        lines = range(place.start >> _LINE_BITS, (place.end - 1 >> _LINE_BITS) + 1)
        for indices in (self._long, *(self._lines.get(line, ()) for line in lines)):
            for index in reversed(indices):
                if index <= best:
                    break
                if self._times[index] <= until_ns and self._overlaps(index, place):
                    best = index
                    break
        return None if best < 0 else self._times[best]

    def _overlaps(self, index: int, place: Place) -> bool:
        first = self._addresses[index]
        return first < place.end and place.start < first + self._sizes[index]


class WriteLog:
    """Finds writes in a timeline."""

    def __init__(self, timeline: Timeline[Any]) -> None:
        self._timeline = timeline
        self._stretches: list[Stretch] = []
        self._future = timeline.futures

    def last(self, place: Place, goal: Position) -> int | None:
        """Return the virtual time (ns) of the last write to any of some bytes before a position. The timeline moves.

        Args:
            place: Bytes of physical memory.
            goal: The position.

        Returns:
            The time; None if nothing has written them since power-on.
        """
        for stretch in self._before(goal):
            found = stretch.last(place, goal.at_ns)
            if found is not None:
                return found
        return None

    def _before(self, goal: Position) -> Iterator[Stretch]:
        """Yield stretches that together reach from a position back to power-on."""
        if self._future != self._timeline.futures:
            self._stretches, self._future = [], self._timeline.futures
        count = 1
        while goal > Position(0):
            stretch, known = self._ending_at(goal, count)
            yield stretch
            goal = stretch.start
            count = count if known else min(2 * count, _MOST_SNAPSHOTS)

    def _ending_at(self, goal: Position, count: int) -> tuple[Stretch, bool]:
        """Return the stretch that ends at a position, and True if it was known. A new one covers `count` snapshots."""
        index = bisect_left(self._stretches, goal, key=_end)
        if index < len(self._stretches) and self._stretches[index].start < goal:
            return self._stretches[index], True
        snapshots = self._timeline.snapshots
        start = snapshots[max(bisect_left(snapshots, goal) - count, 0)]
        if index and self._stretches[index - 1].end > start:
            start = self._stretches[index - 1].end
        made = self._record(start, goal)
        self._stretches.insert(index, made)
        while sum(map(len, self._stretches)) > _MOST and len(self._stretches) > 1:
            self._stretches.pop(0 if self._stretches[0] is not made else 1)
        return made, False

    def _record(self, start: Position, end: Position) -> Stretch:
        timeline, machine = self._timeline, self._timeline.machine
        stretch = Stretch(start, end)
        clock = machine.clock

        def accessed(writes: bool, address: int, size: int) -> None:
            if writes:  # the machine reports the reads of instructions that it executes itself
                stretch.add(address, size, clock.now_ns)

        def written(_by: Writer, base: int, size: int) -> None:
            stretch.add(base, size, clock.now_ns)

        timeline.go_to(start)
        removals = (
            machine.cpu.callbacks.watch_memory(accessed, reads=False),
            machine.ram.watch(range(machine.ram.size), written),
        )
        try:
            timeline.run(end)
        finally:
            for remove in removals:
                remove()
        return stretch


def _end(stretch: Stretch) -> Position:
    return stretch.end
