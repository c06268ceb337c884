"""Results so far, one JSON object a line, so that an interrupted run can be continued."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tests.mutation.mutants import Mutant


class Fate(StrEnum):
    """Possible results for a mutant."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    """Killed, too: the tests did not end."""
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"
    STILLBORN = "stillborn"
    """Its module cannot be imported, which is noticed without a test: not counted."""


@dataclass(frozen=True)
class Result:
    """Result for one mutant."""

    name: str
    area: str
    path: str
    line_number: int
    operator: str
    was: str
    becomes: str
    fate: Fate
    seconds: float
    killer: str = ""
    """Test that failed, or the reason why none can."""

    @classmethod
    def of(cls, mutant: Mutant, area: str, fate: Fate, seconds: float, killer: str = "") -> "Result":
        """Return the result for a mutant."""
        line = mutant.line_number
        return cls(
            mutant.name, area, mutant.path, line, mutant.operator, mutant.was, mutant.becomes, fate, seconds, killer
        )


class Session:
    """A file of results."""

    def __init__(self, file: Path, *, retry: bool = False) -> None:
        """Open or create a session.

        Args:
            file: lines of JSON; need not exist.
            retry: forget the mutants that survived, because there are new tests.
        """
        self._file = file
        self.results: dict[str, Result] = {}
        if file.exists():
            for line in file.read_text().splitlines():
                fields = json.loads(line)
                result = Result(**{**fields, "fate": Fate(fields["fate"])})
                self.results[result.name] = result
        if retry:
            self.results = {name: one for name, one in self.results.items() if one.fate is not Fate.SURVIVED}

    def add(self, result: Result) -> None:
        """Keep a result, also on disk at once."""
        self.results[result.name] = result
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as stream:
            stream.write(json.dumps(asdict(result)) + "\n")
