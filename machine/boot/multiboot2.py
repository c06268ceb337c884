"""Multiboot2: header and boot information (Multiboot2 specification 2.0, chapter 3).

A preferred graphics mode is only a recommendation, so it is reported in the notes and not granted. A text screen, if
the machine has one, is the console and the framebuffer in the boot information. As specified, EFI tags have no effect
on a PC with a BIOS. ACPI, APM, VBE, EFI and network information are absent.
"""

import struct
from collections.abc import Iterator

from machine.boot.protocol import (
    LOADER_NAME,
    LOWER_KIB,
    NO_GRAPHICS,
    TEXT_FRAMEBUFFER,
    Addresses,
    BootProtocol,
    Facts,
    Range,
    Request,
)
from machine.errors import MachineError

_INFORMATION_REQUEST, _ADDRESS, _ENTRY_ADDRESS, _CONSOLE_FLAGS, _FRAMEBUFFER = 1, 2, 3, 4, 5
_RELOCATABLE = 10
_WITHOUT_EFFECT = frozenset([6, 7, 8, 9])  # module alignment, always honoured; EFI boot services, EFI entries
_OPTIONAL = 1
_CONSOLE_REQUIRED, _EGA_TEXT_SUPPORTED = 1, 2
_NEEDED = {_ADDRESS: 16, _ENTRY_ADDRESS: 4, _CONSOLE_FLAGS: 4, _RELOCATABLE: 16}

END, COMMAND_LINE, BOOT_LOADER_NAME, MODULE, BASIC_MEMORY, _, MEMORY_MAP, VBE, FRAMEBUFFER, ELF_SECTIONS = range(10)
"""Tags of the boot information."""
LOAD_BASE = 21
_PROVIDED = frozenset([END, COMMAND_LINE, BOOT_LOADER_NAME, MODULE, BASIC_MEMORY, MEMORY_MAP, ELF_SECTIONS, LOAD_BASE])


def read_header(image: bytes, offset: int, screen: bool) -> Request:
    """Read the request in the header at `offset`. Raises MachineError for a requirement that is not supported."""
    architecture, length = struct.unpack_from("<2I", image, offset + 4)
    if architecture != 0:
        raise MachineError(f"the Multiboot 2 header asks for architecture {architecture}; only 0 (i386) is there")
    request, notes = Request(), []
    for at, kind, required, content in _tags(image, offset + 16, offset + length):
        if len(content) < _NEEDED.get(kind, 0):
            raise MachineError(f"the Multiboot 2 header tag {kind} at {at:#x} is too short")
        if kind == _ADDRESS:
            request = request._replace(addresses=Addresses(*struct.unpack_from("<4I", content)))
        elif kind == _ENTRY_ADDRESS:
            request = request._replace(entry=int.from_bytes(content[:4], "little"))
        elif kind == _RELOCATABLE:
            lowest, highest, alignment = struct.unpack_from("<3I", content)
            request = request._replace(within=Range(lowest, highest, alignment, required))
        elif kind == _FRAMEBUFFER:
            notes.append(NO_GRAPHICS)
        elif kind not in _WITHOUT_EFFECT:
            refusal = _refusal(kind, content, screen=screen)
            if refusal and required:
                raise MachineError(f"the Multiboot 2 header requires {refusal}")
            notes += [f"the image would like {refusal}"] if refusal else []
    if request.addresses is not None:
        if request.entry is None:
            raise MachineError("the Multiboot 2 header gives load addresses (tag 2) without an entry address (tag 3)")
        if request.addresses.load == 0xFFFF_FFFF:  # the file from its beginning
            addresses = request.addresses
            request = request._replace(addresses=addresses._replace(load=addresses.header - offset))
    return request._replace(notes=tuple(dict.fromkeys(notes)))


def _tags(image: bytes, at: int, end: int) -> Iterator[tuple[int, int, bool, bytes]]:
    """Yield the offset, type, required flag and content of each tag."""
    if end > len(image):
        raise MachineError("the image is cut short inside the Multiboot 2 header")
    while at + 8 <= end:
        kind, flags, size = struct.unpack_from("<HHI", image, at)
        if size < 8 or at + size > end:
            raise MachineError(f"the Multiboot 2 header tag at {at:#x} has the impossible size {size}")
        if kind == END:
            return
        yield at, kind, not flags & _OPTIONAL, image[at + 8 : at + size]
        at += (size + 7) & ~7


def _refusal(kind: int, content: bytes, *, screen: bool) -> str:
    """Describe the unsupported part of a tag's request; an empty string if there is none."""
    if kind == _INFORMATION_REQUEST:
        wanted = struct.unpack_from(f"<{len(content) // 4}I", content)
        missing = [str(tag) for tag in wanted if tag not in _PROVIDED and not (screen and tag == FRAMEBUFFER)]
        return f"boot information that is not there (tag {', '.join(missing)})" if missing else ""
    if kind == _CONSOLE_FLAGS:
        flags = int.from_bytes(content[:4], "little")
        if not flags & _CONSOLE_REQUIRED or (screen and flags & _EGA_TEXT_SUPPORTED):
            return ""
        return f"a screen; there is only a {'text screen, which it does not support' if screen else 'serial port'}"
    return f"tag {kind}, which is unknown"


def information(facts: Facts, _at: int = 0) -> bytes:
    """Return the boot information: a list of tags, which does not depend on its address."""
    tags = _tag(COMMAND_LINE, facts.command_line) + _tag(BOOT_LOADER_NAME, LOADER_NAME)
    for module in facts.modules:
        tags += _tag(MODULE, struct.pack("<II", module.base, module.base + module.size) + module.command_line)
    tags += _tag(BASIC_MEMORY, struct.pack("<II", LOWER_KIB, facts.upper_kib))
    entries = b"".join(struct.pack("<QQII", *region, 0) for region in facts.memory)
    tags += _tag(MEMORY_MAP, struct.pack("<II", 24, 0) + entries)
    if facts.sections is not None:
        table = facts.sections
        fixed = struct.pack("<III", table.length, table.entry_size, table.names_index)
        tags += _tag(ELF_SECTIONS, fixed + table.headers)
    if facts.screen:
        tags += _tag(FRAMEBUFFER, TEXT_FRAMEBUFFER + bytes(2))
    if facts.load_base is not None:
        tags += _tag(LOAD_BASE, struct.pack("<I", facts.load_base))
    tags += _tag(END, b"")
    return struct.pack("<II", len(tags) + 8, 0) + tags


def _tag(kind: int, content: bytes) -> bytes:
    raw = struct.pack("<II", kind, 8 + len(content)) + content
    return raw + bytes(-len(raw) % 8)


PROTOCOL = BootProtocol(
    name="Multiboot 2",
    header_magic=0xE852_50D6,
    header_words=4,
    alignment=8,
    searched=32768,
    boot_magic=0x36D7_6289,
    lowest_information=0x10_0000,
    read_header=read_header,
    information=information,
)
