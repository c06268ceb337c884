"""Two streams of events, laid side by side: which are in both, and which in one alone.

Where the two part, a window of each is searched for the nearest place from which they go on alike, some events in a
row; for a single event in common if there is none. What one has alone can be longer than the largest window: then what
follows may be found to differ, too. Memory is bounded whatever the recordings hold, and time grows with their length.
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
"""How many events of either are looked at to find where they go on alike: more where fewer are not enough."""
_IN_A_ROW = 4
_PLACE_AND_TIME = frozenset({"seq", "at_ns", "deadline_ns", "scheduled_ns"})
"""Fields that are not compared."""


class Findings(Protocol):
    """Takes what is found, in order."""

    def same(self, first: Event, second: Event) -> None:
        """Both have this event."""

    def only_in(self, side: int, events: Iterable[Event]) -> None:
        """The first (0) or second (1) alone has these."""


class Side:
    """One of the streams, of which the next events can be seen before they are taken."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._next: deque[tuple[Any, Event]] = deque()

    def look(self, count: int) -> None:
        """Have this many events at hand, or as many as there are."""
        self._next.extend((_key(event), event) for event in islice(self._events, max(0, count - len(self._next))))

    def head(self) -> tuple[Any, Event] | None:
        """The next event and what it is compared by."""
        if not self._next:
            self.look(1)
        return self._next[0] if self._next else None

    def take(self, count: int = 1) -> list[Event]:
        """The next events; they are gone then."""
        return [self._next.popleft()[1] for _ in range(min(count, len(self._next)))]

    def peek(self, count: int) -> tuple[Event, ...]:
        """The next events."""
        self.look(count)
        return tuple(event for _, event in islice(self._next, count))

    def rows(self, count: int, length: int) -> list[tuple[Any, ...]]:
        """What the next events are compared by, each with those that follow it."""
        self.look(count)
        keys = [key for key, _ in islice(self._next, count)]
        return [tuple(keys[i : i + length]) for i in range(len(keys) - length + 1)]


class Aligner:
    """Goes through both streams, once."""

    def __init__(self, first: Side, second: Side, findings: Findings) -> None:
        self._first, self._second = first, second
        self._findings = findings
        self._before: deque[Event] = deque(maxlen=CONTEXT)
        self._taken = 0
        """How many events went by."""
        self._in_vain: dict[int, int] = {}
        """How many had gone by when a window was last searched without success."""
        self.divergence: Divergence | None = None
        """The first difference of any kind, that of time included."""

    def run(self) -> None:
        """Find everything."""
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
        """Skip to where the two go on alike."""
        skipped = self._nearest_row() or self._nearest_single()
        for side, (events, count) in enumerate(zip((self._first, self._second), skipped, strict=True)):
            self._findings.only_in(side, events.take(count))
            self._taken += count

    def _nearest_row(self) -> tuple[int, int] | None:
        for window in WINDOWS:
            if window > WINDOWS[0] and self._taken < self._in_vain.get(window, -window) + window:
                continue  # so that recordings with little in common are not searched again at every event
            found = _nearest(self._first.rows(window, _IN_A_ROW), self._second.rows(window, _IN_A_ROW))
            if found is not None:
                return found
        self._in_vain = dict.fromkeys(WINDOWS, self._taken)
        return None

    def _nearest_single(self) -> tuple[int, int]:
        window = WINDOWS[0]
        return _nearest(self._first.rows(window, 1), self._second.rows(window, 1)) or (window, window)


def _nearest(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]) -> tuple[int, int] | None:
    """How much of each to leave out, as little as possible, so that what follows is alike."""
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
