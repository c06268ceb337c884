"""Special values of arithmetic, and the initial content of memory, x87 and vector registers.

The two data pages and the two stack pages hold the same for every program: records of sixteen bytes, of which a
program's pointers choose one. There are also a few FXSAVE images, of which it chooses one.
"""

import struct
from functools import cache
from random import Random

from machine.bus.ram import PAGE_SIZE
from tests.machine.programs import layout

INTEGERS = (
    *(0, 1, 2, 3, 5, 7, 8, 15, 16, 31, 32, 63, 64, 0x7F, 0x80, 0x81, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000),
    *(
        0x7FFF_FFFF,
        0x8000_0000,
        0x8000_0001,
        0xFFFF_FFFF,
        1 << 32,
        (1 << 63) - 1,
        1 << 63,
        (1 << 64) - 1,
        (1 << 64) - 2,
    ),
    *(0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA, 0x0123_4567_89AB_CDEF, 0xFF00_FF00_FF00_FF00),
)
COUNTS = (0, 1, 2, 7, 8, 9, 15, 16, 17, 18, 31, 32, 33, 63, 64, 65, 127, 128, 255)
"""Shift counts at and above each width."""
SINGLES = (
    *(0x0000_0000, 0x8000_0000, 0x0000_0001, 0x007F_FFFF, 0x8040_0000, 0x0080_0000, 0x7F7F_FFFF, 0xFF7F_FFFF),
    *(0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFFC1_2345, 0x7F80_0001, 0xFFBF_FFFF, 0x3F80_0000, 0xBF80_0000),
    *(0x3F00_0000, 0x3FC0_0000, 0x4020_0000, 0x4B00_0001, 0x4F00_0000, 0xCF00_0000, 0x5F00_0000, 0x42C8_0000),
    *(0x3EAA_AAAB, 0x3F7F_FFFF, 0x3380_0000, 0x1E3C_E508, 0x60AD_78EC),
)
DOUBLES = (
    *(0, 1 << 63, 1, 0x000F_FFFF_FFFF_FFFF, 0x8008_0000_0000_0000, 0x0010_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF),
    *(0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000, 0xFFF8_1234_5678_9ABC),
    *(0x7FF0_0000_0000_0001, 0xFFF7_FFFF_FFFF_FFFF, 0x3FF0_0000_0000_0000, 0xBFF0_0000_0000_0000),
    *(0x3FE0_0000_0000_0000, 0x3FF8_0000_0000_0000, 0x4004_0000_0000_0000, 0x4330_0000_0000_0001),
    *(0x41E0_0000_0000_0000, 0xC1E0_0000_0000_0000, 0x43E0_0000_0000_0000, 0xC3E0_0000_0000_0000),
    *(0x47EF_FFFF_E000_0000, 0x36A0_0000_0000_0000, 0x3810_0000_0000_0000, 0x3FD5_5555_5555_5555),
    *(0x41DF_FFFF_FFC0_0000, 0x3FEF_FFFF_FFFF_FFFF, 0x5FE6_A09E_667F_3BCD),
)
EXTENDED = (
    *((0, 0), (0x8000, 0), (0, 1), (0x8000, 0x7FFF_FFFF_FFFF_FFFF), (0, 1 << 63), (1, 1 << 63)),
    *((0x7FFE, 2**64 - 1), (0xFFFE, 2**64 - 1), (0x7FFF, 1 << 63), (0xFFFF, 1 << 63), (0x7FFF, 3 << 62)),
    *((0xFFFF, 0xC000_0000_0000_1234), (0x7FFF, (1 << 63) + 1), (0xFFFF, 0xBFFF_FFFF_FFFF_FFFF)),
    *((0x7FFF, 0), (0x7FFF, 1), (0x3FFF, 0), (0x4000, 1 << 62), (0x3FFF, 1 << 63), (0xBFFF, 1 << 63)),
    *((0x3FFE, 1 << 63), (0x4000, 0xC90F_DAA2_2168_C235), (0x3FFF, 0xC000_0000_0000_0000), (0x403E, 1 << 63)),
    *((0xC03E, 1 << 63), (0x401E, 1 << 63), (0x407F, 1 << 63), (0x3F80, 1 << 63), (0x43FF, 1 << 63), (0x3C00, 1 << 63)),
    *((0x3FFD, 0xAAAA_AAAA_AAAA_AAAB), (0x403D, 0xFFFF_FFFF_FFFF_FFFF), (0x4009, 0x9A40_0000_0000_0000)),
)
"""Sign and exponent, significand: zero, denormal, pseudo-denormal, infinite, NaN, unsupported, numbers."""
SELECTORS = (
    0,
    1,
    3,
    0x08,
    0x0B,
    0x10,
    0x18,
    0x1B,
    0x20,
    0x23,
    0x28,
    0x2B,
    0x29,
    0x30,
    0x33,
    0x31,
    0x40,
    0x43,
    4,
    7,
    0xFFFF,
)
"""Selectors that mean the same on Linux and in the programs' GDT. There is no LDT."""
FX_IMAGES = 48
RECORD = 16
FAR_POINTERS, SELECTOR_RECORDS, _END_OF_RECORDS = 0x600, 0x800, 0xA00
"""Offsets in the data pages of the records that are far pointers, and of those that are selectors."""
_ON_STACK = (0, 1, 2, 3, 0x7FFF, 0xFFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 63, (1 << 64) - 1, 0x5555_5555_5555_5555)
"""Integers with no part that is a selector with different meanings on Linux and in the programs' GDT."""
_STRINGS = b"abcabcab\0bcab\xffz"


