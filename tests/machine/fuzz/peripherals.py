"""Instructions that use peripherals: direct memory access, open ports, and a task that returns."""

import struct
from functools import cache
from random import Random

from machine.bus.ram import PAGE_SIZE
from tests.machine.fuzz.instructions import Piece, set_register
from tests.machine.fuzz.values import address, flags, value
from tests.machine.programs import layout
from tests.machine.programs.tables import page_tables

_PORTS = (*layout.OPEN_PORTS, *(port + 1 for port in layout.OPEN_PORTS), 0x3F, 0x3F7, 0x3FF, 0x400, 0xFFFF)
_FLIPPED = (0, 1, 2, 5, 6, 7, 12, 13, 63)
"""Bits of an entry: P, W, U, A, D, PS, two of the address, NX."""
_TSS_FIELDS = (0, 0x1C, 0x20, 0x24, 0x38, 0x4C, 0x50, 0x5C, 0x60, 0x64, 0x66)
_TSS_AT = (0, 0x400, 0x800, 0xA00)


_UNUSED = ("code", "stack")
"""Pages without which a program cannot go on to invalidate their translation."""


@cache
def _entries() -> tuple[tuple[int, int, int], ...]:
    """The entries that map pages: physical address, value, and the linear address of the page."""
    tables, found = page_tables(0), []
    mapped = {
        physical: page.linear + index * PAGE_SIZE
        for page in layout.PAGES
        if page.name not in _UNUSED
        for index, physical in enumerate(page.physical)
    }
    for at in range(0, len(tables), 8):
        entry = int.from_bytes(tables[at : at + 8], "little")
        if entry & 0xFFFF_F000 in mapped:
            found.append((layout.TABLES + at, entry, mapped[entry & 0xFFFF_F000]))
    return tuple(found)


def _store(where: int, content: int, long: bool) -> bytes:
    """MOV of 32 bits to a constant address."""
    modrm = b"\x04\x25" if long else b"\x05"
    return b"\xc7" + modrm + struct.pack("<II", where, content & 0xFFFF_FFFF)


def _dma(physical: int, content: int, long: bool, register: int = layout.DMA_WRITE) -> bytes:
    target = _store(layout.DEVICE + layout.DMA_ADDRESS, physical, long)
    return target + _store(layout.DEVICE + register, content, long)


def onto_code(random: Random, long: bool) -> bytes:
    """Direct memory access to the code before or after itself, or to another page that may be executed."""
    page = random.choice((0x30000, 0x30000, 0x30000, 0x35000, 0x3A000))
    content = random.choice((0x9090_9090, 0x9090_90F4, 0xC0AB_0FF0, 0xC8A3_0FF0, 0x90C0_AB0F, value(random)))
    at = page + random.randrange(96)
    if random.randrange(4) == 0:
        return _dma(at, random.randrange(64), long, layout.DMA_ZERO)
    return _dma(at, content, long)


def clock(random: Random, long: bool) -> bytes:
    """A look at the clock of the device, a few instructions after the last jump, kept on the stack."""
    where = layout.DEVICE + layout.CLOCK
    look = b"\x8b" + (b"\x04\x25" if long else b"\x05") + struct.pack("<I", where)
    return b"\x90" * random.randrange(4) + look + b"\x50" * random.randrange(2)


def onto_tables(random: Random, long: bool) -> bytes:
    """Direct memory access to an entry of the page tables, a load of CR3, and mostly an access through that page.

    Without the load, processors may use the old translation or the new one (SDM volume 3, 4.10.2.2).
    """
    at, entry, linear = random.choice(_entries())
    other = random.choice((entry, entry, random.choice(_entries())[1], 0)) ^ 1 << random.choice(_FLIPPED)
    high = random.randrange(2) * 4
    code = _dma(at + high, other >> 8 * high, long) + b"\x0f\x20\xd8\x0f\x22\xd8"
    if random.randrange(3) == 0:
        return code
    modrm = b"\x04\x25" if long else b"\x05"
    where = (linear + 8 * random.randrange(64)) & 0xFFFF_FFFF
    return code + random.choice((b"\x8b", b"\x89", b"\xff")) + modrm + struct.pack("<I", where)


def onto_descriptors(random: Random, long: bool) -> bytes:
    """Direct memory access to the GDT, the IDT or a TSS."""
    choice = random.randrange(3)
    if choice == 0:
        at = 0x20000 + 4 * random.randrange(64)
    elif choice == 1:
        at = 0x21000 + random.choice((4, 8, 16)) * random.randrange(256) % PAGE_SIZE
    else:
        at = 0x22000 + random.choice(_TSS_AT) + random.choice(_TSS_FIELDS)
    return _dma(at, random.choice((value(random), flags(random), 1, 0)), long)


def task(random: Random, long: bool) -> bytes:
    """A switch to a task, by all ways: INT, far CALL, far JMP, and IRET with NT."""
    choice = random.randrange(5)
    selector = random.choice((layout.RETURNING_TASK, layout.RETURNING_TASK, layout.AVAILABLE_TASK, layout.TASK_GATE))
    trap = _dma(0x22000 + 0xA00 + 0x64, 1, long) if random.randrange(4) == 0 else b""
    if choice < 2:
        return trap + bytes([0xCD, layout.RETURNING_TASK_VECTOR])
    if choice < 4:
        opcode = b"\x9a" if choice == 2 else b"\xea"
        return trap + opcode + struct.pack("<IH", address(random) & 0xFFFF_FFFF, selector)
    return b"\x68" + struct.pack("<I", 0x4002 | flags(random)) + b"\x9d\xcf"


def ports(random: Random, long: bool) -> bytes:
    """IN, OUT, INS and OUTS of ports that are open, of some beside them, and across both."""
    narrow = random.choice((b"", b"\x66"))
    port = random.choice(_PORTS)
    if port < 0x100 and random.randrange(3) == 0:
        return narrow + bytes([random.choice((0xE4, 0xE5, 0xE6, 0xE7)), port])
    dx = set_register(random, long, 2, port)
    if random.randrange(2):
        return dx + narrow + bytes([random.choice((0xEC, 0xED, 0xEE, 0xEF))])
    places = set_register(random, long, 6, address(random)) + set_register(random, long, 7, address(random))
    few = set_register(random, long, 1, random.randrange(4))
    repeat = random.choice((b"", b"\xf3"))
    return dx + places + few + repeat + narrow + bytes([random.choice((0x6C, 0x6D, 0x6E, 0x6F))])


WITH_PERIPHERALS: tuple[Piece, ...] = (
    onto_code,
    onto_code,
    clock,
    onto_tables,
    onto_tables,
    onto_descriptors,
    task,
    task,
    ports,
)
