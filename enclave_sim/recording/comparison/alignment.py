"""Alignment of two streams of events: which events are in both, and which in only one.

If the streams diverge, a window of each is searched for the nearest place from which they agree again for several
events in a row; if there is none, for a single common event. A part that only one stream has can be longer than the
largest window: then events after it may be reported as different, too. Memory is bounded whatever the recordings
contain, and time is proportional to their length.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, Protocol

import msgspec

from enclave_sim.recording.comparison.divergence import CONTEXT, Divergence
from machine.events import Event

WINDOWS = (64, 512, 4096, 32768)
"""Window sizes in events of each stream; the next larger one is used if a smaller one does not suffice."""
_IN_A_ROW = 4
_PLACE_AND_TIME = frozenset({"seq", "at_ns", "deadline_ns", "scheduled_ns"})
"""Fields that are not compared."""


class Findings(Protocol):
    """Takes the findings, in order."""

    def same(self, first: Event, second: Event) -> None:
        """Both have this event."""

    def only_in(self, side: int, events: Iterable[Event]) -> None:
        """Only the first (0) or the second (1) has these events."""


class Side:
    """One of the streams. Its next events can be examined before they are taken."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._next: deque[tuple[Any, Event]] = deque()

    def look(self, count: int) -> None:
        """Read ahead this many events, or as many as exist."""
        self._next.extend((_key(event), event) for event in islice(self._events, max(0, count - len(self._next))))

    def head(self) -> tuple[Any, Event] | None:
        """Return the key and the next event; the key is used for comparison."""
        if not self._next:
            self.look(1)
        return self._next[0] if self._next else None

    def take(self, count: int = 1) -> list[Event]:
        """Remove the next events, and return them."""
        return [self._next.popleft()[1] for _ in range(min(count, len(self._next)))]

    def peek(self, count: int) -> tuple[Event, ...]:
        """Return the next events without removing them."""
        self.look(count)
        return tuple(event for _, event in islice(self._next, count))

    def rows(self, count: int, length: int) -> list[tuple[Any, ...]]:
        """Return the keys of the next events, each with those of the following events."""
        self.look(count)
        keys = [key for key, _ in islice(self._next, count)]
        return [tuple(keys[i : i + length]) for i in range(len(keys) - length + 1)]


class Aligner:
    """Reads both streams, once."""

    def __init__(self, first: Side, second: Side, findings: Findings) -> None:
        self._first, self._second = first, second
        self._findings = findings
        self._before: deque[Event] = deque(maxlen=CONTEXT)
        self._taken = 0
        """Number of events read from both."""
        self._in_vain: dict[int, int] = {}
        """By window: the value of `_taken` at the last search without success."""
        self.divergence: Divergence | None = None
        """The first difference of any kind, of time, too."""

    def run(self) -> None:
        """Align the streams to their ends."""
        first, second, findings = self._first, self._second, self._findings
        while True:
            a, b = first.head(), second.head()
            if self.divergence is None:
                if a is None and b is None:
                    return
                self._compare(a, b)
            if a is None and b is None:
                return
            if a is not None and b is not None and a[0] == b[0]:
                findings.same(a[1], b[1])
                first.take()
                second.take()
                self._taken += 2
            else:
                self._resynchronise()

    def _compare(self, a: tuple[Any, Event] | None, b: tuple[Any, Event] | None) -> None:
        if a is not None and b is not None and a[1] == b[1]:
            self._before.append(a[1])
            return
        ahead = self._first.peek(CONTEXT + 1), self._second.peek(CONTEXT + 1)
        self.divergence = Divergence(tuple(self._before), *ahead)

    def _resynchronise(self) -> None:
        """Skip to the place at which the two agree again."""
        of_first, of_second = self._nearest_row() or self._nearest_single()
        self._findings.only_in(0, self._first.take(of_first))
        self._findings.only_in(1, self._second.take(of_second))
        self._taken += of_first + of_second

    def _nearest_row(self) -> tuple[int, int] | None:
        for window in WINDOWS:
            if window > WINDOWS[0] and self._taken < self._in_vain.get(window, -window) + window:
                continue  # otherwise recordings with little in common would be searched again at every event
            found = _nearest(self._first.rows(window, _IN_A_ROW), self._second.rows(window, _IN_A_ROW))
            if found is not None:
                return found
            self._in_vain[window] = self._taken
        return None

    def _nearest_single(self) -> tuple[int, int]:
        window = WINDOWS[0]
        return _nearest(self._first.rows(window, 1), self._second.rows(window, 1)) or (window, window)


def _nearest(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]) -> tuple[int, int] | None:
    """Return the minimum number of events to skip in each, so that the next ones agree."""
    places: dict[tuple[Any, ...], int] = {}
    for j, row in enumerate(second):
        places.setdefault(row, j)
    found = [(i + places[row], i) for i, row in enumerate(first) if row in places]
    if not found:
        return None
    total, i = min(found)
    return i, total - i


def _key(event: Event) -> tuple[Any, ...]:
    kind = type(event)
    values = msgspec.structs.astuple(event)
    return (kind, *[values[i] for i in _compared(kind)])


@cache
def _compared(kind: type[Event]) -> tuple[int, ...]:
    return tuple(i for i, name in enumerate(kind.__struct_fields__) if name not in _PLACE_AND_TIME)
