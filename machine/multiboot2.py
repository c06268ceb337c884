"""Loads an ELF64 image as a Multiboot2 boot loader does (Multiboot2 specification 2.0).

The header's information requests are honoured or refused, and the image starts in 32-bit protected mode with
EAX = magic and EBX = the boot information: command line, loader name, modules, memory sizes and map, ELF sections.
Like GRUB this puts boot information and modules wherever RAM is free above 1 MiB.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from machine.elf import Executable, parse
from machine.errors import MachineError
from machine.machine import Machine
from machine.ram import PAGE_SIZE

HEADER_MAGIC = 0xE852_50D6
BOOT_MAGIC = 0x36D7_6289
_SEARCH = 32768
_LOADER_NAME = b"python-machine multiboot2\0"
_FREE_FROM = 0x10_0000
END, COMMAND_LINE, LOADER_NAME, MODULE, BASIC_MEMORY, _, MEMORY_MAP, _, _, ELF_SECTIONS = range(10)
_HEADER_INFORMATION_REQUEST, _HEADER_OPTIONAL = 1, 1
_HEADER_HARMLESS = frozenset([0, 6])  # end; module alignment, which is always kept
_SUPPORTED = frozenset([COMMAND_LINE, LOADER_NAME, MODULE, BASIC_MEMORY, MEMORY_MAP, ELF_SECTIONS])


@dataclass(frozen=True, slots=True)
class Module:
    """A file that the loader puts into RAM beside the image."""

    data: bytes
    command_line: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded and where."""

    executable: Executable
    information: tuple[int, int]
    """Base and length of the boot information."""
    modules: tuple[tuple[int, int], ...]
    """Base and length of each module."""


def check_header(image: bytes) -> None:
    """Find and check the Multiboot2 header. Raises MachineError when it is missing, wrong or asks too much."""
    offset = next(
        (
            at
            for at in range(0, min(_SEARCH, len(image)) - 15, 8)
            if image[at : at + 4] == struct.pack("<I", HEADER_MAGIC)
        ),
        None,
    )
    if offset is None:
        raise MachineError("the image has no Multiboot2 header in its first 32 KiB")
    magic, architecture, length, checksum = struct.unpack_from("<4I", image, offset)
    if (magic + architecture + length + checksum) & 0xFFFF_FFFF:
        raise MachineError(f"the checksum of the Multiboot2 header at {offset:#x} is wrong")
    if architecture != 0:
        raise MachineError(f"the Multiboot2 header asks for architecture {architecture}; only 0 (i386) is there")
    at, end = offset + 16, offset + length
    while at + 8 <= end:
        kind, flags, size = struct.unpack_from("<HHI", image, at)
        if size < 8 or at + size > end:
            raise MachineError(f"the Multiboot2 header tag at {at:#x} has the impossible size {size}")
        wanted = (
            struct.unpack_from(f"<{(size - 8) // 4}I", image, at + 8) if kind == _HEADER_INFORMATION_REQUEST else ()
        )
        unknown = [tag for tag in wanted if tag not in _SUPPORTED]
        refused = unknown or (kind != _HEADER_INFORMATION_REQUEST and kind not in _HEADER_HARMLESS)
        if refused and not flags & _HEADER_OPTIONAL:
            raise MachineError(f"the Multiboot2 header requires tag {kind} {unknown or ''}, which is not supported")
        if kind == 0:
            return
        at += (size + 7) & ~7


def load(machine: Machine, image: bytes, command_line: str = "", modules: Sequence[Module] = ()) -> Loaded:
    """Put the image, its modules and the boot information into RAM and start it.

    Raises MachineError, before RAM is touched, when the image is not bootable or does not fit.
    """
    check_header(image)
    executable = parse(image)
    ram = machine.ram
    taken = [(s.physical, s.memory_size) for s in executable.segments]
    for base, size in taken:
        if base + size > ram.size:
            raise MachineError(f"the image's segment {base:#x}+{size:#x} does not fit into {ram.size >> 20} MiB of RAM")
    if not any(base <= executable.entry < base + size for base, size in taken):
        raise MachineError(f"the image's entry point {executable.entry:#x} is in none of its segments")
    placed = []
    for module in modules:
        placed.append((_allocate(taken, len(module.data), ram.size), len(module.data)))
        taken.append(placed[-1])
    commands = [module.command_line for module in modules]
    information = _information(executable, command_line, list(zip(placed, commands, strict=True)), ram.size)
    at = _allocate(taken, len(information), ram.size)
    for segment in executable.segments:
        ram.write(segment.physical, segment.data)
        ram.zero(segment.physical + len(segment.data), segment.memory_size - len(segment.data))
    for (base, _), module in zip(placed, modules, strict=True):
        ram.write(base, module.data)
    ram.write(at, information)
    machine.start(executable.entry, {"RAX": BOOT_MAGIC, "RBX": at})
    return Loaded(executable, (at, len(information)), tuple(placed))


def _allocate(taken: Sequence[tuple[int, int]], size: int, ram_size: int) -> int:
    """The lowest page-aligned free place above 1 MiB. Raises MachineError when there is none."""
    at = _FREE_FROM
    for base, length in sorted(taken):
        if at + size <= base:
            break
        at = max(at, (base + length + PAGE_SIZE - 1) & -PAGE_SIZE)
    if at + size > ram_size:
        raise MachineError(f"no room in RAM for {size} bytes of modules or boot information")
    return at


def _tag(kind: int, content: bytes) -> bytes:
    raw = struct.pack("<II", kind, 8 + len(content)) + content
    return raw + bytes(-len(raw) % 8)


def _information(
    executable: Executable, command_line: str, modules: list[tuple[tuple[int, int], str]], ram_size: int
) -> bytes:
    tags = _tag(COMMAND_LINE, command_line.encode() + b"\0") + _tag(LOADER_NAME, _LOADER_NAME)
    for (base, size), command in modules:
        tags += _tag(MODULE, struct.pack("<II", base, base + size) + command.encode() + b"\0")
    tags += _tag(BASIC_MEMORY, struct.pack("<II", 639, (ram_size >> 10) - 1024))
    regions = ((0, 0x9_FC00, 1), (0x9_FC00, 0x6_0400, 2), (0x10_0000, ram_size - 0x10_0000, 1))
    entries = b"".join(struct.pack("<QQII", base, length, kind, 0) for base, length, kind in regions)
    tags += _tag(MEMORY_MAP, struct.pack("<II", 24, 0) + entries)
    count = len(executable.section_headers) // max(1, executable.section_header_size)
    sections = struct.pack("<III", count, executable.section_header_size, executable.section_names_index)
    tags += _tag(ELF_SECTIONS, sections + executable.section_headers)
    tags += _tag(END, b"")
    return struct.pack("<II", len(tags) + 8, 0) + tags
