"""The events of a run as rows, made only when drawn, so that a million cost no more than ten."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import overload

from enclave_sim.cancellation import Cancellation
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import KINDS, kind_of_event, name_of_kind
from enclave_sim.inspector.model.rows import Meaning, Row, Target, View, row
from enclave_sim.recording.event_pages import KindIndex
from enclave_sim.recording.event_text import event_line
from machine.events import Event, RingTransition

_BAD = frozenset(["payload_rejected", "guest_trapped", "annihilation_began", "shutdown", "tpm_command_failed"])
_ROWS_KEPT = 1000
_FILTERS_KEPT = 2
_CHECKPOINT = 1000
"""Events between two polls of the cancellation, while a filter runs."""
_TITLES = frozenset(["phase_entered", "phase_completed", "cycle_began", "cycle_ended", "annihilation_step"])


class EventLog:
    """The known events of a run, with an index by kind. A place is the index of an event.

    Args:
        events: All known events. The sequence only grows.
        cancellation: Polled while a filter runs.
        index: The index of the first ones; None for none yet.
    """

    def __init__(self, events: Sequence[Event], cancellation: Cancellation, index: KindIndex | None = None) -> None:
        self._cancellation = cancellation
        self.events = events
        self._index_by_kind = index or KindIndex()
        self._filtered: list[_Filtered] = []
        """The results of the last filters."""
        self._rows: dict[int, Row] = {}
        """Existing rows, by place."""

    def follow(self) -> None:
        """Index and filter the new events."""
        self._index()
        for one in self._filtered:
            self._filter(one)

    def _index(self) -> None:
        index = self._index_by_kind
        index.add(map(self.events.__getitem__, range(index.count, len(self.events))))

    def of_kind(self, kind: str, seen: int) -> Sequence[int]:
        """Return the places of the events of a kind among the first `seen` events."""
        return _before(self._places_of(kind), seen)

    def _places_of(self, kind: str) -> "array[int]":
        return self._index_by_kind.of_kind(KINDS[kind])

    def last(self, kind: str, seen: int) -> Event | None:
        """Return the last event of a kind among the first `seen` events, or None."""
        places = self._places_of(kind)
        index = bisect_left(places, seen) - 1
        return self.events[places[index]] if index >= 0 else None

    def places(self, wanted: "EventFilter", seen: int) -> Sequence[int]:
        """Return the places of the events that match a filter.

        The results of the last filters are kept. A new filter must read all events.

        Args:
            wanted: The filter.
            seen: Only the first `seen` events count.

        Returns:
            The places, in order.

        Raises:
            Cancelled: The token was cancelled while a filter ran.
        """
        if wanted == EventFilter():
            return range(seen)
        self._index()
        found = next((one for one in self._filtered if one.wanted == wanted), None) or _Filtered(wanted)
        self._filter(found)
        self._filtered = [found, *(one for one in self._filtered if one is not found)][:_FILTERS_KEPT]
        return _before(found.places, seen)

    def _filter(self, one: "_Filtered") -> None:
        wanted = one.wanted
        kinds = wanted.kinds or (("ring_transition",) if wanted.ring is not None else ())
        known = [self._places_of(kind) for kind in kinds]
        new: Sequence[int] = range(one.looked_at, self._index_by_kind.count)
        if kinds:
            new = sorted(chain.from_iterable(places[bisect_left(places, one.looked_at) :] for places in known))
        if wanted.text or wanted.ring is not None:
            new = [place for place in self._polled(new) if wanted.matches(self.events[place])]
        one.places.extend(new)
        one.looked_at = self._index_by_kind.count

    def _polled(self, places: Sequence[int]) -> Iterator[int]:
        for number, place in enumerate(places):
            if not number % _CHECKPOINT:
                self._cancellation.poll()
            yield place

    def row(self, place: int) -> Row:
        """Return the row of an event."""
        found = self._rows.get(place)
        if found is None:
            if len(self._rows) >= _ROWS_KEPT:
                self._rows.clear()
            found = self._rows[place] = event_row(self.events[place])
        return found


@dataclass(slots=True)
class _Filtered:
    """The places of the events that match a filter, among the first `looked_at` events."""

    wanted: "EventFilter"
    places: "array[int]" = field(default_factory=lambda: array("I"))
    looked_at: int = 0


def _before(places: "array[int]", seen: int) -> Sequence[int]:
    """Return those of some ordered places that are less than `seen`."""
    return _First(places, bisect_left(places, seen))


class _First(Sequence[int]):
    """The first elements of an array of numbers, without a copy, because there may be a million.

    The array may grow meanwhile.
    """

    def __init__(self, numbers: "array[int]", count: int) -> None:
        self._numbers, self._range = numbers, range(count)

    def __len__(self) -> int:
        return len(self._range)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        found = self._range[index]
        return self._numbers[found] if isinstance(found, int) else [self._numbers[place] for place in found]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """An event filter. An event must meet all the given conditions."""

    kinds: tuple[str, ...] = ()
    ring: tuple[int, int] | None = None
    text: str = ""
    """A part of the event's line."""

    @property
    def words(self) -> str:
        """The filter as typed by the user."""
        ring = [] if self.ring is None else [f"{self.ring[0]}->{self.ring[1]}"]
        return " ".join([*self.kinds, *ring, *([f'"{self.text}"'] if self.text else [])])

    def matches(self, event: Event) -> bool:
        """Return whether an event is shown."""
        if self.kinds and name_of_kind(event) not in self.kinds:
            return False
        if self.ring is not None and not (
            isinstance(event, RingTransition) and (event.from_ring, event.to_ring) == self.ring
        ):
            return False
        return not self.text or self.text in event_line(event)


