"""Answers of provenance as plain values, for JSON."""

from typing import TypedDict

from enclave_sim.time_travel.navigation.provenance.answers import Ending, Origin, Source, Use, Value
from enclave_sim.time_travel.navigation.provenance.places import Place
from enclave_sim.time_travel.position import Position


class PlaceObject(TypedDict):
    """Consecutive bytes of a register, of physical memory, or of a value of a guest."""

    space: str
    """`memory`, the name of a register of full width such as `rax`, or a value of a guest."""
    start: int
    """The physical address, or the number of the first byte of the register."""
    size: int
    """In bytes."""


class PositionObject(TypedDict):
    """A moment between two steps of a run."""

    at_ns: int
    """Virtual time in nanoseconds."""
    step: int
    """Number of steps since this time was reached."""


class EndingObject(TypedDict):
    """An end of the search."""

    kind: str
    """`constant`, `return address`, `processor`, `power-on`, `boot image`, `payload`, `input`, `TPM`, `device`,
    `not modelled` or `limit`."""
    text: str
    """Its description."""


class SourceObject(TypedDict):
    """A source of a value."""

    role: str
    """`data`, `address` or `flags`."""
    value: "ValueObject | None"
    """The bytes at the position before the step; null for an end."""
    ending: EndingObject | None
    """The end; null for bytes."""


class OriginObject(TypedDict):
    """The last write of some bytes."""

    place: PlaceObject
    """The bytes."""
    position: PositionObject | None
    """The position after the step that wrote them; null at power-on."""
    by: str
    """The writer."""
    instruction: str | None
    """The instruction, or null for another writer."""
    sources: list[SourceObject]
    """Everything from which the step made the value."""
    ending: EndingObject | None
    """The end, if the search ends here; else null."""


class ValueObject(TypedDict):
    """Bytes at a position, and what gave them their value."""

    place: PlaceObject
    """The bytes."""
    position: PositionObject
    """The position at which they have the value."""
    content: str
    """The bytes in hexadecimal; empty for a register of a device."""
    origins: list[OriginObject]
    """The last writes of the bytes."""
    limit: EndingObject | None
    """The reason why there are not all origins; null if there are."""


class UseObject(TypedDict):
    """A step that used a value, or ended it."""

    happened: str
    """`used`, `overwritten` or `limit`."""
    position: PositionObject
    """The position after the step."""
    by: str
    """The writer or reader."""
    instruction: str | None
    """The instruction, or null."""
    role: str | None
    """The role of the value in what was made from it, or null."""
    made: list[PlaceObject]
    """The bytes that were made from it or written over it."""


class ProvenanceObject(TypedDict):
    """The answer of `enclave-sim provenance`."""

    value: ValueObject | None
    """The value with its tree; null with --forwards."""
    uses: list[UseObject]
    """With --forwards the uses of the value, else empty."""


def value_object(value: Value) -> ValueObject:
    """Return a value with its tree as plain values."""
    return ValueObject(
        place=place_object(value.place),
        position=position_object(value.position),
        content=value.content.hex(),
        origins=[_origin(one) for one in value.origins],
        limit=_ending(value.limit),
    )


def use_object(use: Use) -> UseObject:
    """Return a use as plain values."""
    return UseObject(
        happened=use.happened.value,
        position=position_object(use.position),
        by=use.by,
        instruction=use.instruction,
        role=None if use.role is None else use.role.value,
        made=[place_object(one) for one in use.made],
    )


def _origin(origin: Origin) -> OriginObject:
    return OriginObject(
        place=place_object(origin.place),
        position=None if origin.position is None else position_object(origin.position),
        by=origin.by,
        instruction=origin.instruction,
        sources=[_source(one) for one in origin.sources],
        ending=_ending(origin.ending),
    )


def _source(source: Source) -> SourceObject:
    value = None if source.value is None else value_object(source.value)
    return SourceObject(role=source.role.value, value=value, ending=_ending(source.ending))


def place_object(place: Place) -> PlaceObject:
    """Return a place as plain values."""
    return PlaceObject(space=place.space, start=place.start, size=place.size)


def position_object(position: Position) -> PositionObject:
    """Return a position as plain values."""
    return PositionObject(at_ns=position.at_ns, step=position.step)


def _ending(ending: Ending | None) -> EndingObject | None:
    return None if ending is None else EndingObject(kind=ending.kind.value, text=ending.text)
