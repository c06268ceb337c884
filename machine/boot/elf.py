"""ELF executables of both classes, as far as a boot loader needs them; pyelftools reads symbols and debug lines.

Field names are those of the System V ABI, chapters 4 (object files) and 5 (program loading). Records in this package
are named tuples because defining a dozen dataclasses takes longer than booting a small kernel.
"""

import struct
from typing import NamedTuple

from machine.errors import MachineError

MAGIC = b"\x7fELF"
_LITTLE_ENDIAN = 1
_KINDS = {1: "an object file that has yet to be linked", 4: "a core dump"}
_ET_EXEC, _ET_DYN = 2, 3
_EM_386, _EM_X86_64 = 3, 62
_PT_LOAD = 1
_SHT_NULL, _SHT_NOBITS = 0, 8


class Segment(NamedTuple):
    """A loadable segment: physical address, bytes, and size in memory, of which the rest is zeros."""

    physical: int
    data: bytes
    memory_size: int
    flags: int
    """PF_X = 1, PF_W = 2, PF_R = 4."""


class Section(NamedTuple):
    """A section that has contents but no address in memory, such as .symtab or .strtab."""

    number: int
    """Its index in the section headers."""
    data: bytes
    alignment: int


class SectionTable(NamedTuple):
    """The section headers in the file."""

    headers: bytes
    entry_size: int
    names_index: int
    """Index of the section with section names (e_shstrndx)."""
    unallocated: tuple[Section, ...]
    address_field: struct.Struct
    address_offset: int
    """Offset of sh_addr in a header, in bytes."""

    @property
    def length(self) -> int:
        """Number of headers."""
        return len(self.headers) // self.entry_size

    def placed(self, addresses: dict[int, int]) -> "SectionTable":
        """Return the table with the given addresses (sh_addr), by section number, filled in."""
        headers = bytearray(self.headers)
        for number, address in addresses.items():
            self.address_field.pack_into(headers, number * self.entry_size + self.address_offset, address)
        return self._replace(headers=bytes(headers))


class Executable(NamedTuple):
    """The parts of an image needed to load and start it."""

    entry: int
    """Physical address of the first instruction."""
    segments: tuple[Segment, ...]
    sections: SectionTable | None = None


class _Class(NamedTuple):
    """The layout of the headers of one ELF class."""

    header: struct.Struct
    """The fields from e_type on, without e_version, e_flags and e_ehsize."""
    program_header: struct.Struct
    flags_at: int
    """Index of p_flags among the fields of a program header; the others have the same order in both classes."""
    section_header: struct.Struct
    address: struct.Struct
    address_offset: int


_CLASSES = {
    1: _Class(struct.Struct("<HH4xIII6x5H"), struct.Struct("<8I"), 6, struct.Struct("<10I"), struct.Struct("<I"), 12),
    2: _Class(
        struct.Struct("<HH4xQQQ6x5H"),
        struct.Struct("<2I6Q"),
        1,
        struct.Struct("<2I4Q2I2Q"),
        struct.Struct("<Q"),
        16,
    ),
}


def parse(image: bytes) -> Executable:
    """Read an ELF32 or ELF64 executable for x86. Raises MachineError for anything else or a truncated file."""
    if image[:4] != MAGIC:
        raise MachineError("the image is not an ELF file (no \\x7fELF at its start)")
    form = _CLASSES.get(image[4]) if len(image) > 5 else None
    if form is None or image[5] != _LITTLE_ENDIAN:
        raise MachineError("the image is not a little-endian ELF file of 32 or 64 bits")
    try:
        kind, architecture, entry, ph_offset, sh_offset, ph_size, ph_count, sh_size, sh_count, names = (
            form.header.unpack_from(image, 16)
        )
    except struct.error:
        raise MachineError("the image's ELF headers are cut short") from None
    _check_target(kind, architecture, form)
    programs = _table(image, form.program_header, ph_offset, ph_size, ph_count)
    segments, virtual = _segments(image, programs, form.flags_at)
    sections = None
    if sh_count:
        headers = _table(image, form.section_header, sh_offset, sh_size, sh_count)
        raw = image[sh_offset : sh_offset + sh_size * sh_count]
        sections = SectionTable(raw, sh_size, names, _unallocated(image, headers), form.address, form.address_offset)
    return Executable(_physical_entry(entry, segments, virtual), segments, sections)


def _check_target(kind: int, architecture: int, form: _Class) -> None:
    if architecture != _EM_X86_64 and (architecture != _EM_386 or form is not _CLASSES[1]):
        raise MachineError(
            f"the image is for ELF machine {architecture}, not x86-64 ({_EM_X86_64}) or, in 32 bits, 80386 ({_EM_386})"
        )
    if kind not in (_ET_EXEC, _ET_DYN):
        raise MachineError(f"the image is {_KINDS.get(kind, f'an ELF file of type {kind}')}, not an executable")


def _table(image: bytes, form: struct.Struct, offset: int, size: int, count: int) -> list[tuple[int, ...]]:
    """Read program or section headers. Raises MachineError if they are too short or lie outside the image."""
    if count and size < form.size:
        raise MachineError(f"the image's ELF headers at {offset:#x} have {size} bytes each instead of {form.size}")
    if offset + size * count > len(image):
        raise MachineError(f"the image is cut short: its ELF headers at {offset:#x} lie outside it")
    return [form.unpack_from(image, offset + index * size) for index in range(count)]


def _segments(
    image: bytes, headers: list[tuple[int, ...]], flags_at: int
) -> tuple[tuple[Segment, ...], tuple[int, ...]]:
    """Return the segments to load, each with its virtual address. Raises MachineError for a truncated file."""
    segments, virtual = [], []
    for index, header in enumerate(headers):
        kind, offset, address, physical, file_size, memory_size, _ = header[:flags_at] + header[flags_at + 1 :]
        if kind != _PT_LOAD or not memory_size:
            continue
        if file_size > memory_size:
            raise MachineError(f"segment {index} of the image has more bytes in the file than in memory")
        if offset + file_size > len(image):
            raise MachineError(f"the image is cut short inside segment {index}")
        segments.append(Segment(physical, image[offset : offset + file_size], memory_size, header[flags_at]))
        virtual.append(address)
    if not segments:
        raise MachineError("the image has no loadable segment")
    return tuple(segments), tuple(virtual)


def _physical_entry(entry: int, segments: tuple[Segment, ...], virtual: tuple[int, ...]) -> int:
    """Convert e_entry, a virtual address, to a physical one by its segment: the image starts without paging."""
    for segment, address in zip(segments, virtual, strict=True):
        if address <= entry < address + segment.memory_size:
            return entry - address + segment.physical
    return entry  # some kernels linked to run elsewhere give the physical address


def _unallocated(image: bytes, headers: list[tuple[int, ...]]) -> tuple[Section, ...]:
    found = []
    for index, (_, kind, _, address, offset, size, _, _, alignment, _) in enumerate(headers):
        if kind in (_SHT_NULL, _SHT_NOBITS) or address or not size:
            continue
        if offset + size > len(image):
            raise MachineError(f"the image is cut short inside section {index}")
        found.append(Section(index, image[offset : offset + size], max(1, alignment)))
    return tuple(found)