def event_filter(words: str) -> EventFilter:
    """Parse a filter: kinds and `3->0` in any order, then `"text"`. Raises ConfigurationError for an unknown kind."""
    before, quote, text = words.partition('"')
    kinds: list[str] = []
    ring: tuple[int, int] | None = None
    for word in before.replace(",", " ").split():
        low, arrow, high = word.partition("->")
        if arrow and low in "0123" and high in "0123" and low != high and low and high:
            ring = int(low), int(high)
        else:
            kind_of_event(word)
            kinds.append(word)
    if quote and not text.strip('"'):
        raise ConfigurationError('the text of a filter must be in quotes: "0x100000"')
    return EventFilter(tuple(dict.fromkeys(kinds)), ring, text.rstrip('"'))


class EventRows(Sequence[Row]):
    """Rows of events, made one by one."""

    def __init__(self, log: EventLog, places: Sequence[int]) -> None:
        self.log = log
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return EventRows(self.log, self.places[index])
        return self.log.row(self.places[index])


def event_row(event: Event) -> Row:
    """Return the row of one event."""
    kind = name_of_kind(event)
    meaning = Meaning.BAD if kind in _BAD else Meaning.TITLE if kind in _TITLES else Meaning.PLAIN
    own = event_line(event).partition(kind)[2].strip()
    parts = (
        (f"{event.seq:>7,} {event.at_ns:>13,}  ", Meaning.DIM),
        (f"{kind:<20}", meaning),
        (f" {own}", Meaning.PLAIN),
    )
    return Row(parts, Target(event=event.seq, at_ns=event.at_ns))


def event_view(log: EventLog, seen: int, wanted: EventFilter) -> View:
    """Return the events before the current position that match a filter."""
    places = log.places(wanted, seen)
    subtitle = f"{len(places):,} of {seen:,}" + (f" | {wanted.words}" if wanted.words else "")
    if not places:
        return View(
            (row("no event of this kind so far" if wanted.words else "no event so far", Meaning.NOTE),), 0, subtitle
        )
    return View(EventRows(log, places), len(places) - 1, subtitle)
