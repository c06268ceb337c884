"""Coverage as the object that `enclave-sim coverage --json` prints."""

import msgspec

from enclave_sim.coverage.report import Count, CoverageReport, FileCoverage


class CountObject(msgspec.Struct, frozen=True):
    """Numbers of covered things, and of all."""

    covered: int
    """The number of those that were."""
    total: int
    """The number of all."""


class FileObject(msgspec.Struct, frozen=True):
    """The coverage of a source file."""

    name: str
    """Its path below the directory of the kernel's image, or the compiler's path."""
    lines: CountObject
    """Lines with code."""
    branches: CountObject
    """Both ways of each conditional branch."""
    functions: CountObject
    """Functions, and labels in assembly."""
    missed: tuple[int, ...]
    """The lines with code of which nothing was executed."""


class CoverageObject(msgspec.Struct, frozen=True):
    """The coverage of a kernel."""

    kernel: str
    """The kernel: `aether.elf` for the enclave's own, else the path of the image."""
    lines: CountObject
    """Lines with code."""
    branches: CountObject
    """Both ways of each conditional branch."""
    edges: CountObject
    """Both ways of each conditional branch, and each direct jump and call."""
    functions: CountObject
    """Functions, and labels in assembly."""
    instructions: CountObject
    """Machine instructions that belong to lines."""
    computed: int
    """Different transfers seen at computed jumps, calls and returns."""
    files: tuple[FileObject, ...]
    """The source files, by name."""


def coverage_object(report: CoverageReport) -> CoverageObject:
    """Return a report as an object."""
    return CoverageObject(
        kernel=report.name,
        lines=_count(report.lines),
        branches=_count(report.branches),
        edges=_count(report.edges),
        functions=_count(report.functions),
        instructions=_count(report.instructions),
        computed=report.computed,
        files=tuple(map(_file, report.files)),
    )


def _file(one: FileCoverage) -> FileObject:
    counts = _count(one.line_count), _count(one.branch_count), _count(one.function_count)
    return FileObject(one.name, *counts, one.missed)


def _count(one: Count) -> CountObject:
    return CountObject(one.covered, one.total)
