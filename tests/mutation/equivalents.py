"""Mutants that no test can kill, because they behave as the original does: `equivalents.toml`, each with its reason."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant, mutant_becoming

LIST = Path(__file__).with_name("equivalents.toml")


@dataclass(frozen=True)
class Equivalent:
    """A change without an effect that a test could see."""

    path: str
    was: str
    becomes: str
    reason: str

    def is_(self, mutant: Mutant) -> bool:
        """Return True if this entry matches the mutant."""
        return (self.path, self.was, self.becomes) == (mutant.path, mutant.was, mutant.becomes)

    def can_be_made(self, root: Path) -> bool:
        """Return True if an operator makes this change to the current file."""
        file = root / self.path
        return file.is_file() and mutant_becoming(self.path, file.read_text(), self.was, self.becomes)


def load(file: Path = LIST) -> tuple[Equivalent, ...]:
    """Read the list. Raises TypeError for an entry that lacks a field or has one too many."""
    return tuple(Equivalent(**entry) for entry in tomllib.loads(file.read_text()).get("equivalent", []))


def reason_for(mutant: Mutant, known: tuple[Equivalent, ...]) -> str | None:
    """Return why a mutant is equivalent, or None if it is not in the list."""
    return next((entry.reason for entry in known if entry.is_(mutant)), None)
