"""The task of a lab: its text, its parts and what is missing, and the names in hints, which the panes mark."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from enclave_sim.inspector.model.rows import EMPTY, Meaning, Row, View, note, row, title

_NAME = re.compile(r"`([^`\s]+)`|\b([a-z0-9]+_[a-z0-9_]+)\b|(?<![\w#])([A-Z][A-Z0-9_]+[a-z]?)\b")
"""A word in backticks, one with underscores, or one in capitals."""
_COMMON = frozenset(("SDM", "ID", "AND", "OR", "XOR", "NOT"))
_LEAST_WIDTH = 24


@dataclass(frozen=True, slots=True)
class TaskPart:
    """One part of the task."""

    name: str
    points: int
    of: int
    text: str
    messages: tuple[str, ...]
    """The reasons why it lacks points."""
    hints: tuple[str, ...]
    """The hints that were asked for."""

    @property
    def is_done(self) -> bool:
        """True if it has full marks."""
        return self.points == self.of


@dataclass(frozen=True, slots=True)
class Task:
    """A task, as judged last."""

    title: str
    background: str
    parts: tuple[TaskPart, ...]
    said: str = ""
    """A remark, such as the reason why it could not be judged."""

    @property
    def marked(self) -> frozenset[str]:
        """The names in the hints of the parts that are not done, in lower case."""
        return frozenset(name for part in self.parts if not part.is_done for one in part.hints for name in names(one))

    def unsolved(self, part: str) -> str:
        """Return a part if it lacks points, else the first one that does; the part itself if none does."""
        missing = [one.name for one in self.parts if not one.is_done]
        return part if part in missing or not missing else missing[0]


class LabTask(Protocol):
    """A task that someone works on, in files. The command line has one for each lab."""

    def stamp(self) -> object:
        """Return a value that changes whenever a file that is handed in does."""

    def judged(self) -> Task:
        """Judge the files; it may take seconds."""

    def hinted(self, part: str) -> Task:
        """Note one more hint of a part, and return the task as it was judged last."""

    def close(self) -> None:
        """End a judgement that is under way, because nobody waits for it."""


def names(hint: str) -> Iterator[str]:
    """Yield the names in a hint, in lower case."""
    for found in _NAME.finditer(hint):
        name = next(one for one in found.groups() if one)
        if name not in _COMMON:
            yield name.lower()


@dataclass(frozen=True, slots=True)
class TaskView(View):
    """The view of a task, with the part of each row."""

    parts: tuple[str, ...] = ()


def task_view(task: Task | None, width: int, going_on: bool) -> TaskView:
    """Return the task as rows of a width: the remark, the parts with their ticks and hints, then the text."""
    if task is None:
        return TaskView((note("reading what there is"),))
    width = max(width, _LEAST_WIDTH)
    rows = [row(line, Meaning.BAD) for line in textwrap.wrap(task.said, width)]
    parts = [part.name for part in task.parts[:1]] * len(rows)
    for part in task.parts:
        lines = list(_part_rows(part, width))
        rows += lines
        parts += [part.name] * len(lines)
    rows += [title(task.title), *_text_rows(task.background, width)]
    for part in task.parts:
        rows += [title(f"part {part.name}"), *_text_rows(part.text, width)]
        parts += [part.name] * (len(rows) - len(parts))
    done = sum(part.points for part in task.parts)
    subtitle = f"{done} of {sum(part.of for part in task.parts)} points{', judging' if going_on else ''}"
    return TaskView(tuple(rows), None, subtitle, tuple(parts))


def _part_rows(part: TaskPart, width: int) -> Iterator[Row]:
    mark, meaning = ("✓", Meaning.GOOD) if part.is_done else (" ", Meaning.PLAIN)
    yield Row(((f"{mark} {part.name}", meaning), (f": {part.points} of {part.of}", Meaning.DIM)))
    for message in () if part.is_done else part.messages:
        yield from _wrapped(message, width, Meaning.BAD)
    for number, hint in enumerate(part.hints, 1):
        yield from _wrapped(f"hint {number}: {hint}", width, Meaning.NOTE)


def _wrapped(text: str, width: int, meaning: Meaning) -> Iterator[Row]:
    for line in textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    "):
        yield row(line, meaning)


def _text_rows(text: str, width: int) -> Iterator[Row]:
    """Yield the rows of a text; lines that are indented are kept, because they are commands or listings."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if paragraph.startswith("    "):
            yield from (row(line, Meaning.NAME) for line in paragraph.splitlines())
        else:
            yield from (row(line) for line in textwrap.wrap(paragraph, width))
        yield EMPTY
