"""Answers in a TOML file of limited size. Whatever is in it, reading it fails in one known way."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from enclave_sim.labs.check import Check
from enclave_sim.labs.lab import ANSWERS
from enclave_sim.reasons import reason
from enclave_sim.recording.text import printable
from enclave_sim.similar import did_you_mean

_SECTION, _QUESTION = re.compile(r"\[(\w+)\]"), re.compile(r"(?:# )?(\w+) =")
_GROUPED = re.compile(rb"^[^#\"']*= *[0-9]+,[0-9]", re.MULTILINE)
"""A number as it is printed, with commas between its thousands."""


class Answers:
    """The answers of a student.

    Args:
        files: The files handed in, by name.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._found: dict[str, Any] = {}
        self.problem = ""
        """The reason why nothing can be read; empty if there is none."""
        if ANSWERS not in files:
            self.problem = f"{ANSWERS} is missing."
            return
        try:
            self._found = tomllib.loads(files[ANSWERS].decode("utf-8-sig"))
        except RecursionError:
            self.problem = f"{ANSWERS} is nested too deeply."
        except ValueError as error:
            self.problem = f"{ANSWERS} is not TOML: {reason(error)[:200]}."
            if _GROUPED.search(files[ANSWERS]):
                self.problem += " Write numbers without commas: 1234567 or 1_234_567."

    def get(self, *path: str) -> Any:
        """Return the answer at a path of keys; None if it is missing or an empty text or list, as at the start."""
        found: Any = self._found
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return None if found in ("", []) else found

    def unasked(self, start: bytes) -> Iterator[str]:
        """Yield a sentence for each answer that no part asks for.

        Args:
            start: The answers file of the starting point, where questions without an answer are comments.
        """
        known = _asked(start.decode())
        for part, answers in self._found.items():
            names = [f"{part}.{name}" for name in answers] if isinstance(answers, dict) else [part]
            for name in names:
                if name not in known:
                    yield f"{ANSWERS}: no part asks for {printable(name)}; {did_you_mean(name, known)}it is not judged"

    def unreadable(self, parts: Iterable[str]) -> dict[str, tuple[Check, ...]] | None:
        """Return the same failed check for all parts if the file cannot be read, otherwise None."""
        return {part: (Check(False, self.problem),) for part in parts} if self.problem else None


def _asked(start: str) -> list[str]:
    """Return `part.answer` for each question in the answers file of a starting point."""
    found, part = [], ""
    for line in start.splitlines():
        if section := _SECTION.fullmatch(line):
            part = section[1]
        elif question := _QUESTION.match(line):
            found.append(f"{part}.{question[1]}")
    return found
