"""Ranges of linear addresses that the page tables map (SDM volume 3, chapter 4)."""

from collections.abc import Iterator

import msgspec

from machine.architecture.paging import PAGE_SIZE_BIT, PHYSICAL_ADDRESS_BITS, PRESENT, Mode, SupervisorMemory
from machine.architecture.processor_state import ProcessorState
from machine.bus.ram import PAGE_SIZE, Ram

_MAX_TABLES = 2048
"""The maximum number of tables that are read: tables that point to each other can map too much to wait for."""
_CR4_PSE = 1 << 4
_ADDRESS_BITS = 0x000F_FFFF_FFFF_F000
_PAGE_ADDRESS = (1 << PHYSICAL_ADDRESS_BITS) - PAGE_SIZE
_UPPER_HALF = 0xFFFF << 48
_OF_NO_ACCOUNT = 0xF78
"""PWT, PCD, accessed, dirty, global and three bits for software: an entry's rights do not depend on them."""
_FOR_SOFTWARE = 0x7FF << 52
"""The same in 64-bit mode, where they are not reserved."""
_Rights = tuple[bool, bool]


class MappedRange(msgspec.Struct, frozen=True):
    """Consecutive linear pages that are mapped with the same rights, to any physical pages."""

    start: int
    end: int
    """The first address after it."""
    user: bool
    writable: bool


def mapped_ranges(ram: Ram, state: ProcessorState) -> list[MappedRange] | None:
    """Find what the current tables map.

    Args:
        ram: The RAM that has the tables.
        state: The registers of the processor, which say where they are and of which kind.

    Returns:
        The ranges, in order; None if paging is off. Pages with a reserved bit, whose every access is a fault, are left
        out. Not more than 2048 tables are looked at.
    """
    tables = _Tables(ram, state)
    if tables.mode is Mode.OFF:
        return None
    found: list[MappedRange] = []
    for one in tables.pages():
        last = found[-1] if found else None
        if last is not None and (last.end, last.user, last.writable) == (one.start, one.user, one.writable):
            found[-1] = msgspec.structs.replace(last, end=one.end)
        else:
            found.append(one)
    return found


class _Tables:
    """The tables that CR3 points to."""

    def __init__(self, ram: Ram, state: ProcessorState) -> None:
        self._ram, self._memory = ram, SupervisorMemory(ram, state)
        self.mode = self._memory.mode
        self._pointers = state.kept_pointers if self.mode is Mode.PAE else None
        self._root = state.cr3 & (0xFFFF_FFE0 if self.mode is Mode.PAE else _ADDRESS_BITS)
        large = {Mode.PAE: (21,), Mode.FOUR_LEVEL: (30, 21)}.get(self.mode)
        self._page_shifts = (12, *(large or ((22,) if state.cr[4] & _CR4_PSE else ())))
        self._left = _MAX_TABLES

    def pages(self) -> Iterator[MappedRange]:
        """Yield each page that is mapped, large ones as one."""
        return self._in_table(self._root, 0, 0)

    def _in_table(self, table: int, level: int, base: int) -> Iterator[MappedRange]:
        shift, width = self.mode.value[level], 4 if self.mode is Mode.TWO_LEVEL else 8
        count = 4 if (self.mode, shift) == (Mode.PAE, 30) else PAGE_SIZE // width
        self._left -= 1
        if self._left < 0:
            return
        ignored = _OF_NO_ACCOUNT | (_FOR_SOFTWARE if self.mode is Mode.FOUR_LEVEL else 0)
        known: dict[int, _Rights | None] = {}  # they depend on the tables above, and not on the address of the page
        kept = self._pointers if count == 4 else None
        for index in range(count if kept is not None else min(count, (self._ram.size - table) // width)):
            slot = table + index * width
            entry = int.from_bytes(self._ram.view[slot : slot + width], "little") if kept is None else kept[index]
            address = base | index << shift
            if not entry & PRESENT:
                continue
            if shift != 12 and not (shift in self._page_shifts and entry & PAGE_SIZE_BIT):
                yield from self._in_table(entry & _ADDRESS_BITS, level + 1, address)
                continue
            start = address | _UPPER_HALF if address >> 47 & 1 else address
            bits = entry & ~(_PAGE_ADDRESS & -(1 << shift) | ignored)
            if bits not in known:
                known[bits] = self._rights(start)
            rights = known[bits]
            if rights is not None:
                yield MappedRange(start, start + (1 << shift), *rights)

    def _rights(self, address: int) -> _Rights | None:
        """Return for ring 3, and for writes; None where there is none, for a reserved bit is set."""
        found = self._memory.look(address)
        return None if found is None or found.reserved else (found.user, found.writable)
