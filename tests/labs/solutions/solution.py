"""A lab's solution, made as a student makes it: from the page and the starting point, with the program's commands."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Files = dict[str, bytes]
Answers = dict[str, Any]


@dataclass(frozen=True)
class Workplace:
    """What a student has: the page, the other files of the starting point, and a directory to work in."""

    page: str
    start: Mapping[str, bytes]
    directory: Path


@dataclass(frozen=True)
class Wrong:
    """A common wrong answer: the solution with one change, and words of the message for it."""

    name: str
    change: Callable[[Files, Workplace], Files]
    message: str


@dataclass(frozen=True)
class Solution:
    """How a lab is solved, and how it is often missed."""

    solve: Callable[[Workplace], Files]
    wrong: tuple[Wrong, ...]


def toml(answers: Mapping[str, Any]) -> bytes:
    """Encode answers: tables of numbers, texts, lists, and inline tables."""
    lines = []
    for table, values in answers.items():
        lines += [f"[{table}]", *(f"{key} = {_value(value)}" for key, value in values.items())]
    return ("\n".join(lines) + "\n").encode()


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_value(one)}' for key, one in value.items())} }}"
    return json.dumps(value)


def answer(name: str, path: str, value: Callable[[Workplace], Any], message: str) -> Wrong:
    """Make a wrong answer to one question; `path` is `table.key`."""
    import tomllib

    def change(files: Files, place: Workplace) -> Files:
        answers = tomllib.loads(files["answers.toml"].decode())
        *tables, key = path.split(".")
        at = answers
        for table in tables:
            at = at[table]
        at[key] = value(place)
        return {**files, "answers.toml": toml(answers)}

    return Wrong(name, change, message)
