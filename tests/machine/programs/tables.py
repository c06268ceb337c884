"""Page tables and descriptor tables, as bytes (SDM volume 3, 3.4.5, 3.5, 4.4, 4.5, 6.11, 6.14.1, 7.2.1, 7.7).

Accessed and dirty bits are set initially, so that a page of tables changes only if something is wrong.
"""

import struct
from functools import cache

from machine.bus.ram import PAGE_SIZE
from tests.machine.programs import layout
from tests.machine.programs.layout import KERNEL_PAGES, PAGES, Page

_PRESENT, _WRITABLE, _USER, _ACCESSED, _DIRTY, _NO_EXECUTE = 1, 2, 4, 0x20, 0x40, 1 << 63
_INNER = _PRESENT | _WRITABLE | _USER | _ACCESSED
_BIG, _LONG, _PAGES_4K = 4, 2, 8
"""Flags of a descriptor: D/B, L, G."""
PML4, PDPT_PAE = layout.TABLES, layout.TABLES + PAGE_SIZE
_END_OF_TABLES = layout.TABLES + layout.TABLES_SIZE


class _PageTables:
    """Four-level tables, and the four pointers of PAE paging to the same directories."""

    def __init__(self) -> None:
        self.memory = bytearray(layout.TABLES_SIZE)
        self._free = layout.TABLES + 2 * PAGE_SIZE

    def _entry(self, table: int, index: int, value: int) -> None:
        struct.pack_into("<Q", self.memory, table - layout.TABLES + 8 * index, value)

    def _below(self, table: int, index: int) -> int:
        """The table to which an entry points; a new one if it is empty."""
        (entry,) = struct.unpack_from("<Q", self.memory, table - layout.TABLES + 8 * index)
        if not entry:
            entry = self._free | _INNER
            self._free += PAGE_SIZE
            self._entry(table, index, entry)
        return int(entry) & -PAGE_SIZE

    def map(self, linear: int, physical: int, flags: int) -> None:
        """Map a page of 4 KiB."""
        third = self._below(PML4, linear >> 39 & 511)
        directory = self._below(third, linear >> 30 & 511)
        if linear < 1 << 32:
            self._entry(PDPT_PAE, linear >> 30, directory | _PRESENT)
        table = self._below(directory, linear >> 21 & 511)
        self._entry(table, linear >> 12 & 511, physical | flags | _PRESENT | _ACCESSED | _DIRTY)
        if self._free > _END_OF_TABLES:
            raise ValueError("the page tables do not fit")

    def map_pages(self, page: Page, *, user: bool) -> None:
        """Map all of a kind."""
        flags = (_USER if user else 0) | (_WRITABLE if page.writable else 0) | (0 if page.executable else _NO_EXECUTE)
        for index, physical in enumerate(page.physical):
            self.map(page.linear + index * PAGE_SIZE, physical, flags)


@cache
def page_tables(ring: int, *, boot: bool = False, pointers: bool = True) -> bytes:
    """All tables for a program in a ring: its code and its stack belong to that ring.

    `boot` maps the page where the processor starts, which is needed while paging is turned on. Without `pointers` PAE
    paging finds none there.
    """
    tables = _PageTables()
    for page in PAGES:
        tables.map_pages(page, user=page.user and (ring == 3 or page.name not in ("code", "stack")))
    tables.map_pages(KERNEL_PAGES, user=False)
    if boot:
        tables.map(layout.BOOT, layout.BOOT, _WRITABLE)
    if not pointers:
        at = PDPT_PAE - layout.TABLES
        tables.memory[at : at + PAGE_SIZE] = bytes(PAGE_SIZE)
    return bytes(tables.memory)


def _segment(kind: int, dpl: int, flags: int = 0, base: int = 0, limit: int = 0xF_FFFF, present: int = 1) -> bytes:
    """A code or data segment (S = 1) or, with bit 4 of `kind` clear, one of the system."""
    access = kind | dpl << 5 | present << 7
    return struct.pack(
        "<HHBBBB", limit & 0xFFFF, base & 0xFFFF, base >> 16 & 0xFF, access, limit >> 16 | flags << 4, base >> 24
    )


def _system(kind: int, dpl: int, base: int, limit: int, *, long: bool) -> bytes:
    """TSS or LDT."""
    descriptor = _segment(kind, dpl, 0, base, limit)
    return descriptor + struct.pack("<Q", base >> 32) if long else descriptor


