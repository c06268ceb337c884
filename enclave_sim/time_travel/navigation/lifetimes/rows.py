"""Lifetimes joined for people: a row for each place, writer and end."""

from collections.abc import Iterable

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.time_travel.navigation.lifetimes.answers import Kind, Lifetime, Maker, Row
from enclave_sim.time_travel.navigation.lifetimes.buffers import BUFFERS, TPM, buffer_name
from enclave_sim.time_travel.navigation.lifetimes.guests import HOST
from enclave_sim.time_travel.navigation.provenance.places import Place, is_register
from enclave_sim.time_travel.position import Position

AETHER_HOST = "aether_host"
"""The payloads that AetherHost has read, outside the machine."""
OUTSIDE = frozenset([AETHER_HOST, TPM])
"""Places outside the machine, where a secret may stay."""
GUEST_VALUES = "guest_values"
"""The operand stacks, locals and globals of guests on the coprocessor."""
OTHER_RAM = "other_ram"
"""RAM that is in no region of the kernel."""


def rows_of(found: Iterable[Lifetime], end: Position, program: Program, ram_bytes: int) -> list[Row]:
    """Join lifetimes.

    Args:
        found: The lifetimes, in order.
        end: The end of what was looked at.
        program: Knows the regions of memory.
        ram_bytes: The size of RAM.

    Returns:
        The rows, in the order of their beginnings.
    """
    groups: dict[tuple[str, Kind, Maker, Maker | None], list[Lifetime]] = {}
    for one in found:
        where = where_is(one.place, program, ram_bytes)
        groups.setdefault((where, one.kind, one.made_by, one.ended_by), []).append(one)
    rows = [_row(where, kind, members, end) for (where, kind, _, _), members in groups.items()]
    return sorted(rows, key=lambda row: (row.since, row.where))


def where_is(place: Place, program: Program, ram_bytes: int) -> str:
    """Name the region of memory, the register, or the device in which bytes are."""
    if place.space == HOST:
        return AETHER_HOST
    if place.space == TPM:
        return TPM
    if not place.in_memory:
        return place.space if is_register(place.space) else GUEST_VALUES
    if place.start >= ram_bytes:
        return buffer_name(place) or OTHER_RAM
    region = program.region_at(place.start)
    return OTHER_RAM if region is None else region.name


def names(program: Program) -> list[str]:
    """Return all names that `where_is` gives but those of registers."""
    return [*(region.name for region in program.regions), *BUFFERS, TPM, AETHER_HOST, GUEST_VALUES, OTHER_RAM]


def _row(where: str, kind: Kind, members: list[Lifetime], end: Position) -> Row:
    ends = [one.until for one in members]
    known = [one for one in ends if one is not None]
    return Row(
        where=where,
        places=joined(one.place for one in members),
        kind=kind,
        count=len({one.since for one in members}),
        since=min(one.since for one in members),
        until=None if len(known) < len(ends) else max(known),
        longest_ns=max((one.until or end).at_ns - one.since.at_ns for one in members),
        made_by=members[0].made_by,
        ended_by=members[0].ended_by,
    )


def joined(places: Iterable[Place]) -> tuple[Place, ...]:
    """Join overlapping and adjacent places."""
    found: list[Place] = []
    for place in sorted(set(places)):
        last = found[-1] if found else None
        if last is not None and last.space == place.space and last.end >= place.start:
            found[-1] = Place(last.space, last.start, max(last.end, place.end) - last.start)
        else:
            found.append(place)
    return tuple(found)
