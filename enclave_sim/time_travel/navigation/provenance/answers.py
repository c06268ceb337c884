"""Answers of provenance: a tree of values, the steps that made them, and the places where the search ends."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from enclave_sim.time_travel.navigation.provenance.places import Place
from enclave_sim.time_travel.position import Position

_INDENT = "  "


class Role(Enum):
    """The way in which a source takes part in a value."""

    DATA = "data"
    """The value is copied or computed from it."""
    ADDRESS = "address"
    """It selects what is read or where it is written."""
    FLAGS = "flags"
    """Flags that decide, such as those of CMOVcc and ADC."""


class End(Enum):
    """The kinds of ends of a search."""

    CONSTANT = "constant"
    """An immediate operand, or a value that an instruction or a device always gives."""
    RETURN_ADDRESS = "return address"
    """The address of an instruction, as pushed by CALL or by interrupt delivery."""
    PROCESSOR = "processor"
    """The processor: CPUID, time, error codes, model-specific and system registers."""
    POWER_ON = "power-on"
    """The state at power-on: registers that nothing has written, and RAM that is zero."""
    BOOT_IMAGE = "boot image"
    """The kernel's image, or what the loader gave it: its boot information and modules."""
    PAYLOAD = "payload"
    """The bytes of a payload."""
    INPUT = "input"
    """An outside input."""
    TPM = "TPM"
    """An answer of the TPM."""
    DEVICE = "device"
    """A register of a device."""
    NOT_MODELLED = "not modelled"
    """An instruction or a writer whose effect is unknown. Its possible sources are listed."""
    LIMIT = "limit"
    """The search has not looked further."""


@dataclass(frozen=True, slots=True)
class Ending:
    """An end of a search."""

    kind: End
    text: str
    """A description: of a constant its value, of a payload its number and offset, of a limit how to go on."""

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.text}"


LISTED = Ending(End.LIMIT, "listed only")
"""The limit of a source that is not followed because of its role."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source of a value: a place with the value that it had, or an end."""

    role: Role
    value: "Value | None"
    """The bytes, at the position before the step; None for an end."""
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The last write of some bytes."""

    place: Place
    """The bytes."""
    position: Position | None
    """The position after the step that wrote them; None for what was there at power-on."""
    by: str
    """The writer: function and source line, a guest's function and offset, a device, or what the processor did."""
    instruction: str | None
    """The instruction, in assembly language; None for another writer."""
    sources: tuple[Source, ...] = ()
    """Everything from which the step made the value."""
    ending: Ending | None = None
    """The end, if nothing is known or needed beyond this step."""


class Happened(Enum):
    """Kinds of uses of a value."""

    USED = "used"
    """It was read, and something was made from it, or nothing that has a place."""
    OVERWRITTEN = "overwritten"
    """Some of its bytes got another value. The search ends when all have."""
    LIMIT = "limit"
    """The search has not looked further."""


@dataclass(frozen=True, slots=True)
class Use:
    """A step that used a value, or ended it."""

    happened: Happened
    position: Position
    """The position after the step."""
    by: str
    instruction: str | None
    role: Role | None
    """The role of the value in what was made; None if it was only read, or overwritten."""
    made: tuple[Place, ...]
    """The bytes made from it; of an overwritten value the bytes that were written."""

    def __str__(self) -> str:
        what = f": {self.instruction}" if self.instruction else ""
        made = ", ".join(map(str, self.made))
        if self.happened is Happened.USED:
            role = f"{self.role.value} of {made}" if self.role is not None else "read"
            return f"{self.position}, {self.by}{what}: {role}"
        return f"{self.position}, {self.by}{what}: {self.happened.value}{f' {made}' if made else ''}"


@dataclass(frozen=True, slots=True)
class Value:
    """Bytes at a position, and what gave them their value."""

    place: Place
    position: Position
    content: bytes
    origins: tuple[Origin, ...] = ()
    """The last writes, in the order of the bytes: several if several steps wrote parts of it."""
    limit: Ending | None = None
    """The reason why its origins were not looked for; None if they are complete."""

    @property
    def number(self) -> int:
        """The content as an unsigned number."""
        return int.from_bytes(self.content, "little")

    @property
    def endings(self) -> tuple[Ending, ...]:
        """All ends of the tree below this value, but those of addresses, in the order in which they are met."""
        found: dict[Ending, None] = {}
        _collect(self, found)
        return tuple(found)

    def __str__(self) -> str:
        return "\n".join(lines(self))


def _collect(value: Value, found: dict[Ending, None]) -> None:
    if value.limit is not None and value.limit != LISTED:
        found[value.limit] = None
    for origin in value.origins:
        if origin.ending is not None:
            found[origin.ending] = None
        for source in origin.sources:
            if source.role is Role.ADDRESS:
                continue
            if source.ending is not None:
                found[source.ending] = None
            elif source.value is not None:
                _collect(source.value, found)


def lines(value: Value, steps: list[Position] | None = None) -> Iterator[str]:
    """Yield the lines of a tree.

    Args:
        value: The tree.
        steps: Gets the positions of its steps, whose lines are then numbered from 1. None not to number them.

    Yields:
        A line for each value, write and end.
    """
    for text, step, position in _lines(value, 0):
        number = ""
        if steps is not None and step and position is not None:
            steps.append(position)
            number = f"[{len(steps)}] "
        indent = len(text) - len(text.lstrip())
        yield f"{text[:indent]}{number}{text[indent:]}"


def located_lines(value: Value) -> list[tuple[str, Position | None]]:
    """Return the lines of a tree, each with its position: after a write, and of a value; None for an end."""
    return [(text, position) for text, _, position in _lines(value, 0)]


_Line = tuple[str, bool, Position | None]
"""A line, True for a step, and its position."""


def _lines(value: Value, depth: int) -> Iterator[_Line]:
    content = f" = {value.number:#x}" if 0 < len(value.content) <= 16 else ""
    yield f"{_INDENT * depth}{value.place}{content} at {value.position}", False, value.position
    for origin in value.origins:
        yield from _origin(origin, value, depth + 1)
    if value.limit is not None:
        yield f"{_INDENT * (depth + 1)}{value.limit}", False, None


def _origin(origin: Origin, value: Value, depth: int) -> Iterator[_Line]:
    what = f"{origin.place}: " if origin.place != value.place else ""
    when = f"{origin.position}, " if origin.position is not None else ""
    instruction = f": {origin.instruction}" if origin.instruction else ""
    ending = f"; {origin.ending}" if origin.ending is not None else ""
    yield f"{_INDENT * depth}{what}{when}{origin.by}{instruction}{ending}", True, origin.position
    for source in origin.sources:
        yield from _source(source, depth + 1)


def _source(source: Source, depth: int) -> Iterator[_Line]:
    indent = _INDENT * depth
    role = "" if source.role is Role.DATA else f"{source.role.value} "
    if source.ending is not None:
        yield f"{indent}{role}{source.ending}", False, None
    elif source.value is not None:
        (first, _, position), *others = _lines(source.value, depth)
        yield f"{indent}{role}{first.strip()}", False, position
        yield from others if source.value.limit != LISTED else ()