def _gate(kind: int, dpl: int, selector: int, offset: int, *, long: bool, stack: int = 0) -> bytes:
    """An interrupt gate, call gate or task gate."""
    gate = struct.pack("<HHBBH", offset & 0xFFFF, selector, stack, kind | dpl << 5 | 0x80, offset >> 16 & 0xFFFF)
    return gate + struct.pack("<Q", offset >> 32) if long else gate


_READ_ONLY, _DATA, _DOWN, _EXECUTE_ONLY, _CODE, _CONFORMING = 0x11, 0x13, 0x17, 0x19, 0x1B, 0x1F
_FRESH = 0x12
_LDT, _AVAILABLE_TSS, _CALL, _TASK_GATE, _INTERRUPT = 2, 9, 0xC, 5, 0xE
_TSS_32, _SECOND_TSS, _THIRD_TSS, _LDT_AT = (layout.TSS + at for at in (0x400, 0x800, 0xA00, 0xC00))
_LDT_SIZE, _TSS_SIZE = 0x18, 0x68


def gdt(*, long: bool, peripherals: bool) -> bytes:
    """The global descriptor table, with and without IA-32e mode; equal selectors name equal things."""
    flat = _BIG | _PAGES_4K
    native = (_LONG if long else _BIG) | _PAGES_4K
    other = _LONG | _PAGES_4K if long else _PAGES_4K  # 16-bit code outside IA-32e mode
    handler = layout.HANDLERS + layout.CALL_GATE_VECTOR * layout.HANDLER_SIZE
    kernel = layout.KERNEL_CODE_64 if long else layout.KERNEL_CODE_32
    first, second = (layout.TSS, _SECOND_TSS) if long else (_TSS_32, _SECOND_TSS)
    size = _TSS_SIZE + len(_BITMAP) if peripherals else _TSS_SIZE
    found = {
        layout.KERNEL_CODE_32: _segment(_CODE, 0, flat),
        layout.KERNEL_CODE_64: _segment(_CODE, 0, other),
        layout.KERNEL_DATA: _segment(_DATA, 0, flat),
        layout.USER_CODE_32: _segment(_CODE, 3, flat),
        layout.USER_DATA: _segment(_DATA, 3, flat),
        layout.USER_CODE_64: _segment(_CODE, 3, other),
        layout.TASK: _system(_AVAILABLE_TSS, 0, first, size - 1, long=long),
        layout.LDT: _system(_LDT, 0, _LDT_AT, _LDT_SIZE - 1, long=long),
        layout.READ_ONLY_DATA: _segment(_READ_ONLY, 3, flat),
        layout.EXPAND_DOWN_DATA: _segment(_DOWN, 3, flat, limit=0x1_FFFF),
        layout.SMALL_DATA: _segment(_DATA, 3, _BIG, base=layout.DATA, limit=0xFFF),
        layout.CODE_16: _segment(_CODE, 3, 0, base=layout.CODE, limit=0xFFFF),
        layout.EXECUTE_ONLY_CODE: _segment(_EXECUTE_ONLY, 3, native),
        layout.CONFORMING_CODE: _segment(_CONFORMING, 0, native),
        layout.ABSENT_DATA: _segment(_DATA, 3, flat, present=0),
        layout.ABSENT_CODE: _segment(_CODE, 3, native, present=0),
        layout.RING_1_DATA: _segment(_DATA, 1, flat),
        layout.FRESH_DATA: _segment(_FRESH, 3, flat),
        layout.USER_CALL_GATE: _gate(_CALL, 3, kernel, handler, long=long),
        layout.KERNEL_CALL_GATE: _gate(_CALL, 0, kernel, handler, long=long),
        layout.AVAILABLE_TASK: _system(_AVAILABLE_TSS, 0, second, _TSS_SIZE - 1, long=long),
    }
    if not long:
        found[layout.TASK_GATE] = _gate(_TASK_GATE, 3, layout.AVAILABLE_TASK, 0, long=False)
        if peripherals:
            found[layout.RETURNING_TASK] = _system(_AVAILABLE_TSS, 3, _THIRD_TSS, _TSS_SIZE - 1, long=False)
    table = bytearray(0x100)
    for selector, descriptor in found.items():
        at = selector & ~7
        table[at : at + len(descriptor)] = descriptor
    return bytes(table)


