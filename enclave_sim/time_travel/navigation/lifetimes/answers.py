"""Answers about the lifetimes of a secret."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from enclave_sim.time_travel.navigation.provenance.places import Place
from enclave_sim.time_travel.position import Position


class Kind(Enum):
    """The relation of bytes to the secret."""

    COPY = "copy"
    """Bytes of the secret, in their order."""
    DERIVED = "derived"
    """Bytes made of its bits: shifted, rotated, extended, selected, or combined with others by XOR, AND or OR."""
    POSSIBLE = "possible"
    """Bytes that an instruction or a guest that is not modelled may have made from it."""


@dataclass(frozen=True, slots=True)
class Maker:
    """The writer of some bytes."""

    by: str
    """Function and source line, a guest's function and offset, a device, or what the processor did."""
    instruction: str | None = None

    def __str__(self) -> str:
        return f"{self.by}: {self.instruction}" if self.instruction else self.by


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Consecutive bytes that one step made, and another one ended."""

    place: Place
    kind: Kind
    first: int
    """The number of the first byte of the secret that is in it, from 0."""
    last: int
    """The number of the last one."""
    since: Position
    """The position after the step that made it; of what was there when the secret was marked, that position."""
    until: Position | None
    """The position after the step that ended it; None if it is there at the end of the run."""
    made_by: Maker
    ended_by: Maker | None


class Met(Enum):
    """Ways in which a step uses a secret of which nothing follows that is listed as a lifetime."""

    COMPUTED = "computed"
    """The result of arithmetic or a hash, flags, or something that it selects, depends on it."""
    SENT = "sent"
    """It went to a register of a device or to a port."""
    NOT_MODELLED = "not modelled"
    """The effect is unknown. What was written is listed as possible."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A step, or several by the same instruction, that used the secret."""

    met: Met
    by: Maker
    count: int
    """The number of steps."""
    first: Position
    """The position after the first of these."""


@dataclass(frozen=True, slots=True)
class Row:
    """Lifetimes in one place: those with the same writer and the same end, in adjoining bytes."""

    where: str
    """The place: a region of memory, a register, a device."""
    places: tuple[Place, ...]
    kind: Kind
    count: int
    since: Position
    """The earliest beginning."""
    until: Position | None
    """The latest end."""
    longest_ns: int
    made_by: Maker
    ended_by: Maker | None


@dataclass(frozen=True)
class Lifetimes:
    """All lifetimes of a secret in a run."""

    name: str
    """The secret, as it was asked for."""
    secret: bytes
    marked: Position
    """The position at which it was marked."""
    end: Position
    """The end of what was looked at."""
    lifetimes: tuple[Lifetime, ...]
    """In the order of their beginnings."""
    meetings: tuple[Meeting, ...]
    rows: tuple[Row, ...]
    """The same, for people."""

    @property
    def not_modelled(self) -> tuple[Meeting, ...]:
        """The instructions and guests whose effect on the secret is unknown."""
        return tuple(one for one in self.meetings if one.met is Met.NOT_MODELLED)

    def at(self, position: Position) -> tuple[Lifetime, ...]:
        """Return the lifetimes that include a position."""
        return tuple(one for one in self.lifetimes if one.since <= position and not _over(one, position))

    def duration_ns(self, one: Lifetime | Row) -> int:
        """Return the time (ns) for which something lived, up to the end of the run at most."""
        return (one.until or self.end).at_ns - one.since.at_ns

    def __str__(self) -> str:
        return "\n".join(lines(self))


def _over(one: Lifetime, position: Position) -> bool:
    return one.until is not None and one.until <= position


def lines(found: Lifetimes) -> Iterator[str]:
    """Yield the lines of a table of what lived where, and of the steps whose results are not followed."""
    size = len(found.secret)
    yield f"{found.name}: {size} byte{'s' if size != 1 else ''}, from {found.marked} to {found.end}"
    if not found.rows:
        yield "no place holds it"
    table = [("place", "", "from ns", "to ns", "longest ns", "made by", "ended by")]
    for row in found.rows:
        until = "" if row.until is None else str(row.until.at_ns)
        where = f"{row.where} x{row.count}" if row.count > 1 else row.where
        ended = "still there" if row.ended_by is None else row.ended_by.by
        times = str(row.since.at_ns), until, str(row.longest_ns)
        table.append((where, row.kind.value, *times, row.made_by.by, ended))
    if found.rows:
        widths = [max(len(line[column]) for line in table) for column in range(6)]
        for line in table:
            cells = [
                text.rjust(width) if 2 <= column <= 4 else text.ljust(width)
                for column, (text, width) in enumerate(zip(line, [*widths, 0], strict=True))
            ]
            yield "  ".join(cells).rstrip()
    for met, title in _TITLES:
        ends = [one for one in found.meetings if one.met is met]
        if ends:
            yield title
        for one in ends:
            yield f"  {one.by}, from {one.first}{f', {one.count} times' if one.count > 1 else ''}"


_TITLES = (
    (Met.SENT, "sent to a device:"),
    (Met.COMPUTED, "computed from it, and not followed:"),
    (Met.NOT_MODELLED, "not modelled; what these wrote is listed as possible:"),
)
