"""Answers in a TOML file of limited size. Whatever is in it, reading it fails in one known way."""

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from enclave_sim.labs.check import Check
from enclave_sim.labs.lab import ANSWERS


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
            self._found = tomllib.loads(files[ANSWERS].decode("utf-8"))
        except RecursionError:
            self.problem = f"{ANSWERS} is nested too deeply."
        except ValueError as error:
            self.problem = f"{ANSWERS} is not TOML: {str(error)[:200]}."

    def get(self, *path: str) -> Any:
        """Return the answer at a path of keys; None if it is missing or an empty text or list, as at the start."""
        found: Any = self._found
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return None if found in ("", []) else found

    def unreadable(self, parts: Iterable[str]) -> dict[str, tuple[Check, ...]] | None:
        """Return the same failed check for all parts if the file cannot be read, otherwise None."""
        return {part: (Check(False, self.problem),) for part in parts} if self.problem else None
