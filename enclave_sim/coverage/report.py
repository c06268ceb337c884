"""The coverage of a program by lines, branches, edges and functions of its sources."""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from enclave_sim.coverage.code import Code, Instruction, Kind
from enclave_sim.coverage.sources import find_source
from enclave_sim.enclave.kernel.program import Program
from machine.processor.code_coverage import Mark


class Count(msgspec.Struct, frozen=True):
    """Numbers of covered things, and of all."""

    covered: int
    total: int

    def __str__(self) -> str:
        """Return `3 of 4, 75.0 %`."""
        share = f", {100 * self.covered / self.total:.1f} %" if self.total else ""
        return f"{self.covered:,} of {self.total:,}{share}"

    def __add__(self, other: "Count") -> "Count":
        return Count(self.covered + other.covered, self.total + other.total)


NOTHING = Count(0, 0)


@dataclass(frozen=True, slots=True)
class Branch:
    """A conditional branch."""

    address: int
    reached: bool
    taken: bool
    passed: bool
    """It was executed and not taken."""


@dataclass(frozen=True)
class FileCoverage:
    """The coverage of one source file."""

    name: str
    """Its path below the directory of the image or of the compiler, such as `src/kernel.c`."""
    path: Path
    """Its path on this computer if it exists, else for the compiler."""
    text: tuple[str, ...]
    """Its lines; empty if it does not exist."""
    lines: dict[int, bool]
    """By number, in order: whether any instruction of the line was executed. Lines without code are left out."""
    branches: dict[int, tuple[Branch, ...]]
    """The conditional branches of each line, by address."""
    functions: tuple[tuple[int, str, bool], ...]
    """Line, name, and whether it was entered, of each function; a label in assembly is one."""

    @property
    def line_count(self) -> Count:
        """The lines with code."""
        return Count(sum(self.lines.values()), len(self.lines))

    @property
    def branch_count(self) -> Count:
        """Both ways of all conditional branches."""
        found = [one for several in self.branches.values() for one in several]
        return Count(sum(one.taken + one.passed for one in found), 2 * len(found))

    @property
    def function_count(self) -> Count:
        """The functions."""
        return Count(sum(entered for _, _, entered in self.functions), len(self.functions))

    @property
    def missed(self) -> tuple[int, ...]:
        """The lines with code of which nothing was executed."""
        return tuple(line for line, hit in self.lines.items() if not hit)


@dataclass(frozen=True)
class CoverageReport:
    """The coverage of a program."""

    name: str
    """The program's name."""
    files: tuple[FileCoverage, ...]
    """By name, in order."""
    instructions: Count
    edges: Count
    """Both ways of conditional branches, and the targets of direct jumps and calls."""
    computed: int
    """Transfers seen at computed jumps, calls and returns, whose number nobody knows."""

    @property
    def lines(self) -> Count:
        """The lines with code."""
        return sum((one.line_count for one in self.files), NOTHING)

    @property
    def branches(self) -> Count:
        """Both ways of all conditional branches."""
        return sum((one.branch_count for one in self.files), NOTHING)

    @property
    def functions(self) -> Count:
        """The functions, and the labels in assembly."""
        return sum((one.function_count for one in self.files), NOTHING)

    def __str__(self) -> str:
        """Return a table of the files and the totals."""
        width = max(len(one.name) for one in self.files)
        rows = [f"{one.name:<{width}}  {one.line_count!s:>20}  {one.branch_count!s:>20}" for one in self.files]
        totals = (
            f"lines {self.lines}; branches {self.branches}; edges {self.edges}; "
            f"functions {self.functions}; instructions {self.instructions}"
        )
        return "\n".join([f"{'file':<{width}}  {'lines':>20}  {'branches':>20}", *rows, totals])


class _File(NamedTuple):
    """A file, as far as it has been counted."""

    lines: dict[int, bool]
    branches: dict[int, list[Branch]]
    functions: list[tuple[int, str, bool]]


def report_of(
    program: Program, code: Code, marks: bytes | bytearray, transfers: Set[tuple[int, int]]
) -> CoverageReport:
    """Return the coverage of a program by what was noted: see `Coverage`."""
    base = code.where.start
    files: dict[Path, _File] = {}
    instructions = edges = NOTHING
    computed: set[int] = set()
    for piece in code.pieces:
        file = files.setdefault(piece.path, _File({}, {}, []))
        hit = any(marks[piece.where.start - base : piece.where.stop - base])
        file.lines[piece.line] = file.lines.get(piece.line, False) or hit
        for one in piece.instructions:
            begun = bool(marks[one.address - base])
            instructions += Count(begun, 1)
            if one.address in code.functions:
                file.functions.append((piece.line, code.functions[one.address], begun))
            if one.kind is Kind.CONDITIONAL:
                taken, passed = (one.address, one.target) in transfers, _passed(one, base, marks, transfers)
                file.branches.setdefault(piece.line, []).append(Branch(one.address, begun, taken, passed))
                edges += Count(taken + passed, 2)
            elif one.kind is Kind.DIRECT:
                edges += Count(begun, 1)
            elif one.kind in (Kind.INDIRECT, Kind.RETURN):
                computed.add(one.address)
    found = [
        FileCoverage(
            *find_source(program.name, path),
            dict(sorted(file.lines.items())),
            {line: tuple(branches) for line, branches in sorted(file.branches.items())},
            tuple(sorted(file.functions)),
        )
        for path, file in files.items()
    ]
    found.sort(key=lambda one: one.name)
    seen = sum(from_ in computed for from_, _ in transfers)
    return CoverageReport(program.name, tuple(found), instructions, edges, seen)


def _passed(one: Instruction, base: int, marks: bytes | bytearray, transfers: Set[tuple[int, int]]) -> bool:
    """Return whether a conditional branch was not taken."""
    if (one.address, one.end) in transfers:
        return True
    return one.end - base < len(marks) and bool(marks[one.end - base] & Mark.IN_SEQUENCE)
