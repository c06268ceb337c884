"""Small handmade images, with every header field changeable."""

import struct
from collections.abc import Sequence

BASE = 0x10_0000
CODE = bytes.fromhex("b0 2a e6 f4 f4 eb fd")
"""movb $42, %al; outb %al, $0xF4; hlt; jmp to the hlt."""
EXIT_STATUS = 42 * 2 + 1


def header1(flags: int = 0, *words: int) -> bytes:
    """A Multiboot 1 header; `words` follow the checksum."""
    return struct.pack(f"<{3 + len(words)}I", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFF_FFFF, *words)


def tag(kind: int, content: bytes = b"", *, optional: bool = False) -> bytes:
    """A tag of a Multiboot 2 header."""
    raw = struct.pack("<HHI", kind, optional, 8 + len(content)) + content
    return raw + bytes(-len(raw) % 8)


def header2(*tags: bytes, architecture: int = 0) -> bytes:
    """A Multiboot 2 header with an end tag."""
    body = b"".join(tags) + tag(0)
    length = 16 + len(body)
    checksum = -(0xE85250D6 + architecture + length) & 0xFFFF_FFFF
    return struct.pack("<4I", 0xE85250D6, architecture, length, checksum) + body


def elf(
    content: bytes,
    *,
    bits: int = 32,
    machine: int | None = None,
    entry: int | None = None,
    segments: Sequence[tuple[int, int, int, int, int]] | None = None,
    sections: Sequence[bytes] = (),
    kind: int = 2,
) -> bytes:
    """An ELF file: its headers, padding to 0x200, `content`, and section headers.

    `segments` are (offset in content, virtual, physical, file size, memory size); all of the content at BASE unless
    given. `entry` is BASE unless given.
    """
    header_size, program_size, section_size = (52, 32, 40) if bits == 32 else (64, 56, 64)
    chosen = [(0, BASE, BASE, len(content), len(content))] if segments is None else segments
    start = max(0x200, header_size + program_size * len(chosen))
    programs = b""
    for offset, virtual, physical, file_size, memory_size in chosen:
        place = (start + offset, virtual, physical, file_size, memory_size)
        if bits == 32:
            programs += struct.pack("<8I", 1, *place, 7, 4096)
        else:
            programs += struct.pack("<2I6Q", 1, 7, *place, 4096)
    identification = b"\x7fELF" + bytes([bits // 32, 1, 1]) + bytes(9)
    architecture = machine if machine is not None else {32: 3, 64: 62}[bits]
    padded = content + bytes(-len(content) % 8)
    numbers = (
        *(kind, architecture, 1, BASE if entry is None else entry, header_size),
        *(start + len(padded) if sections else 0, 0, header_size, program_size, len(chosen)),
        *(section_size, len(sections), 0),
    )
    header = identification + struct.pack("<HHIIIIIHHHHHH" if bits == 32 else "<HHIQQQIHHHHHH", *numbers)
    return (header + programs).ljust(start, b"\0") + padded + b"".join(sections)


def section(
    kind: int, address: int, offset: int, size: int, alignment: int = 1, *, bits: int = 32, flags: int = 0
) -> bytes:
    """A section header."""
    form = "<10I" if bits == 32 else "<2I4Q2I2Q"
    return struct.pack(form, 0, kind, flags, address, offset, size, 0, 0, alignment, 0)


def kernel1(flags: int = 0, *words: int, bits: int = 32, code: bytes = CODE) -> bytes:
    """An ELF kernel with a Multiboot 1 header, then the code."""
    header = header1(flags, *words)
    return elf(header + code, bits=bits, entry=BASE + len(header))


def kernel2(*tags: bytes, bits: int = 64, code: bytes = CODE) -> bytes:
    """An ELF kernel with a Multiboot 2 header, then the code."""
    header = header2(*tags)
    return elf(header + code, bits=bits, entry=BASE + len(header))
