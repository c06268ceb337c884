"""Paging (SDM volume 3, chapter 4): page walks in all modes, and the processor's own accesses to memory.

Unicorn walks the tables for the instructions it executes. `walk` is for inspection and changes nothing.
`SupervisorMemory` is for the processor's own accesses that Python makes, such as reading descriptors and pushing
frames. It follows the rules of implicit supervisor accesses: accessed and dirty flags, CR0.WP, CR4.SMAP, reserved bits.
"""

from collections.abc import Callable, Sequence
from enum import Enum

import msgspec

from machine.architecture.exceptions import GP, Fault, PageFault
from machine.architecture.processor_state import ProcessorState
from machine.bus.ram import PAGE_SIZE, Ram
from machine.bus.writer import PAGE_WALK, Writer

PRESENT, WRITABLE, USER, PAGE_SIZE_BIT = 1, 1 << 1, 1 << 2, 1 << 7
ACCESSED, DIRTY = 1 << 5, 1 << 6
NO_EXECUTE = 1 << 63
PHYSICAL_ADDRESS_BITS = 40
_ADDRESS_BITS = 0x000F_FFFF_FFFF_F000
_BEYOND_PHYSICAL = _ADDRESS_BITS & -(1 << PHYSICAL_ADDRESS_BITS)
_CR0_WP, _CR0_PG, _CR4_PSE, _CR4_PAE, _CR4_SMAP = 1 << 16, 1 << 31, 1 << 4, 1 << 5, 1 << 21
_EFER_LMA, _EFER_NXE = 1 << 10, 1 << 11
_FLAG_AC = 1 << 18
_PF_WRITE, _PF_USER, _PF_RESERVED = 2, 4, 8


class Mode(Enum):
    """Paging modes. The value has, for each level, the shift of its index in the linear address."""

    OFF = ()
    TWO_LEVEL = (22, 12)
    PAE = (30, 21, 12)
    FOUR_LEVEL = (39, 30, 21, 12)


class Translation(msgspec.Struct, frozen=True):
    """The result of a walk: the page, and its rights combined over all levels."""

    physical: int
    """Physical address of the 4 KiB page."""
    writable: bool
    user: bool
    executable: bool
    reserved: bool = False
    """A reserved bit is set in one of the entries, so every access is a page fault."""
    entries: tuple[int, ...] = ()
    """Physical addresses of the entries used; the last one maps the page."""


def is_canonical(address: int) -> bool:
    """Return whether bits 63:47 are all equal (SDM volume 1, 3.3.7.1)."""
    return address >> 47 in (0, 0x1_FFFF)


def walk(
    ram: Ram,
    cr3: int,
    address: int,
    mode: Mode = Mode.FOUR_LEVEL,
    *,
    no_execute: bool = True,
    large: bool = True,
    pointers: Sequence[int] | None = None,
) -> Translation | None:
    """Translate a linear address with the tables at CR3, and change nothing.

    Args:
        ram: The RAM that contains the tables.
        cr3: The value of CR3.
        address: A linear address.
        mode: The paging mode; not `Mode.OFF`.
        no_execute: EFER.NXE is set.
        large: CR4.PSE is set; matters for two-level paging only.
        pointers: The page-directory pointers that PAE paging has loaded; None to read them from memory.

    Returns:
        The translation, or None if the address is not canonical, the page is not present or a table is outside RAM.
    """
    if not is_canonical(address):
        return None
    width, index_mask = (4, 0x3FF) if mode is Mode.TWO_LEVEL else (8, 0x1FF)
    table = cr3 & (0xFFFF_FFE0 if mode is Mode.PAE else _ADDRESS_BITS)
    forbidden = 0 if mode is Mode.TWO_LEVEL else _BEYOND_PHYSICAL | (0 if no_execute else NO_EXECUTE)
    writable = user = executable = True
    reserved, entries = False, []
    for shift in mode.value:
        slot = table + (address >> shift & index_mask) * width
        if pointers is not None and shift == 30:
            entry = pointers[address >> 30]
        elif slot + width > ram.size:
            return None
        else:
            entry = int.from_bytes(ram.view[slot : slot + width], "little")
        if not entry & PRESENT:
            return None
        if mode is Mode.PAE and shift == 30:
            reserved = bool(entry & (_BEYOND_PHYSICAL | NO_EXECUTE | 0x1E6))
        else:
            entries.append(slot)
            writable = writable and bool(entry & WRITABLE)
            user = user and bool(entry & USER)
            executable = executable and not entry & NO_EXECUTE
            reserved = reserved or bool(entry & forbidden) or (shift == 39 and bool(entry & PAGE_SIZE_BIT))
            is_large = shift not in (12, 39) and entry & PAGE_SIZE_BIT and (large or mode is not Mode.TWO_LEVEL)
            if shift == 12 or is_large:
                span = (1 << shift) - 1
                if is_large:
                    entry, wrong = _large_page(entry, shift, mode)
                    reserved = reserved or wrong
                physical = (entry & _ADDRESS_BITS & ~span) | (address & span & -PAGE_SIZE)
                return Translation(physical, writable, user, executable, reserved, tuple(entries))
        table = entry & _ADDRESS_BITS
    return None


