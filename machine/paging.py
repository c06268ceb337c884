"""Four-level paging (SDM volume 3, 4.5): the walk, and a translation cache with the processor's flush rules.

Unicorn walks for the instructions it executes; this walk serves what Python does on the processor's behalf
(reading the IDT, pushing frames, working out error codes) and whoever inspects the machine.
"""

from dataclasses import dataclass

from machine.ram import PAGE_SIZE, Ram

PRESENT, WRITABLE, USER, PAGE_SIZE_BIT = 1, 1 << 1, 1 << 2, 1 << 7
NO_EXECUTE = 1 << 63
_ADDRESS_BITS = 0x000F_FFFF_FFFF_F000


@dataclass(frozen=True, slots=True)
class Translation:
    """Where a page is and what may be done with it, over all levels of the walk."""

    physical: int
    """Physical address of the 4 KiB page."""
    writable: bool
    user: bool
    executable: bool


def is_canonical(address: int) -> bool:
    """Whether bits 63 to 47 are all equal (SDM volume 1, 3.3.7.1)."""
    return address >> 47 in (0, 0x1_FFFF)


def walk(ram: Ram, cr3: int, address: int) -> Translation | None:
    """Translate a linear address by the tables at `cr3`; None where it is not present or not canonical."""
    if not is_canonical(address):
        return None
    table = cr3 & _ADDRESS_BITS
    writable = user = executable = True
    for shift in (39, 30, 21, 12):
        slot = table + (address >> shift & 0x1FF) * 8
        if slot + 8 > ram.size:
            return None
        entry = int.from_bytes(ram.view[slot : slot + 8], "little")
        if not entry & PRESENT:
            return None
        writable = writable and bool(entry & WRITABLE)
        user = user and bool(entry & USER)
        executable = executable and not entry & NO_EXECUTE
        if shift == 12 or (shift < 39 and entry & PAGE_SIZE_BIT):
            span = (1 << shift) - 1
            physical = (entry & _ADDRESS_BITS & ~span) | (address & span & -PAGE_SIZE)
            return Translation(physical, writable, user, executable)
        table = entry & _ADDRESS_BITS
    return None


class TranslationCache:
    """Remembers walks until `flush`, as a TLB does. With paging off linear addresses are physical."""

    def __init__(self, ram: Ram) -> None:
        self._ram = ram
        self._pages: dict[int, Translation | None] = {}
        self._cr3: int | None = None

    def flush(self, cr3: int | None) -> None:
        """Forget everything; translate by the tables at `cr3` from now on (None: paging is off)."""
        self._pages.clear()
        self._cr3 = cr3

    def lookup(self, address: int) -> Translation | None:
        """The translation of the page that holds `address`, or None."""
        page = address & -PAGE_SIZE
        try:
            return self._pages[page]
        except KeyError:
            found = Translation(page, True, True, True) if self._cr3 is None else walk(self._ram, self._cr3, page)
            self._pages[page] = found
            return found

    def physical(self, address: int, length: int) -> int | None:
        """Physical address of a range that must not leave its page nor RAM, or None."""
        found = self.lookup(address)
        offset = address % PAGE_SIZE
        if found is None or offset + length > PAGE_SIZE or found.physical + offset + length > self._ram.size:
            return None
        return found.physical + offset

    def read(self, address: int, length: int) -> bytes | None:
        """Bytes at a linear address, over page boundaries; None where a page is missing."""
        found, offset = self._pages.get(address & -PAGE_SIZE), address & PAGE_SIZE - 1
        if found is not None and offset + length <= PAGE_SIZE:  # nearly always: known, and within one page
            at = found.physical + offset
            if at + length <= self._ram.size:
                return bytes(self._ram.view[at : at + length])
        data = b""
        while length:
            part = min(length, PAGE_SIZE - address % PAGE_SIZE)
            start = self.physical(address, part)
            if start is None:
                return None
            data += self._ram.view[start : start + part]
            address, length = address + part, length - part
        return data
