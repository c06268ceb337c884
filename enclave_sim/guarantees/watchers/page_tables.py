"""Audits page tables in RAM against the memory map's access rights (SDM volume 3, 4.5)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from enclave_sim.memory_map import GUEST_MEMORY, Region, region_at
from machine.bus.ram import Ram

_PRESENT, _WRITABLE, _USER, _LARGE, _NO_EXECUTE = 1, 2, 4, 1 << 7, 1 << 63
_ADDRESS = 0x000F_FFFF_FFFF_F000
_GUEST_REGIONS = ("gate", "vmm_text", "vmm_rodata", *GUEST_MEMORY)
_ENTRIES, _LOWEST_SHIFT, _HIGHEST_SHIFT, _BITS = 512, 12, 39, 9


class Mapping(NamedTuple):
    """A mapped page, with the combined rights of all levels."""

    linear: int
    physical: int
    size: int
    writable: bool
    user: bool
    executable: bool

    def __str__(self) -> str:
        rights = f"{'w' if self.writable else '-'}{'x' if self.executable else '-'}{'u' if self.user else 's'}"
        return f"{self.linear:#x} -> {self.physical:#x}, {self.size >> 10} KiB, {rights}"


def mappings(ram: Ram, cr3: int, tables: set[int] | None = None) -> Iterator[Mapping]:
    """Yield all pages mapped by four levels of tables, by linear address.

    A table outside RAM maps nothing: the bus floats, so the values read have reserved bits set.

    Args:
        ram: The RAM.
        cr3: The value of CR3.
        tables: Gets the physical address of each table that is read.

    Yields:
        Each mapping.
    """
    noted = set() if tables is None else tables
    yield from _walk(ram, cr3 & _ADDRESS, 0, _HIGHEST_SHIFT, _WRITABLE | _USER, tables=noted)


def _walk(ram: Ram, table: int, base: int, shift: int, rights: int, *, tables: set[int]) -> Iterator[Mapping]:
    tables.add(table)
    if table + _ENTRIES * 8 > ram.size:
        return
    for index, entry in enumerate(memoryview(ram.read(table, _ENTRIES * 8)).cast("Q").tolist()):
        if not entry & _PRESENT:
            continue
        linear = base + (index << shift)
        granted = rights & entry & (_WRITABLE | _USER) | (rights | entry) & _NO_EXECUTE
        if shift > _LOWEST_SHIFT and not entry & _LARGE:
            yield from _walk(ram, entry & _ADDRESS, linear, shift - _BITS, granted, tables=tables)
            continue
        size = 1 << shift
        yield Mapping(
            linear,
            entry & _ADDRESS & -size,
            size,
            bool(granted & _WRITABLE),
            bool(granted & _USER),
            not granted & _NO_EXECUTE,
        )


def faults(ram: Ram, cr3: int, read: Sequence[Region], tables: set[int] | None = None) -> list[str]:
    """Return the faults of the tables at `cr3`.

    `read` has the regions that a guest may read but not write (`memory_map.read_by_guests`); `tables` is that of
    `mappings`.
    """
    found: list[str] = []
    for page in mappings(ram, cr3, tables):
        where = region_at(page.physical)
        guests = where is not None and where.name in _GUEST_REGIONS
        is_read = where is not None and where in read
        if page.writable and page.executable:
            found.append(f"writable and executable: {page}")
        if page.user and not (guests or is_read):
            found.append(f"ring 3 reaches {where.name if where else 'what is not its own'}: {page}")
        if page.user and (guests or is_read) and where is not None and page.physical + page.size > where.end:
            found.append(f"a page of ring 3 is larger than {where.name}: {page}")
        if page.writable and where is not None and where.measured:
            found.append(f"the measured image can be written: {page}")
        if page.writable and is_read and page.user:
            found.append(f"a guest can write its own code: {page}")
        if page.linear == 0:
            found.append(f"the null page is mapped: {page}")
    return found