def idt(*, long: bool, peripherals: bool) -> bytes:
    """256 interrupt gates, each to a handler of its own. Ring 3 may use INT3, INTO, INT 80H and INT 81H."""
    kernel = layout.KERNEL_CODE_64 if long else layout.KERNEL_CODE_32
    gates = [
        _gate(
            _INTERRUPT,
            3 if vector in (3, 4, layout.END_VECTOR, layout.ROUND_TRIP_VECTOR) else 0,
            kernel,
            layout.HANDLERS + vector * layout.HANDLER_SIZE,
            long=long,
            stack=int(long),
        )
        for vector in range(256)
    ]
    if peripherals and not long:
        gates[layout.RETURNING_TASK_VECTOR] = _gate(_TASK_GATE, 3, layout.RETURNING_TASK, 0, long=False)
    return b"".join(gates)


def _bitmap() -> bytes:
    """The I/O permission bitmap (SDM volume 1, 19.5.2): a 0 opens a port, and 8 ones follow."""
    bitmap = bytearray(b"\xff" * 0x81)
    for port in layout.OPEN_PORTS:
        bitmap[port // 8] &= ~(1 << port % 8)
    return bytes(bitmap)


_BITMAP = _bitmap()


def tasks() -> bytes:
    """The page of the task-state segments: for IA-32e mode, for protected mode, two to switch to, and an LDT.

    The bitmaps of the first two count only if the limits cover them.
    """
    page = bytearray(PAGE_SIZE)
    top = layout.INTERRUPT_STACK_TOP
    struct.pack_into("<Q", page, 4, top)  # RSP0
    struct.pack_into("<Q", page, 36, top)  # IST1
    struct.pack_into("<H", page, 102, _TSS_SIZE)  # no I/O permission bitmap
    for at in (0, _TSS_32 - layout.TSS):
        page[at + _TSS_SIZE : at + _TSS_SIZE + len(_BITMAP)] = _BITMAP
    for at in (_TSS_32 - layout.TSS, _SECOND_TSS - layout.TSS, _THIRD_TSS - layout.TSS):
        struct.pack_into("<II", page, at + 4, top, layout.KERNEL_DATA)  # ESP0, SS0
        struct.pack_into("<I", page, at + 0x1C, PDPT_PAE)
        struct.pack_into("<H", page, at + 102, _TSS_SIZE)
    for task, vector in ((_SECOND_TSS, layout.TASK_VECTOR), (_THIRD_TSS, layout.RETURNING_VECTOR)):
        at = task - layout.TSS
        struct.pack_into("<2I", page, at + 0x20, layout.HANDLERS + vector * layout.HANDLER_SIZE, 2)
        struct.pack_into("<I", page, at + 0x38, top)  # ESP
        selectors = layout.KERNEL_DATA, layout.KERNEL_CODE_32, *[layout.KERNEL_DATA] * 4
        for index, selector in enumerate(selectors):
            struct.pack_into("<I", page, at + 0x48 + 4 * index, selector)
    entries = _segment(_DATA, 3, 0xC), _segment(_CODE, 3, 0xC), _segment(_DATA, 0, 0xC)
    at = _LDT_AT - layout.TSS
    page[at : at + _LDT_SIZE] = b"".join(entries)
    return bytes(page)


def handlers(*, long: bool) -> bytes:
    """HLT for each vector except INT 81H, for the call gate and for the second task, each with a jump back to it."""
    halt = b"\xf4\xeb\xfd".ljust(layout.HANDLER_SIZE, b"\xcc")
    back = (b"\x48\xcf" if long else b"\xcf").ljust(layout.HANDLER_SIZE, b"\xcc")
    after = layout.TASK_VECTOR - layout.ROUND_TRIP_VECTOR
    returning = b"\xcf\xeb\xfd".ljust(layout.HANDLER_SIZE, b"\xcc")
    return (halt * layout.ROUND_TRIP_VECTOR + back + halt * after + returning).ljust(PAGE_SIZE, b"\xcc")


def kernel_pages(*, long: bool, startup: bytes, peripherals: bool = False) -> bytes:
    """GDT, IDT, TSS, handlers and start-up code, consecutively from KERNEL on."""
    pages = (
        gdt(long=long, peripherals=peripherals),
        idt(long=long, peripherals=peripherals),
        tasks(),
        handlers(long=long),
        startup,
    )
    return b"".join(page.ljust(PAGE_SIZE, b"\0") for page in pages)
