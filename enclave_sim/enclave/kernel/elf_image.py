"""Symbols and sections of an ELF image, read by pyelftools.

A separate file, because pyelftools takes as long to import as an enclave, and few runs need symbols.
"""

import io
from collections.abc import Iterator
from contextlib import suppress

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section, SymbolTableSection

from enclave_sim.memory_map import Region, rights

_KINDS = ("STT_FUNC", "STT_OBJECT", "STT_NOTYPE")
_PF_X, _PF_W = 1, 2


class ElfImage:
    """The symbols and sections of an image; empty, as far as it is damaged or not an ELF file."""

    def __init__(self, image: bytes) -> None:
        self.bits = 64
        """The word size: 32 or 64."""
        self.sections: tuple[Region, ...] = ()
        """Sections of linear memory, or segments where there are no sections, in order."""
        self.symbols: dict[str, int] = {}
        """Linear addresses by name."""
        self._notes: dict[str, bytes] = {}
        with suppress(Exception):  # pyelftools raises anything for damaged files; the image still runs
            file = ELFFile(io.BytesIO(image))
            self.bits = file.elfclass
            found = _sections(file) if file.num_sections() else _segments(file)
            self.sections = tuple(sorted(found, key=lambda one: one.base))
            self.symbols = dict(_symbols(file))
            self._notes = {one.name: bytes(one.data()) for one in file.iter_sections() if _is_note(one)}

    def note(self, section: str) -> bytes:
        """Return the content of a section of notes; empty if there is none."""
        return self._notes.get(section, b"")


def _is_note(section: Section) -> bool:
    return bool(section["sh_type"] == "SHT_NOTE")


def _symbols(file: ELFFile) -> Iterator[tuple[str, int]]:
    tables = [one for one in file.iter_sections() if isinstance(one, SymbolTableSection)]
    for one in (symbol for table in tables for symbol in table.iter_symbols()):
        if one.name and one["st_shndx"] != "SHN_UNDEF" and one["st_info"]["type"] in _KINDS:
            yield one.name, one["st_value"]


def _sections(file: ELFFile) -> Iterator[Region]:
    for one in file.iter_sections():
        flags = one["sh_flags"]
        if flags & SH_FLAGS.SHF_ALLOC and one["sh_size"]:
            granted = rights(bool(flags & SH_FLAGS.SHF_WRITE), bool(flags & SH_FLAGS.SHF_EXECINSTR))
            yield Region(one.name, one["sh_addr"], one["sh_size"], granted, 0, measured=False)


def _segments(file: ELFFile) -> Iterator[Region]:
    for number, one in enumerate(file.iter_segments("PT_LOAD")):
        granted = rights(bool(one["p_flags"] & _PF_W), bool(one["p_flags"] & _PF_X))
        yield Region(f"segment{number}", one["p_vaddr"], one["p_memsz"], granted, 0, measured=False)
