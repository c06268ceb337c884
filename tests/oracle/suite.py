"""The exception suite: one image for each theme, of the theme's cases and a common runner. The runner marks the
beginning of each case with a reserved interrupt, and prints the case's name at the start of each line, so that a run
can be split into cases.
"""

import struct
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from tests.oracle.image import Image, build
from tests.oracle.records import Record, Run

HERE = Path(__file__).parent / "exceptions"
_SHARED = ("boot.S", "tables.S", "runner.S", "trap.S")
_MARK = 0xF1
PASSED = 0x10 * 2 + 1
"""The exit status after all cases."""
_ENTRY = struct.Struct("<4Q")
THEMES = tuple(sorted(path.stem for path in HERE.glob("*.S") if path.name not in _SHARED))
ONE_BY_ONE = frozenset(["shutdown"])
"""Themes in which each case ends the run."""


@dataclass(frozen=True)
class Case:
    """The result of one case on one machine."""

    name: str
    lines: tuple[str, ...]
    records: tuple[Record, ...]

    def __str__(self) -> str:
        return "\n".join([*self.lines, *(f"    {record}" for record in self.records)])


@cache
def image(theme: str, first_case: int = 0) -> Image:
    """The image of a theme, starting at one of its cases."""
    if first_case == 0:
        return Image(build([HERE / name for name in (*_SHARED, f"{theme}.S")], HERE / "link.ld"))
    whole = image(theme)
    content = bytearray(whole.elf)
    struct.pack_into("<Q", content, whole.offset(whole.symbols["case_number"]), first_case)
    return Image(bytes(content))


def names(of: Image) -> list[str]:
    """The cases of an image, in order."""
    table = of.elf[of.offset(of.symbols["cases"]) :][: of.symbols["cases_end"] - of.symbols["cases"]]
    found = []
    for name, _, _, _ in _ENTRY.iter_unpack(table):
        start = of.offset(name)
        found.append(of.elf[start : of.elf.index(b"\0", start)].decode())
    return found


def cases(of: Image, found: Run, first_case: int = 0) -> list[Case]:
    """A run, case by case, as far as it got. QEMU's error codes of failed INT n are corrected in the lines, too."""
    marks = [index for index, record in enumerate(found.records) if record.software and record.vector == _MARK]
    result = []
    for name, start, end in zip(names(of)[first_case:], marks, [*marks[1:], None], strict=False):
        lines = tuple(line for line in found.lines if line.split(" ", 1)[0] == name)
        records = found.records[start + 1 : end]
        result.append(Case(name, tuple(_corrected(line, records) for line in lines), records))
    return result


def _corrected(line: str, records: tuple[Record, ...]) -> str:
    """Correct the handler's line as `records.normalised` corrects the log of the same exception."""
    for first, second in pairwise(records):
        if first.software and second.rip == first.rip and second.error_code == first.vector * 8 + 2:
            wrong = f" v={second.vector:02x} e={first.vector * 16 + 2:04x} "
            line = line.replace(wrong, f" v={second.vector:02x} e={second.error_code:04x} ")
    return line
