"""A lab: its text, which is data, and its judge."""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from enclave_sim.labs.case import Case
from enclave_sim.labs.check import Check
from enclave_sim.recording.text import plural

ANSWERS = "answers.toml"
"""The file with a student's answers, in the labs that ask questions."""
ANSWER_BYTES = 1 << 14
"""Limit in bytes of that file: reading a key of many parts takes time that grows with their square."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One graded part."""

    name: str
    points: int
    task: str
    hints: tuple[str, ...]


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text of a lab, `lab.toml` in its folder."""

    title: str
    goals: tuple[str, ...]
    background: str
    part: tuple[Part, ...]
    debrief: str


@dataclass(frozen=True)
class Judged:
    """The answer of a judge."""

    checks: Mapping[str, Sequence[Check]]
    """The checks of each part, by its name. A part earns points in proportion to those that passed."""
    runs: tuple[str, ...] = ()
    """The digests of the judged runs."""


@dataclass(frozen=True, eq=False)
class Lab:
    """A lab. Its `start` and `judge` are functions of the student's case and files alone."""

    name: str
    version: int
    """Part of every case: it changes whenever a case or a judgement does."""
    values: Callable[[Case], Mapping[str, Any]]
    """Returns what the text says about a case: `{name}` in background, tasks and hints stands for a value."""
    start: Callable[[Case], dict[str, bytes]]
    """Makes the files of the starting point."""
    judge: Callable[[Case, Mapping[str, bytes]], Judged]
    """Judges the files handed in. Missing ones are missing in the mapping."""
    handed_in: Mapping[str, int]
    """The files that are judged, each with the limit of its size in bytes."""
    inspected: Callable[[Case, Path], Sequence[str]] = lambda _case, _directory: ()
    """Returns the arguments of `enclave-sim inspect` for a student's directory: the run that the lab is about."""

    @cached_property
    def text(self) -> Text:
        """The text."""
        source = files(f"enclave_sim.labs.{self.name}").joinpath("lab.toml").read_text("utf-8")
        return msgspec.convert(tomllib.loads(source), Text)

    @property
    def points(self) -> int:
        """The points of all parts."""
        return sum(part.points for part in self.text.part)

    def case(self, student: str, key: bytes = b"") -> Case:
        """Return the case of a student, by the key that a course gave out. Raises ConfigurationError for a bad ID."""
        return Case(self.name, self.version, student, key)

    def filled(self, case: Case) -> Text:
        """Return the text for a case."""
        values = self.values(case)
        parts = tuple(
            msgspec.structs.replace(
                one, task=_filled(one.task, values), hints=tuple(_filled(hint, values) for hint in one.hints)
            )
            for one in self.text.part
        )
        return msgspec.structs.replace(self.text, background=_filled(self.text.background, values), part=parts)

    def page(self, case: Case) -> bytes:
        """Return the student's page: the text of the lab, for a case."""
        return "\n".join(self._lines(case)).encode()

    def _lines(self, case: Case) -> Iterator[str]:
        text = self.filled(case)
        yield f"# {text.title}\n"
        points = plural(self.points, "point")
        yield f"Lab `{self.name}`, version {self.version}, for student `{case.student}`: {points}.\n"
        yield "## Goals\n"
        yield from (f"* {goal}" for goal in text.goals)
        yield f"\n## Background\n\n{text.background}"
        for part in text.part:
            yield f"## Part `{part.name}`: {plural(part.points, 'point')}\n\n{part.task}"


def _filled(text: str, values: Mapping[str, Any]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text
