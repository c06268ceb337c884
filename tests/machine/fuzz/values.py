"""Values at which implementations differ: powers of two, signs, lengths, selectors, addresses of every kind of page."""

import struct
from random import Random

from machine.bus.ram import PAGE_SIZE
from tests.machine.programs import layout
from tests.machine.programs.program import FX_AT_RESET

_STARTS = tuple(page.linear for page in layout.PAGES)
_ENDS = tuple(page.linear + len(page.physical) * PAGE_SIZE for page in layout.PAGES)
_FAR = (0, layout.ABSENT, layout.NON_CANONICAL, 1 << 32, 1 << 63, -layout.NON_CANONICAL, -PAGE_SIZE)
_KERNEL = (layout.GDT, layout.IDT, layout.TSS, layout.HANDLERS, layout.INTERRUPT_STACK_TOP - 64)
MSRS = (
    *(0x10, 0x1B, 0x8B, 0x174, 0x175, 0x176, 0x1A0, 0x277, 0x6E0, 0x808),
    *range(0xC000_0080, 0xC000_0085),
    *range(0xC000_0100, 0xC000_0104),
)
_SELECTORS = range(0, 0x100, 8)


def address(random: Random) -> int:
    """An address: inside a page, at its edges, in the kernel, or nowhere."""
    choice = random.randrange(8)
    near = random.choice((0, 0, 1, 2, 4, 8, 16, 64, 512))
    if choice < 3:
        found = random.choice((layout.DATA, layout.STACK, layout.CODE)) + 8 * random.randrange(PAGE_SIZE // 8)
    elif choice < 5:
        found = random.choice(_STARTS) + near
    elif choice < 6:
        found = random.choice(_ENDS) - near
    elif choice < 7:
        found = random.choice(_KERNEL) + near
    else:
        found = random.choice(_FAR) + random.choice((0, -1, -8, 8))
    return found & 2**64 - 1


def selector(random: Random) -> int:
    """Any entry of the table and one after it, with any RPL, or in a local table."""
    return random.choice(_SELECTORS) | random.randrange(4) | random.choice((0, 0, 0, 0, 0, 4))


def value(random: Random) -> int:
    """A value of 64 bits."""
    choice = random.randrange(8)
    if choice < 2:
        return random.randrange(-2, 40) & 2**64 - 1
    if choice < 4:
        bit = random.choice((7, 8, 15, 16, 31, 32, 47, 48, 63, random.randrange(64)))
        return ((1 << bit) + random.choice((0, 0, -1, 1))) * random.choice((1, 1, -1)) & 2**64 - 1
    if choice < 6:
        return address(random)
    return selector(random) if choice == 6 else random.getrandbits(64)


def flags(random: Random) -> int:
    """RFLAGS: random arithmetic flags, rarely one of the others. Never VM, which IRET would not load."""
    found = 0x202 | random.getrandbits(12) & 0x8D5
    if random.randrange(3) == 0:
        found ^= random.choice((0x100, 0x200, 0x400, 0x400, 0x1000, 0x3000, 0x4000, 0x1_0000, 0x4_0000, 0x20_0000))
    return found


def _words(random: Random) -> bytes:
    return b"".join(struct.pack("<Q", value(random)) for _ in range(8))


def _far_pointers(random: Random) -> bytes:
    """Pointers of all sizes, one after the other: what one operand size reads, another reads otherwise."""
    sizes = random.choice(("<HH4x", "<IH2x", "<QH6x"))
    width = {"H": 0xFFFF, "I": 0xFFFF_FFFF, "Q": 2**64 - 1}[sizes[1]]
    return b"".join(struct.pack(sizes, address(random) & width, selector(random)) for _ in range(4))


def _frame(random: Random) -> bytes:
    """Frames for IRET and far RET."""
    width = random.choice((2, 4, 8))
    words = address(random), selector(random), flags(random), address(random), selector(random)
    return b"".join((word & (1 << 8 * width) - 1).to_bytes(width, "little") for word in words)


def fx_image(random: Random) -> bytes:
    """An FXSAVE image that FXRSTOR takes."""
    if random.randrange(2):
        return FX_AT_RESET
    control = 0x37F & ~random.choice((0, 0, 0, 0x3F, 1, 4, 0x20)) | random.choice((0, 0, 0x400, 0x800, 0xC00))
    status = random.choice((0, 0, random.getrandbits(16)))
    mxcsr = 0x1F80 & ~random.choice((0, 0, 0, 0x1F80, 0x80, 0x200)) | random.choice(
        (0, 0x2000, 0x8040, random.getrandbits(6))
    )
    head = struct.pack("<HHBxH8x8xII", control, status, random.getrandbits(8), 0, mxcsr, 0)
    body = b"".join(random.choice(_FLOATS) for _ in range(48))[:384]
    return (head + body).ljust(512, b"\0")


_FLOATS = (
    bytes(16),
    bytes([0xFF]) * 16,
    struct.pack("<QHxxxxxx", 1 << 63, 0x3FFF),
    struct.pack("<QHxxxxxx", 1 << 63, 0x7FFF),
    struct.pack("<QHxxxxxx", 3 << 62, 0xFFFF),
    struct.pack("<QHxxxxxx", 1 << 62, 0x4000),
    struct.pack("<QHxxxxxx", 1, 0),
    struct.pack("<dd", 1.5, -0.0),
    struct.pack("<4f", 1e38, -1e-38, 0.5, 3.0),
    struct.pack("<2Q", 0x7FF0_0000_0000_0000, 0x7FF0_0000_0000_0001),
    bytes(range(16)),
    b"abababababababab",
)


def pattern(random: Random) -> bytes:
    """The repeated content of pages, so that every address has something meaningful."""
    if random.randrange(4) == 0:
        return b""
    kinds = (_words, _words, _far_pointers, _frame, fx_image)
    return b"".join(random.choice(kinds)(random) for _ in range(random.randrange(1, 3)))
