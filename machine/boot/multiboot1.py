"""Multiboot 1: header and boot information (Multiboot specification 0.6.96, chapter 3).

A request for a graphics mode is reported in the notes and not granted; one for a text mode is granted if there is a
screen. Drives, configuration table, APM and VBE information are absent, and their flags are clear.
"""

import struct

from machine.boot.protocol import (
    LOADER_NAME,
    LOWER_KIB,
    NO_GRAPHICS,
    TEXT_FRAMEBUFFER,
    Addresses,
    BootProtocol,
    Facts,
    Request,
)
from machine.errors import MachineError

_HEADER_ALIGN_MODULES, _HEADER_MEMORY, _HEADER_VIDEO, _HEADER_ADDRESSES = 1 << 0, 1 << 1, 1 << 2, 1 << 16
_HEADER_REQUIREMENTS = 0xFFFF
_HEADER_KNOWN = _HEADER_ALIGN_MODULES | _HEADER_MEMORY | _HEADER_VIDEO
_HEADER_ADDRESSES_END = 32
_EGA_TEXT = struct.pack("<I", 1)
"""The mode type of a text mode, in the field after the addresses."""

MEMORY, COMMAND_LINE, MODULES, ELF_SECTIONS, MEMORY_MAP, BOOT_LOADER_NAME, FRAMEBUFFER = (
    1 << bit for bit in (0, 2, 3, 5, 6, 9, 12)
)
"""Bits of `flags` that mark fields of the boot information as valid."""
INFORMATION_SIZE = 116
_FRAMEBUFFER_AT = 88


def read_header(image: bytes, offset: int, screen: bool) -> Request:
    """Read the request in the header at `offset`. Raises MachineError for a requirement that is not supported."""
    (flags,) = struct.unpack_from("<I", image, offset + 4)
    unknown = flags & _HEADER_REQUIREMENTS & ~_HEADER_KNOWN
    if unknown:
        raise MachineError(f"the Multiboot 1 header requires features that are not supported (flags {unknown:#x})")
    mode = image[offset + _HEADER_ADDRESSES_END : offset + _HEADER_ADDRESSES_END + 4]
    notes = (NO_GRAPHICS,) if flags & _HEADER_VIDEO and not (screen and mode == _EGA_TEXT) else ()
    if not flags & _HEADER_ADDRESSES:
        return Request(notes=notes)
    if offset + _HEADER_ADDRESSES_END > len(image):
        raise MachineError("the image is cut short inside the Multiboot 1 header")
    *addresses, entry = struct.unpack_from("<5I", image, offset + 12)
    return Request(Addresses(*addresses), entry, notes=notes)


def information(facts: Facts, at: int) -> bytes:
    """Return the boot information structure, followed by everything it points to.

    Args:
        facts: The contents.
        at: Its physical address.

    Returns:
        The bytes; the length does not depend on `at`.
    """
    tail = bytearray()

    def put(data: bytes) -> int:
        """Append to the tail and return the address."""
        tail.extend(bytes(-len(tail) % 4))
        address = at + INFORMATION_SIZE + len(tail)
        tail.extend(data)
        return address

    flags = MEMORY | COMMAND_LINE | MODULES | MEMORY_MAP | BOOT_LOADER_NAME
    lines = [put(module.command_line) for module in facts.modules]
    modules = b"".join(
        struct.pack("<4I", module.base, module.base + module.size, line, 0)
        for module, line in zip(facts.modules, lines, strict=True)
    )
    entries = b"".join(struct.pack("<IQQI", 20, *region) for region in facts.memory)
    sections = (0, 0, 0, 0)
    if facts.sections is not None:
        flags |= ELF_SECTIONS
        table = facts.sections
        sections = (table.length, table.entry_size, put(table.headers), table.names_index)
    if facts.screen:
        flags |= FRAMEBUFFER
    fixed = struct.pack(
        "<17I",
        *(flags, LOWER_KIB, facts.upper_kib),
        *(0, put(facts.command_line)),  # no boot device
        *(len(facts.modules), put(modules)),
        *sections,
        *(len(entries), put(entries)),
        *(0, 0, 0, put(LOADER_NAME)),  # no drives, no configuration table
    )
    framebuffer = TEXT_FRAMEBUFFER if facts.screen else b""
    return (fixed.ljust(_FRAMEBUFFER_AT, b"\0") + framebuffer).ljust(INFORMATION_SIZE, b"\0") + tail


PROTOCOL = BootProtocol(
    name="Multiboot 1",
    header_magic=0x1BAD_B002,
    header_words=3,
    alignment=4,
    searched=8192,
    boot_magic=0x2BAD_B002,
    lowest_information=0x1_0000,  # in low memory, as in other loaders: kernels use the memory after their image
    read_header=read_header,
    information=information,
)
