"""The bytes that hold a secret at the current position, and those that did."""

from dataclasses import dataclass
from typing import NamedTuple

from enclave_sim.time_travel.navigation.lifetimes.answers import Kind, Lifetime, Maker, Meeting, Met
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, Place
from enclave_sim.time_travel.position import Position
from machine.bus.bus import MMIO_BASE

MOST_LEVELS = 32
"""Operations in a row after which a derivative counts as computed: a hash function goes on forever."""


class Label(NamedTuple):
    """The part of the secret that a byte holds."""

    first: int
    """The number of the first byte of the secret on which it depends."""
    last: int
    level: int
    """The number of operations since it was a copy; 0 for a copy."""
    possible: bool = False
    """It was made by something that is not modelled."""

    @property
    def kind(self) -> Kind:
        """The kind of what it is a part of."""
        return Kind.POSSIBLE if self.possible else Kind.DERIVED if self.level else Kind.COPY


def derived(labels: list[Label], *, possible: bool = False) -> Label:
    """Return the label of a byte made from others, of which there is at least one."""
    return Label(
        min(one.first for one in labels),
        max(one.last for one in labels),
        1 + max(one.level for one in labels),
        possible or any(one.possible for one in labels),
    )


class Held(NamedTuple):
    """A label on a byte, with its beginning."""

    label: Label
    since: Position
    maker: Maker


@dataclass(frozen=True, slots=True)
class _Ended:
    space: str
    byte: int
    held: Held
    until: Position | None
    by: Maker | None


class Taint:
    """The labels of all bytes, by space and number: of physical memory the address."""

    def __init__(self) -> None:
        self.spaces: dict[str, dict[int, Held]] = {MEMORY: {}}
        self.memory = self.spaces[MEMORY]
        self.in_devices: set[int] = set()
        """The labelled bytes of physical memory that are registers of devices."""
        self._ended: list[_Ended] = []
        self._meetings: dict[tuple[Met, Maker], tuple[int, Position]] = {}

    def label(self, space: str, byte: int) -> Label | None:
        """Return the label of a byte."""
        found = self.spaces.get(space)
        held = None if found is None else found.get(byte)
        return None if held is None else held.label

    def touches(self, place: Place) -> bool:
        """Report whether any byte of a place has a label."""
        found = self.spaces.get(place.space)
        if not found:
            return False
        if place.size > len(found):
            return any(place.start <= byte < place.end for byte in found)
        return any(byte in found for byte in range(place.start, place.end))

    def labels(self, place: Place) -> list[Label]:
        """Return the labels in a place."""
        found = self.spaces.get(place.space)
        if not found:
            return []
        return [found[byte].label for byte in range(place.start, place.end) if byte in found]

    def put(self, space: str, byte: int, label: Label | None, now: Position, by: Maker) -> None:
        """Give a byte a label from now on, or none. One that it has already goes on."""
        bytes_ = self.spaces.get(space)
        held = None if bytes_ is None else bytes_.get(byte)
        if held is not None:
            if held.label == label:
                return
            self.drop(space, byte)
            self._ended.append(_Ended(space, byte, held, now, by))
        if label is not None:
            self.spaces.setdefault(space, {})[byte] = Held(label, now, by)
            if byte >= MMIO_BASE and space == MEMORY:
                self.in_devices.add(byte)

    def clear(self, place: Place, now: Position, by: Maker) -> None:
        """Take the labels of a place."""
        found = self.spaces.get(place.space)
        if found:
            few = place.size <= len(found)
            bytes_ = range(place.start, place.end) if few else [one for one in found if place.start <= one < place.end]
            for byte in bytes_:
                self.put(place.space, byte, None, now, by)

    def drop(self, space: str, byte: int) -> None:
        """Take a label as if it had not been there."""
        del self.spaces[space][byte]
        self.in_devices.discard(byte)

    def passed(self, space: str, byte: int, held: Held, until: Position, by: Maker) -> None:
        """Note a label that came and went within one step."""
        self._ended.append(_Ended(space, byte, held, until, by))

    def meet(self, met: Met, by: Maker, now: Position) -> None:
        """Note a step that used labelled bytes for something that gets no label."""
        count, first = self._meetings.get((met, by), (0, now))
        self._meetings[met, by] = count + 1, first

    @property
    def meetings(self) -> tuple[Meeting, ...]:
        """The noted steps, in the order of their first occurrence."""
        found = [Meeting(met, by, count, first) for (met, by), (count, first) in self._meetings.items()]
        return tuple(sorted(found, key=lambda one: one.first))

    def lifetimes(self) -> list[Lifetime]:
        """Return all lifetimes, those that have not ended too, in order."""
        ends = list(self._ended)
        for space, found in self.spaces.items():
            ends += [_Ended(space, byte, held, None, None) for byte, held in found.items()]
        ends.sort(key=_order)
        made: list[Lifetime] = []
        for one in ends:
            label = one.held.label
            last = made[-1] if made else None
            if last is not None and _continues(last, one):
                joined = Place(last.place.space, last.place.start, last.place.size + 1)
                made[-1] = Lifetime(
                    *(joined, last.kind, min(last.first, label.first), max(last.last, label.last)),
                    *(last.since, last.until, last.made_by, last.ended_by),
                )
            else:
                place = Place(one.space, one.byte, 1)
                made.append(
                    Lifetime(
                        *(place, label.kind, label.first, label.last),
                        *(one.held.since, one.until, one.held.maker, one.by),
                    )
                )
        return sorted(made, key=lambda one: (one.since, one.place))


_NEVER = Position(1 << 62)


def _order(one: _Ended) -> tuple[object, ...]:
    by = one.by or Maker("")
    maker = one.held.maker
    return (
        *(one.space, one.held.since, one.until or _NEVER, one.held.label.kind.value),
        *(maker.by, maker.instruction or "", by.by, by.instruction or "", one.byte),
    )


def _continues(last: Lifetime, one: _Ended) -> bool:
    label = one.held.label
    same = (*(last.place.space, last.place.end, last.kind, last.since, last.until, last.made_by, last.ended_by),) == (
        one.space,
        one.byte,
        label.kind,
        one.held.since,
        one.until,
        one.held.maker,
        one.by,
    )
    return same and (last.kind is not Kind.COPY or label.first == last.last + 1)
