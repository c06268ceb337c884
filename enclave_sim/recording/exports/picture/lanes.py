"""The contents of a timeline picture, in bounded memory: a few items are shown individually, many as a density."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from enclave_sim.events import AnnihilationBegan
from enclave_sim.recording.exports.spans import Begin, End, Mark, Track

SHOWN_SINGLY = 64
"""Up to this many items are shown individually."""
_BINS = 192
CALLS_SHOWN = 8
"""The window of host calls ends once this many have returned."""


class Span(NamedTuple):
    """The name and duration of an item; an instant ends when it begins."""

    begin_ns: int
    end_ns: int
    name: str


class Bins:
    """Counts by time. When a time is past the last bin, bins are merged in pairs and become twice as wide."""

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self.width_ns = 1
        self.covered_ns = [0] * _BINS
        """Time covered by items within each bin."""
        self.begun = [0] * _BINS
        """Number of items that began in each bin."""

    def add(self, span: Span) -> None:
        """Count one item."""
        begin, end = span.begin_ns - self.start_ns, span.end_ns - self.start_ns
        while end >= self.width_ns * _BINS:
            self.width_ns *= 2
            self.covered_ns, self.begun = _paired(self.covered_ns), _paired(self.begun)
        self.begun[begin // self.width_ns] += 1
        for index in range(begin // self.width_ns, end // self.width_ns + 1):
            low = index * self.width_ns
            self.covered_ns[index] += min(end, low + self.width_ns) - max(begin, low)


def _paired(values: list[int]) -> list[int]:
    return [a + b for a, b in zip(values[::2], values[1::2], strict=True)] + [0] * (_BINS // 2)


class Lane:
    """The items of one kind on one track."""

    def __init__(self, start_ns: int) -> None:
        self.count = 0
        self.singly: list[Span] = []
        """All of them, while there are few."""
        self.bins = Bins(start_ns)

    @property
    def dense(self) -> bool:
        """True if there are too many to show individually."""
        return self.count > SHOWN_SINGLY

    def add(self, span: Span) -> None:
        """Add one item."""
        self.count += 1
        self.bins.add(span)
        if not self.dense:
            self.singly.append(span)
        else:
            self.singly.clear()


class TimeWindow:
    """All items from a time on, until the window is closed."""

    def __init__(self, start_ns: int, going_on: Mapping[Track, Iterable[Begin]] | None = None) -> None:
        self.start_ns = self.end_ns = start_ns
        self.spans: defaultdict[Track, Lane] = defaultdict(lambda: Lane(start_ns))
        self.instants: defaultdict[Track, Lane] = defaultdict(lambda: Lane(start_ns))
        self.going_on: defaultdict[Track, list[Begin]] = defaultdict(list)
        """Open items by track; the last to begin is last."""
        for track, begun in (going_on or {}).items():
            self.going_on[track] = list(begun)

    def take(self, mark: Mark) -> None:
        """Take one mark."""
        self.end_ns = mark.at_ns
        if isinstance(mark, Begin):
            self.going_on[mark.track].append(mark)
        elif isinstance(mark, End):
            if self.going_on[mark.track]:
                self._add(self.going_on[mark.track].pop())
        else:
            self.instants[mark.track].add(Span(mark.at_ns, mark.at_ns, mark.name))

    def close(self, at_ns: int) -> None:
        """End the window and all open items."""
        self.end_ns = at_ns
        for begun in self.going_on.values():
            while begun:
                self._add(begun.pop())

    def _add(self, begun: Begin) -> None:
        if begun.name != "ring 0":  # outside ring 3 it is ring 0
            self.spans[begun.track].add(Span(max(begun.at_ns, self.start_ns), self.end_ns, begun.name))


class Timeline:
    """A run through several windows: all of it, and its short parts at a larger scale."""

    def __init__(self) -> None:
        self.whole = TimeWindow(0)
        self.boot = TimeWindow(0)
        """Until ring 3 is entered."""
        self.guest: TimeWindow | None = None
        """The first cycle, from the entry into ring 3."""
        self.host_calls: TimeWindow | None = None
        """From the first host call until some have returned."""
        self.annihilation: TimeWindow | None = None
        self._booting = True
        self._open: list[TimeWindow] = []
        """The windows of guest and host calls that are not closed yet."""
        self._returned = 0

    def take(self, mark: Mark) -> None:
        """Take one mark."""
        if isinstance(mark, Begin) and isinstance(mark.event, AnnihilationBegan):
            self._end_boot(mark.at_ns)
            self.annihilation = self.annihilation or TimeWindow(mark.at_ns, self.whole.going_on)
        if self.guest is None and _enters_ring_3(mark):
            self.guest = self._opened(mark.at_ns)
        if self.host_calls is None and mark.track is Track.HOST_CALLS and isinstance(mark, Begin):
            self.host_calls = self._opened(mark.at_ns)
        for window in self._open:
            window.take(mark)
        self._close(mark)
        self.whole.take(mark)
        if self.annihilation is not None:
            self.annihilation.take(mark)
        if self._booting:
            self.boot.take(mark)
            if _enters_ring_3(mark):
                self._end_boot(mark.at_ns)

    def finish(self, at_ns: int) -> None:
        """End the recording."""
        self._end_boot(at_ns)
        self.whole.close(at_ns)
        for window in (*self._open, self.annihilation):
            if window is not None:
                window.close(at_ns)

    def _opened(self, at_ns: int) -> TimeWindow:
        self._open.append(TimeWindow(at_ns, self.whole.going_on))
        return self._open[-1]

    def _close(self, mark: Mark) -> None:
        """Close the windows that end with a mark."""
        if not isinstance(mark, End):
            return
        self._returned += mark.track is Track.HOST_CALLS
        over = list(self._open) if mark.track is Track.CYCLES else []
        if self._returned >= CALLS_SHOWN and self.host_calls in self._open:
            over = over or [one for one in self._open if one is self.host_calls]
        for window in over:
            window.close(mark.at_ns)
            self._open.remove(window)

    def _end_boot(self, at_ns: int) -> None:
        if self._booting:
            self.boot.close(at_ns)
            self._booting = False


def _enters_ring_3(mark: Mark) -> bool:
    return mark.track is Track.RING and isinstance(mark, Begin) and mark.name == "ring 3"
