"""Rows of text, each part with its meaning. The screen chooses the styles."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Meaning(Enum):
    """The meaning of a text. Each is recognizable without colour, by its style or by the text itself."""

    PLAIN = "plain"
    DIM = "dim"
    """Less important."""
    TITLE = "title"
    NAME = "name"
    """A symbol, a region, a register."""
    CHANGED = "changed"
    """A value that has changed since the last stop; the text has a mark `*`."""
    HERE = "here"
    """The current instruction, or the current state."""
    GOOD = "good"
    BAD = "bad"
    RING_0 = "ring 0"
    """Ring 0; the text says so."""
    RING_3 = "ring 3"
    """An outer ring; the text says so."""
    NOTE = "note"
    """A remark of the pane."""


@dataclass(frozen=True, slots=True)
class Target:
    """The things that a row represents. Keys can go there, or set a breakpoint or watchpoint on them."""

    code: int | None = None
    """The linear address of an instruction."""
    jump: int | None = None
    """The target of the instruction at `code`, if it is encoded in the instruction."""
    memory: int | None = None
    """A physical address."""
    size: int = 1
    """The number of bytes at `memory`."""
    register: str | None = None
    """A register whose value the row shows, by its name in lower case."""
    event: int | None = None
    """The number (`seq`) of an event."""
    at_ns: int | None = None
    pane: str | None = None
    """The name of a pane that shows more."""

    @property
    def is_in_run(self) -> bool:
        """True if the run can go there."""
        return any(one is not None for one in (self.event, self.code, self.at_ns))


NOWHERE = Target()
Part = tuple[str, Meaning]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of text."""

    parts: tuple[Part, ...]
    target: Target = NOWHERE

    @property
    def text(self) -> str:
        """The text without meanings."""
        return "".join(text for text, _ in self.parts)


@dataclass(frozen=True, slots=True)
class View:
    """The contents of a pane. The sequence may make its rows on demand."""

    rows: Sequence[Row]
    here: int | None = None
    """The index of the row that must be visible, if the pane follows the run."""
    subtitle: str = ""


def row(text: str, meaning: Meaning = Meaning.PLAIN, target: Target = NOWHERE) -> Row:
    """Return a row of one part."""
    return Row(((text, meaning),), target)


def title(text: str) -> Row:
    """Return a heading within a pane."""
    return row(text, Meaning.TITLE)


def note(text: str) -> Row:
    """Return a remark of the pane."""
    return row(text, Meaning.NOTE)


EMPTY = row("")
