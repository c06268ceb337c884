"""Rows of text, each part with its meaning. How a meaning looks is the screen's business."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Meaning(Enum):
    """What a piece of text is. Each has a look without colour, too; where that would not do, the text says it."""

    PLAIN = "plain"
    DIM = "dim"
    """Said for completeness."""
    TITLE = "title"
    NAME = "name"
    """A symbol, a region, a register."""
    CHANGED = "changed"
    """Another value than at the last stop; the text has a mark `*`."""
    HERE = "here"
    """Where the processor is."""
    GOOD = "good"
    BAD = "bad"
    NOTE = "note"
    """What a pane says about itself."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a row stands for, so that one can go there or set something on it. Addresses are physical unless linear."""

    code: int | None = None
    """A linear address that is executed."""
    jump: int | None = None
    """Where the instruction at `code` may lead, if that is written in it."""
    memory: int | None = None
    """A physical address."""
    size: int = 1
    """Bytes of `memory`."""
    event: int | None = None
    """A `seq`."""
    at_ns: int | None = None
    pane: str | None = None
    """A pane that tells more."""


NOWHERE = Target()
Part = tuple[str, Meaning]


@dataclass(frozen=True, slots=True)
class Row:
    """One line."""

    parts: tuple[Part, ...]
    target: Target = NOWHERE

    @property
    def text(self) -> str:
        """Without meanings."""
        return "".join(text for text, _ in self.parts)


@dataclass(frozen=True, slots=True)
class View:
    """What a pane shows. Rows may be made only when they are asked for."""

    rows: Sequence[Row]
    here: int | None = None
    """The row to be in sight, where the pane follows the run."""
    subtitle: str = ""


def row(text: str, meaning: Meaning = Meaning.PLAIN, target: Target = NOWHERE) -> Row:
    """A row of one part."""
    return Row(((text, meaning),), target)


def title(text: str) -> Row:
    """A heading within a pane."""
    return row(text, Meaning.TITLE)


def note(text: str) -> Row:
    """What a pane says about itself."""
    return row(text, Meaning.NOTE)


EMPTY = row("")
