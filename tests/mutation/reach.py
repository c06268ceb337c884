"""Maps each line of an area to the tests that execute it; coverage.py makes the map once, and it is kept beside the
session. A mutant first meets the quickest case of each test function that executes its line, in order of time, and then
the other cases. Lines executed by a shared fixture count for the first test that uses it. A line executed during import
(a table, a default value) can matter wherever its module is used: every test counts that executes any line of the file
or of one that imports it, and finally the whole area. The map does not cover later changes: a new or changed test file
runs whole, and for a mutant of a changed source file tests are chosen by name (`areas.stages`). Lines that
tests execute in another process are not on the map.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from tests.mutation.areas import Area, importers_of
from tests.mutation.workplace import Workplace

AT_IMPORT = ""
"""Context of lines executed while pytest imports modules and collects tests."""

Tests = tuple[str, ...]


@dataclass(frozen=True)
class Reach:
    """The map of one area."""

    root: Path
    area: Area
    data: Path
    seconds: dict[str, float]
    """Seconds that each test took under coverage.py, more than without."""
    digests: dict[str, str]
    """Digest of each source and test file when the map was made."""

    @classmethod
    def of(cls, area: Area, workplace: Workplace, directory: Path) -> "Reach":
        """Read the map in a directory, or make it there."""
        directory.mkdir(parents=True, exist_ok=True)
        data, index = directory.absolute() / f"{area.name}.coverage", directory / f"{area.name}.reach"
        if not index.exists():
            seconds = workplace.trace((*area.tests, *area.neighbours), area.paths, data)
            digests = {file: _digest(workplace.root / file) for file in _files(workplace.root, area)}
            index.write_text(json.dumps({"seconds": seconds, "digests": digests}))
        return cls(workplace.root, area, data, **json.loads(index.read_text()))

    def knows(self, path: str) -> bool:
        """Return True if a file has not changed since then."""
        return self.digests.get(path) == _digest(self.root / path)

    def stages(self, path: str, line: int) -> Iterator[Tests]:
        """Yield sets of tests for a mutant, the most likely to kill it first; none if no test reaches its line."""
        contexts = _contexts(self.data, path)
        lines = _statement((self.root / path).read_text(), line)
        reached = {test for number in lines for test in contexts.get(number, ())}
        everywhere = AT_IMPORT in reached
        if everywhere:
            users = [path, *(user for place in self.area.paths for user in self._importers(path, place))]
            reached = {test for user in users for tests in _contexts(self.data, user).values() for test in tests}
        reached.discard(AT_IMPORT)
        quickest = self._quickest(reached)
        if quickest or self._changed_tests:
            yield (*quickest, *self._changed_tests)
        if everywhere:
            yield self.area.tests
            if self.area.neighbours:
                yield self.area.neighbours
        elif others := reached.difference(quickest):
            yield tuple(sorted(others))

    def _importers(self, path: str, place: str) -> list[str]:
        return importers_of(self.root, path, place if place.endswith(".py") else f"{place}/**/*.py")

    def slowest(self, tests: Tests) -> float:
        """Return the seconds that the slowest of some tests took."""
        return max(self._known(tests))

    def together(self, tests: Tests) -> float:
        """Return the seconds that some tests took together."""
        return sum(self._known(tests))

    def _known(self, tests: Tests) -> list[float]:
        """Return the seconds of each of some tests, files and directories; of all tests if none of them is known."""
        known = [took for test, took in self.seconds.items() if any(_covers(given, test) for given in tests)]
        return known or list(self.seconds.values())

    def _quickest(self, tests: Iterable[str]) -> list[str]:
        quickest: dict[str, str] = {}
        for test in sorted(tests, key=lambda one: (self.seconds.get(one, 0.0), one)):
            quickest.setdefault(test.partition("[")[0], test)
        return list(quickest.values())

    @cached_property
    def _changed_tests(self) -> Tests:
        tests = [file for file in _files(self.root, self.area) if Path(file).name.startswith("test_")]
        return tuple(file for file in tests if not self.knows(file))


@cache
def _contexts(data: Path, path: str) -> dict[int, list[str]]:
    from coverage import CoverageData

    found = CoverageData(str(data))
    found.read()
    return found.contexts_by_lineno(path)


def _statement(source: str, line: int) -> range:
    """Return the lines of the statement that a line is part of; for a compound statement, those before its body."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse(source)):  # outer ones first
        if isinstance(node, ast.stmt) and not isinstance(node, ast.Match):
            body = getattr(node, "body", None)
            last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
            if node.lineno <= line <= last:
                found = range(node.lineno, last + 1)
    return found


def _files(root: Path, area: Area) -> list[str]:
    places = [root / place for place in (*area.paths, *area.tests, *area.neighbours)]
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*.py"))]
    return sorted({file.relative_to(root).as_posix() for file in files})


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _covers(given: str, test: str) -> bool:
    return test == given or test.startswith((f"{given}::", f"{given}/"))
