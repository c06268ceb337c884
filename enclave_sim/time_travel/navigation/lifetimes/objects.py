"""Lifetimes as plain values, for JSON."""

from typing import TypedDict

from enclave_sim.time_travel.navigation.lifetimes.answers import Lifetime, Lifetimes, Maker, Meeting, Row
from enclave_sim.time_travel.navigation.provenance.objects import PlaceObject, PositionObject, place_object
from enclave_sim.time_travel.navigation.provenance.objects import position_object as position


class MakerObject(TypedDict):
    """A writer of some bytes."""

    by: str
    """Function and source line, a guest's function and offset, a device, or what the processor did."""
    instruction: str | None
    """The instruction, in assembly language, or null."""


class LifetimeObject(TypedDict):
    """Consecutive bytes that one step made, and another one ended."""

    place: PlaceObject
    """The bytes."""
    kind: str
    """`copy`, `derived`, or `possible`: made by something that is not modelled."""
    first: int
    """The number of the first byte of the secret that is in it, from 0."""
    last: int
    """The number of the last one."""
    since: PositionObject
    """The position after the step that made it."""
    until: PositionObject | None
    """The position after the step that ended it; null if it is there at the end."""
    made_by: MakerObject
    """The writer."""
    ended_by: MakerObject | None
    """The writer that ended it, or null."""


class RowObject(TypedDict):
    """Lifetimes in one place with the same writer and the same end."""

    where: str
    """A region of memory, a register, a device, or the stack and locals of a guest."""
    places: list[PlaceObject]
    """The bytes."""
    kind: str
    """As of a lifetime."""
    count: int
    """The number of times that they were made."""
    since: PositionObject
    """The earliest beginning."""
    until: PositionObject | None
    """The latest end; null if some are there at the end."""
    longest_ns: int
    """The longest of these lifetimes in ns."""
    made_by: MakerObject
    """The writer."""
    ended_by: MakerObject | None
    """The writer that ended them, or null."""


class MeetingObject(TypedDict):
    """Steps that used the secret, after which it is not followed further."""

    met: str
    """`computed`, `sent`, or `not modelled`."""
    by: MakerObject
    """The user."""
    count: int
    """The number of steps."""
    first: PositionObject
    """The position after the first of them."""


class LifetimesObject(TypedDict):
    """The answer of `enclave-sim lifetimes`."""

    secret: str
    """The secret, as it was asked for."""
    size: int
    """The number of its bytes."""
    marked: PositionObject
    """The position at which it was marked."""
    end: PositionObject
    """The position up to which it was followed."""
    rows: list[RowObject]
    """The lifetimes, joined."""
    lifetimes: list[LifetimeObject]
    """All lifetimes, in the order of their beginnings."""
    meetings: list[MeetingObject]
    """The steps after which it is not followed further."""


def lifetimes_object(found: Lifetimes) -> LifetimesObject:
    """Return lifetimes as plain values."""
    return LifetimesObject(
        secret=found.name,
        size=len(found.secret),
        marked=position(found.marked),
        end=position(found.end),
        rows=[_row(one) for one in found.rows],
        lifetimes=[_lifetime(one) for one in found.lifetimes],
        meetings=[_meeting(one) for one in found.meetings],
    )


def _lifetime(one: Lifetime) -> LifetimeObject:
    return LifetimeObject(
        place=place_object(one.place),
        kind=one.kind.value,
        first=one.first,
        last=one.last,
        since=position(one.since),
        until=None if one.until is None else position(one.until),
        made_by=_maker(one.made_by),
        ended_by=None if one.ended_by is None else _maker(one.ended_by),
    )


def _row(one: Row) -> RowObject:
    return RowObject(
        where=one.where,
        places=[place_object(place) for place in one.places],
        kind=one.kind.value,
        count=one.count,
        since=position(one.since),
        until=None if one.until is None else position(one.until),
        longest_ns=one.longest_ns,
        made_by=_maker(one.made_by),
        ended_by=None if one.ended_by is None else _maker(one.ended_by),
    )


def _meeting(one: Meeting) -> MeetingObject:
    return MeetingObject(met=one.met.value, by=_maker(one.by), count=one.count, first=position(one.first))


def _maker(one: Maker) -> MakerObject:
    return MakerObject(by=one.by, instruction=one.instruction)