def _large_page(entry: int, shift: int, mode: Mode) -> tuple[int, bool]:
    """Return the entry with its complete address; True if a reserved bit between bit 12 and the address is set."""
    if mode is Mode.TWO_LEVEL:  # PSE-36: bits 20-13 are address bits 39-32
        return entry & 0xFFC0_0000 | (entry >> 13 & 0xFF) << 32, bool(entry & 1 << 21)
    return entry, bool(entry & ((1 << shift) - 1) & _ADDRESS_BITS & ~0x1000)


class SupervisorMemory:
    """Memory by linear address, for the processor's own accesses in supervisor mode.

    Translations are cached until `flush`, as in a TLB, unless they are not present or not allowed.

    Args:
        ram: The RAM of the machine.
        state: The processor's registers, which control translation.
    """

    def __init__(self, ram: Ram, state: ProcessorState) -> None:
        self._ram = ram
        self._state = state
        self._cr = state.cr
        self._pages: dict[int, Translation] = {}
        self._writable: set[int] = set()
        self.on_change: Callable[[], None] = lambda: None
        """Called after each change of a cached translation."""

    @property
    def mode(self) -> Mode:
        """The paging mode selected by CR0, CR4 and EFER."""
        state = self._state
        if not state.cr[0] & _CR0_PG:
            return Mode.OFF
        if not state.cr[4] & _CR4_PAE:
            return Mode.TWO_LEVEL
        return Mode.FOUR_LEVEL if state.efer & _EFER_LMA else Mode.PAE

    def flush(self) -> None:
        """Drop all cached translations."""
        self._pages.clear()
        self._writable.clear()
        self.on_change()

    def known(self, address: int, *, write: bool = False) -> int | None:
        """Return the physical address of a page whose cached translation `read` would use, or `push`; else None."""
        page = address & -PAGE_SIZE
        found = self._pages.get(page) if not write or page in self._writable else None
        return None if found is None or (found.user and self._cr[4] & _CR4_SMAP) else found.physical

    def _wrapped(self, address: int) -> int:
        """Truncate a linear address to 32 bits outside IA-32e mode (SDM volume 3, 3.3)."""
        return address if self._state.efer & _EFER_LMA else address & 0xFFFF_FFFF

    def look(self, address: int) -> Translation | None:
        """Translate the page of `address` with the current tables, and change nothing; None as in `walk`."""
        state, mode = self._state, self.mode
        address = self._wrapped(address)
        if mode is Mode.OFF:
            return Translation(address & -PAGE_SIZE, True, True, True)
        return walk(
            self._ram,
            state.cr[3],
            address,
            mode,
            no_execute=bool(state.efer & _EFER_NXE),
            large=bool(state.cr[4] & _CR4_PSE),
            pointers=state.kept_pointers if mode is Mode.PAE else None,
        )

    def read(self, address: int, length: int, rflags: int = 0) -> bytes:
        """Return the bytes at a linear address; all ones outside RAM, because the bus floats.

        Raises Fault: #PF, or #GP(0) for an address that is not canonical.

        Args:
            address: A linear address; the range may cross pages.
            length: In bytes.
            rflags: For SMAP: outside ring 3, AC permits accesses to user pages.

        Returns:
            `length` bytes.
        """
        found, offset = self._pages.get(address & -PAGE_SIZE), address & PAGE_SIZE - 1
        if found is None or offset + length > PAGE_SIZE or (found.user and self._cr[4] & _CR4_SMAP):
            if offset + length > PAGE_SIZE:
                first = PAGE_SIZE - offset
                return self.read(address, first, rflags) + self.read(address + first, length - first, rflags)
            found = self._translate(address, rflags, write=False)
        at = found.physical + offset
        return bytes(self._ram.view[at : at + length]) if at + length <= self._ram.size else b"\xff" * length

    def read_physical(self, address: int, length: int) -> bytes:
        """Return the bytes at a physical address; all ones outside RAM."""
        if address + length > self._ram.size:
            return b"\xff" * length
        return bytes(self._ram.view[address : address + length])

    def push(self, address: int, data: bytes, rflags: int = 0, unit: int = 8, *, by: Writer | None = None) -> None:
        """Store a complete stack frame or nothing.

        The processor pushes downwards, one unit at a time, so a fault has the address of the highest faulting unit.
        Raises Fault: #PF, or #GP(0) for an address that is not canonical.

        Args:
            address: The linear address of the frame's lowest byte.
            data: The frame, at most 4096 bytes.
            rflags: For SMAP: outside ring 3, AC permits accesses to user pages.
            unit: Bytes pushed at a time.
            by: The writer; None for an instruction.
        """
        offset = address & PAGE_SIZE - 1
        page = address - offset
        if offset + len(data) > PAGE_SIZE:
            self._push_across(address, data, rflags, unit, by)
            return
        found = self._pages[page] if page in self._writable else None
        if found is None or (found.user and self._cr[4] & _CR4_SMAP):
            found = self._translate(address + len(data) - unit, rflags, write=True)
        self._store(found.physical + offset, data, by)

    def _push_across(self, address: int, data: bytes, rflags: int, unit: int, by: Writer | None) -> None:
        """Push a frame that crosses a page boundary; even a single unit may cross it."""
        split = PAGE_SIZE - (address & PAGE_SIZE - 1)
        if len(data) - unit >= split:
            self._translate(address + len(data) - unit, rflags, write=True)
        lower = self._translate(address + (split - 1) // unit * unit, rflags, write=True)
        upper = self._translate(address + split, rflags, write=True)
        self._store(lower.physical + PAGE_SIZE - split, data[:split], by)
        self._store(upper.physical, data[split:], by)

    def _store(self, physical: int, data: bytes, by: Writer | None) -> None:
        if physical + len(data) <= self._ram.size:
            self._ram.write(physical, data, by)

    def translate(self, address: int, rflags: int, *, write: bool, user: bool) -> int:
        """Translate an instruction's memory access, and set accessed and dirty flags.

        Raises Fault: #PF, or #GP(0) for an address that is not canonical.

        Args:
            address: A linear address.
            rflags: For SMAP: AC permits an explicit supervisor access to user pages.
            write: The access is a write.
            user: The access has the rights of ring 3, otherwise those of the supervisor.

        Returns:
            The physical address of the 4 KiB page.
        """
        return self._translate(address, rflags, write=write, user=user).physical

    def _translate(self, address: int, rflags: int, *, write: bool, user: bool = False) -> Translation:
        address = self._wrapped(address)
        page = address & -PAGE_SIZE
        found = self._pages.get(page)
        new = found is None or (write and page not in self._writable)
        if new:
            found = self.look(address)
        state = self._state
        code = (_PF_WRITE if write else 0) | (_PF_USER if user else 0)
        if found is None:
            raise PageFault(code, address) if is_canonical(address) else Fault(GP, 0)
        if found.reserved:
            raise PageFault(code | 1 | _PF_RESERVED, address)
        if write and not found.writable and (user or state.cr[0] & _CR0_WP):
            raise PageFault(code | 1, address)
        if user and not found.user:
            raise PageFault(code | 1, address)
        if found.user and not user and state.cr[4] & _CR4_SMAP and self.mode is not Mode.OFF:  # noqa: SIM102 - two thoughts
            if state.cpl == 3 or not rflags & _FLAG_AC:
                raise PageFault(code | 1, address)
        if new:
            self._mark(found, write=write)
            self._pages[page] = found
            if write:
                self._writable.add(page)
            self.on_change()
        return found

    def _mark(self, found: Translation, *, write: bool) -> None:
        """Set the accessed flags of the entries used, and the dirty flag of the last for a write (4.8)."""
        for slot in found.entries:
            flags = ACCESSED | (DIRTY if write and slot == found.entries[-1] else 0)
            entry = self._ram.view[slot]
            if entry & flags != flags:
                self._ram.write(slot, bytes([entry | flags]), PAGE_WALK)