@cache
def data_pages() -> bytes:
    """The content of the data pages."""
    random = Random("data pages")
    content = bytearray(b"".join(_record(random) for _ in range(2 * PAGE_SIZE // RECORD)))
    for at in range(FAR_POINTERS, SELECTOR_RECORDS, RECORD):
        selector = random.choice(SELECTORS)
        shape = (at // RECORD) % 3
        head = struct.pack("<HH", 0x40, selector), struct.pack("<IH", layout.CODE + 0x40, selector)
        wide = struct.pack("<QH", layout.CODE + 0x40, selector)
        content[at : at + RECORD] = (*head, wide)[shape].ljust(RECORD, b"\0")
    for at in range(SELECTOR_RECORDS, _END_OF_RECORDS, 2):
        struct.pack_into("<H", content, at, random.choice(SELECTORS))
    return bytes(content)


@cache
def stack_pages() -> bytes:
    """The content of the stack pages: integers, code addresses and selectors, in the layout that returns expect."""
    random = Random("stack pages")
    words = []
    for _ in range(2 * PAGE_SIZE // 8):
        choice = random.randrange(8)
        address = layout.CODE + 0x40 + random.randrange(8)
        mixed = (address, random.choice(SELECTORS), random.choice(SELECTORS) << 32 | address, 0x202, 0x8D7)
        words.append(mixed[choice] if choice < len(mixed) else random.choice(_ON_STACK))
    return struct.pack(f"<{len(words)}Q", *words)


def _record(random: Random) -> bytes:
    choice = random.randrange(9)
    if choice == 0:
        return struct.pack("<2Q", *(random.choice(INTEGERS) for _ in range(2)))
    if choice == 1:
        return struct.pack("<4I", *(random.choice(INTEGERS) & 0xFFFF_FFFF for _ in range(4)))
    if choice == 2:
        return struct.pack("<8H", *(random.choice(INTEGERS) & 0xFFFF for _ in range(8)))
    if choice == 3:
        return random.randbytes(RECORD)
    if choice == 4:
        return struct.pack("<4I", *(random.choice(SINGLES) for _ in range(4)))
    if choice == 5:
        return struct.pack("<2Q", *(random.choice(DOUBLES) for _ in range(2)))
    if choice == 6:
        exponent, significand = random.choice(EXTENDED)
        return struct.pack("<QH6x", significand, exponent)
    if choice == 7:  # packed decimal digits, some of them not
        digits = bytes(random.choice((0x00, 0x09, 0x10, 0x99, 0x12, 0x85, 0xAF)) for _ in range(9))
        return (digits + random.choice((b"\0", b"\x80", b"\x7f"))).ljust(RECORD, b"\0")
    start = random.randrange(RECORD)
    return (_STRINGS[start:] + 2 * _STRINGS)[:RECORD]


@cache
def fx_image(index: int) -> bytes:
    """An FXSAVE image: the first ones have all exceptions masked, the last quarter do not."""
    random = Random(f"fx {index}")
    masked = index < FX_IMAGES * 3 // 4
    control = 0x37F if index < 8 else random.choice((0x37F, 0x27F, 0x07F, 0x77F, 0xB7F, 0xF7F, 0x67F))
    mxcsr = 0x1F80 if index < 8 else random.choice((0x1F80, 0x1FC0, 0x9F80, 0x9FC0, 0x3F80, 0x5F80, 0x7F80, 0x1FBF))
    if not masked:
        control &= ~random.choice((1, 2, 4, 8, 0x10, 0x20, 0x3F))
        mxcsr &= ~(random.choice((1, 2, 4, 8, 0x10, 0x20, 0x3F)) << 7) & ~0x3F
    used = random.choice((8, 8, 2, 1, 0, 4)) if index else 8
    top = random.randrange(8) if index % 2 else 8 - used & 7
    tags = sum(1 << ((top + place) & 7) for place in range(used))
    status = top << 11 | (random.choice((0, 0x4700, 0x0200)) & ~0x3800)
    image = bytearray(512)
    struct.pack_into("<HHB", image, 0, control, status, tags)
    struct.pack_into("<I", image, 24, mxcsr)
    for place in range(8):
        exponent, significand = random.choice(EXTENDED)
        struct.pack_into("<QH", image, 32 + 16 * place, significand, exponent)
    for place in range(16):
        image[160 + 16 * place : 176 + 16 * place] = _record(random)
    return bytes(image)
