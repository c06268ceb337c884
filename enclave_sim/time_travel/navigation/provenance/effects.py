"""Effects of one step: which bytes it wrote, and from which bytes each of them came."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from enclave_sim.time_travel.navigation.provenance.answers import Ending, Role
from enclave_sim.time_travel.navigation.provenance.places import Place

Bytes = tuple[Place, ...]
"""Bytes in several pieces, such as an operand that crosses a page."""


class Spread(Enum):
    """The bytes of a source on which one byte of the target depends."""

    ALL = ""
    EACH = "."
    """The same byte."""
    UP_TO = "<"
    """The same and lower ones."""
    REVERSED = "%"
    """The same from the other end."""
    BITS = "^"
    """All bytes, of whose bits it consists: a shift, a rotation, a selection, a copy of the sign."""
    BITS_UP_TO = "+"
    """The same and lower bytes, of whose bits it consists: a shift to the left."""


@dataclass(frozen=True, slots=True)
class Input:
    """A source of an effect."""

    what: Bytes | Ending
    role: Role = Role.DATA
    spread: Spread = Spread.ALL

    def narrowed(self, first: int, last: int, size: int) -> "list[tuple[Role, Place | Ending]]":
        """Return the sources of some bytes of the target.

        Args:
            first: The number of the first byte of the target.
            last: The number after the last one.
            size: The number of bytes of the target.

        Returns:
            The pieces on which these bytes depend.
        """
        if isinstance(self.what, Ending):
            return [(self.role, self.what)]
        if self.spread in (Spread.UP_TO, Spread.BITS_UP_TO):
            first = 0
        elif self.spread is Spread.REVERSED:
            first, last = size - last, size - first
        elif self.spread in (Spread.ALL, Spread.BITS):
            first, last = 0, length(self.what)
        return [(self.role, one) for one in cut(self.what, first, last)]


@dataclass(frozen=True, slots=True)
class Effect:
    """One write of a step."""

    target: Bytes
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Transfer:
    """The part of one writer in a step."""

    by: str
    instruction: str | None
    effects: tuple[Effect, ...]
    ending: Ending | None = None


def length(pieces: Bytes) -> int:
    """Return the number of bytes."""
    return sum(one.size for one in pieces)


def cut(pieces: Bytes, first: int, last: int) -> Bytes:
    """Return some bytes, by the number of the first one and the number after the last one."""
    found, at = [], 0
    for piece in pieces:
        begin, end = max(first - at, 0), min(last - at, piece.size)
        if begin < end:
            found.append(piece.part(begin, end - begin))
        at += piece.size
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes that an effect wrote, with their sources."""

    place: Place
    sources: "tuple[tuple[Role, Place | Ending], ...]"


def written(effects: Iterable[Effect], wanted: Iterable[Place]) -> tuple[list[Written], list[Place]]:
    """Return which bytes of some places the effects of one step wrote, and those that they did not write.

    Args:
        effects: The effects. Of two that write the same bytes the last one counts.
        wanted: The places.

    Returns:
        What was written, and the rest.
    """
    found: list[Written] = []
    rest = list(wanted)
    for effect in reversed(list(effects)):
        at = 0
        for piece in effect.target:
            for place in list(rest):
                common = place.common(piece)
                if common is not None:
                    first = at + common.start - piece.start
                    sources = [
                        one
                        for source in effect.inputs
                        for one in source.narrowed(first, first + common.size, length(effect.target))
                    ]
                    found.append(Written(common, tuple(dict.fromkeys(sources))))
                    rest.remove(place)
                    rest += place.without(common)
            at += piece.size
    return found, rest
