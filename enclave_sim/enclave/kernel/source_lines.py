"""Source lines of a program by address, from its DWARF line table (DWARF 5, 6.2)."""

import io
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

_END = 1 << 64
_FROM_ZERO = 5
"""The DWARF version since which files and directories are numbered from 0, starting with the compilation's own."""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of a source file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class SourceLines:
    """The source lines of an image; none without a line table. `read` returns a file's text by name and path."""

    def __init__(self, image: bytes, read: Callable[[str, Path], str]) -> None:
        self.image = image
        """The image."""
        self._read = read
        self._paths: dict[str, Path] = {}
        self._files: dict[int, Path] = {}
        self._texts: dict[str, list[str]] = {}

    def at(self, address: int) -> SourceLine | None:
        """Return the line of the instruction at a linear address."""
        index = bisect_right(self._table[0], address) - 1
        return self._table[1][index] if index >= 0 else None

    def around(self, address: int) -> range:
        """Return the addresses around one that belong to the same line, or to no line, without a gap."""
        places, lines = self._table
        first = bisect_right(places, address) - 1
        last, line = first + 1, lines[first] if first >= 0 else None
        while first > 0 and lines[first - 1] == line:
            first -= 1
        while last < len(places) and lines[last] == line:
            last += 1
        below = first < 0 or (first == 0 and line is None)
        return range(0 if below else places[first], places[last] if last < len(places) else _END)

    def addresses_of(self, file: str, line: int) -> tuple[int, ...]:
        """Return the addresses at which a line's code begins; empty for a line without code."""
        wanted = SourceLine(file, line)
        return tuple(address for address, at in zip(*self._table, strict=True) if at == wanted)

    def text(self, at: SourceLine) -> str:
        """Return the text of a line; empty if the file does not exist."""
        if at.file not in self._texts:
            self._texts[at.file] = self._read(at.file, self._paths.get(at.file, Path(at.file))).splitlines()
        lines = self._texts[at.file]
        return lines[at.line - 1].strip() if 0 < at.line <= len(lines) else ""

    @property
    def ranges(self) -> Iterator[tuple[range, Path, int]]:
        """Addresses of code, the path of its file for the compiler, and its line, by address; all code with a line."""
        places, lines = self._table
        for start, end, at in zip(places, places[1:], lines, strict=False):
            if at is not None and at.line:
                yield range(start, end), self._files[start], at.line

    @cached_property
    def _table(self) -> tuple[list[int], list[SourceLine | None]]:
        """The addresses at which a line begins, in order, and the lines; None where source code ends."""
        rows: dict[int, SourceLine | None] = {}
        with suppress(Exception):  # pyelftools raises anything for damaged tables; lines read until then count
            self._collect(rows)
        places = sorted(rows)
        return places, [rows[place] for place in places]

    def _collect(self, rows: dict[int, SourceLine | None]) -> None:
        from elftools.elf.elffile import ELFFile  # noqa: PLC0415 - takes a third of the time to import an enclave

        dwarf = ELFFile(io.BytesIO(self.image)).get_dwarf_info()
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            directory = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
            base = Path("" if directory is None else _text(directory.value))
            files = self._names(program.header, base)
            for entry in program.get_entries():
                state = entry.state
                if state is None:
                    continue
                if state.end_sequence:
                    rows.setdefault(state.address, None)
                else:
                    name, self._files[state.address] = files[state.file]
                    rows[state.address] = SourceLine(name, state.line)

    def _names(self, header: Any, base: Path) -> dict[int, tuple[str, Path]]:
        """Return the names and paths of the files by number, and keep the paths by name."""
        first = 0 if header["version"] >= _FROM_ZERO else 1
        directories = dict(enumerate(map(_text, header["include_directory"]), first))
        files = {}
        for number, entry in enumerate(header["file_entry"], first):
            name = _text(entry.name)
            files[number] = name, base / directories.get(entry.dir_index, "") / name
            self._paths.setdefault(*files[number])
        return files


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
