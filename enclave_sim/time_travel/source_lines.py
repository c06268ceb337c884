"""The kernel's source lines by address, from its DWARF line table."""

import io
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache

from elftools.elf.elffile import ELFFile

import firmware


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of the kernel's source."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@cache
def _table() -> tuple[tuple[int, SourceLine | None], ...]:
    """Addresses at which a line begins, with the line; None where source ends. In order."""
    rows: dict[int, SourceLine | None] = {}
    dwarf = ELFFile(io.BytesIO(firmware.image())).get_dwarf_info()
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        files = program["file_entry"]
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if state.end_sequence:
                rows.setdefault(state.address, None)
            else:
                rows[state.address] = SourceLine(files[state.file - 1].name.decode(), state.line)
    return tuple(sorted(rows.items(), key=lambda row: row[0]))


@cache
def _addresses() -> list[int]:
    return [address for address, _ in _table()]


def source_line(address: int) -> SourceLine | None:
    """The line that an instruction belongs to, or None where there is no source."""
    index = bisect_right(_addresses(), address) - 1
    return _table()[index][1] if index >= 0 else None


def addresses_of(file: str, line: int) -> tuple[int, ...]:
    """Where the code of a line begins; empty for a line without code."""
    return tuple(address for address, at in _table() if at == SourceLine(file, line))
