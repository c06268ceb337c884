"""Areas of the source that must reach a score, and the tests that may kill a mutant of each. Tests mirror the tree, so
most mutants are killed by the test file with the matching name. A test file of the area that imports the mutated module
counts as matching. Survivors go to the tests of the whole area, and then to its neighbours.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Area:
    """Files that are scored together."""

    name: str
    paths: tuple[str, ...]
    tests: tuple[str, ...]
    """Files and directories whose tests cover this area."""
    neighbours: tuple[str, ...]
    """Files and directories whose tests execute this area indirectly."""

    def holds(self, path: str) -> bool:
        """Return True if a file belongs to this area."""
        return _within(path, self.paths)


DATA = "tests/test_data.py"
"""Holds the data of all areas."""

AREAS = (
    Area(
        "machine",
        ("machine",),
        ("tests/machine", DATA),
        (
            "tests/enclave_sim/enclave/test_annihilation.py",
            "tests/enclave_sim/enclave/test_enclave.py",
            "tests/enclave_sim/enclave/test_snapshot.py",
            "tests/firmware",
        ),
    ),
    Area(
        "guarantees",
        ("enclave_sim/guarantees",),
        ("tests/enclave_sim/guarantees", "tests/enclave_sim/testing/test_assertions.py", DATA),
        ("tests/enclave_sim/cli/runs/test_verify.py",),
    ),
    Area(
        "attestation",
        ("enclave_sim/attestation",),
        ("tests/enclave_sim/attestation", DATA),
        (),
    ),
    Area(
        "recording",
        ("enclave_sim/recording",),
        (
            "tests/enclave_sim/recording",
            "tests/enclave_sim/time_travel/test_replay.py",
            "tests/enclave_sim/time_travel/test_replay_forged.py",
            DATA,
        ),
        ("tests/enclave_sim/cli/recordings/test_diff.py", "tests/enclave_sim/cli/recordings/test_events.py"),
    ),
    Area(
        "payload",
        ("enclave_sim/payload",),
        ("tests/enclave_sim/payload", DATA),
        ("tests/payloads", "tests/enclave_sim/enclave/engine/test_last_store.py"),
    ),
)


def _within(path: str, places: tuple[str, ...]) -> bool:
    return any(PurePosixPath(path).is_relative_to(place) for place in places)


def area_of(path: str) -> Area | None:
    """Return the area that a source file belongs to."""
    return next((area for area in AREAS if area.holds(path)), None)


def stages(root: Path, path: str) -> Iterator[tuple[str, ...]]:
    """Yield sets of tests for a mutant of an unmapped source file, the most likely to kill it first."""
    area = area_of(path)
    near = _named_after(root, path)
    if area is None:
        yield tuple(near) or ("tests",)
        return
    inside = tuple(test for test in near if _within(test, area.tests))
    if inside:
        yield inside
    yield area.tests
    if area.neighbours:
        yield area.neighbours


def _named_after(root: Path, path: str) -> list[str]:
    source = PurePosixPath(path)
    mirrored = str(PurePosixPath("tests", source.parent, f"test_{source.stem}.py"))
    importers = [test for test in importers_of(root, path, "tests/**/test_*.py") if test != mirrored]
    return [mirrored, *importers] if (root / mirrored).exists() else importers


def importers_of(root: Path, path: str, pattern: str) -> list[str]:
    """Return the files of a pattern that name the module of a file in their imports."""
    module = ".".join(PurePosixPath(path).with_suffix("").parts)
    return [file for file, modules in _imports(root, pattern).items() if module in modules]


@cache
def _imports(root: Path, pattern: str) -> dict[str, frozenset[str]]:
    """Return which modules each file of a pattern names in its imports."""
    found: dict[str, frozenset[str]] = {}
    for file in sorted(root.glob(pattern)):
        named: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                named.add(node.module)
                named.update(f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Import):
                named.update(alias.name for alias in node.names)
        found[file.relative_to(root).as_posix()] = frozenset(named)
    return found
