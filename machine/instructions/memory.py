"""Memory operands of instructions that the machine executes itself (SDM volume 3, 4.6).

A complete access is checked before anything is read or written: it either happens or raises the instruction's Fault. It
reaches RAM and devices like the processor's own accesses.
"""

from collections.abc import Iterator, Sequence

from machine.architecture.exceptions import GP, SS, Fault
from machine.architecture.paging import is_canonical
from machine.architecture.processor_state import HFLAG_CODE_64
from machine.bus.bus import MMIO_BASE, MMIO_SIZE
from machine.bus.ram import PAGE_SIZE
from machine.processor.cpu import Cpu

_LOW, _ALL = 0xFFFF_FFFF, 2**64 - 1
_LARGEST_ACCESS = 8


class OperandMemory:
    """Memory by linear address, on one processor.

    Accesses have the rights of the current ring, or, if `user` is given, those of ring 3 (True) or the supervisor
    (False). `stack` marks an access to SS, for which a non-canonical address is #SS(0) instead of #GP(0).
    """

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    def read(self, address: int, size: int, *, user: bool | None = None, stack: bool = False) -> bytes:
        """Read `size` bytes at a linear address. Raises Fault."""
        ranges = self._translated(address, size, user, stack, False)
        if len(ranges) == 1:
            return self._load(*ranges[0])
        return b"".join([self._load(at, part) for at, part in ranges])

    def write(self, address: int, data: bytes, *, user: bool | None = None, stack: bool = False) -> None:
        """Write all of `data` at a linear address, or nothing. Raises Fault."""
        done = 0
        for at, part in self._translated(address, len(data), user, stack, True):
            self._store(at, data[done : done + part])
            done += part

    def write_chosen(self, address: int, data: bytes, chosen: Sequence[int]) -> None:
        """Write some bytes of `data`: all of them or none.

        Raises Fault. Devices and memory watchers see each byte as a separate access.

        Args:
            address: The linear address of the first byte of `data`.
            data: The bytes.
            chosen: The indices of the bytes to write, in ascending order.
        """
        pages: dict[int, int] = {}
        for index in chosen:
            page = (address + index & _ALL) & -PAGE_SIZE
            if page not in pages:
                pages[page] = self._translated(address + index & _ALL, 1, None, False, True)[0][0] & -PAGE_SIZE
        cpu, ram = self._cpu, self._cpu.ram
        for page, physical in pages.items():
            places = [(index, at - page) for index in chosen if (at := address + index & _ALL) & -PAGE_SIZE == page]
            if physical >= ram.size or cpu.callbacks.watchers:
                for index, offset in places:
                    self._store(physical + offset, data[index : index + 1])
                continue
            (_, first), (_, last) = places[0], places[-1]
            content = bytearray(ram.view[physical + first : physical + last + 1])
            for index, offset in places:
                content[offset - first] = data[index]
            ram.write(physical + first, bytes(content))

    def probe(self, address: int, size: int, *, write: bool, user: bool | None = None, stack: bool = False) -> None:
        """Raise the Fault of an access, or set accessed and dirty flags, as the access would."""
        self._translated(address, size, user, stack, write)

    def place(self, address: int, *, write: bool, user: bool | None = None, stack: bool = False) -> int:
        """Return the physical address of a byte about to be accessed. Raises Fault as the access would."""
        return self._translated(address, 1, user, stack, write)[0][0]

    def _translated(
        self, address: int, size: int, user: bool | None, stack: bool, write: bool
    ) -> list[tuple[int, int]]:
        """Return the physical ranges of a linear range, one per page: address and length. Raises Fault."""
        cpu, memory = self._cpu, self._cpu.memory
        hflags, rflags = cpu.registers.hflags, cpu.hook.rflags
        if user is None:
            user = hflags & 3 == 3
        last = address + size - 1
        if hflags & HFLAG_CODE_64:
            if not is_canonical(address) or not is_canonical(last & 2**64 - 1):
                raise Fault(SS if stack else GP, 0)
            mask = 2**64 - 1
        else:
            mask = _LOW
        offset = address & PAGE_SIZE - 1
        if offset + size <= PAGE_SIZE:
            return [(memory.translate(address & mask, rflags, write=write, user=user) + offset, size)]
        return [
            (memory.translate(at & mask, rflags, write=write, user=user) + at % PAGE_SIZE, part)
            for at, part in _pages(address, size)
        ]

    def _load(self, physical: int, size: int) -> bytes:
        cpu = self._cpu
        cpu.note_access(False, physical, size)
        if physical + size <= cpu.ram.size:
            return bytes(cpu.ram.view[physical : physical + size])
        found = b""
        for at, part in _accesses(physical, size):
            inside = MMIO_BASE <= at < MMIO_BASE + MMIO_SIZE
            value = cpu.bus.read_memory(at - MMIO_BASE, part) if inside else (1 << 8 * part) - 1
            found += value.to_bytes(part, "little")
        return found

    def _store(self, physical: int, data: bytes) -> None:
        cpu = self._cpu
        cpu.note_access(True, physical, len(data))
        if physical + len(data) <= cpu.ram.size:
            cpu.ram.write(physical, data)
            return
        done = 0
        for at, part in _accesses(physical, len(data)):
            if MMIO_BASE <= at < MMIO_BASE + MMIO_SIZE:
                cpu.bus.write_memory(at - MMIO_BASE, part, int.from_bytes(data[done : done + part], "little"))
            done += part


def _pages(address: int, size: int) -> Iterator[tuple[int, int]]:
    while size:
        part = min(size, PAGE_SIZE - address % PAGE_SIZE)
        yield address, part
        address, size = address + part, size - part


def _accesses(physical: int, size: int) -> Iterator[tuple[int, int]]:
    """Split an access into the accesses that a device sees: aligned and at most 8 bytes each."""
    while size:
        part = _LARGEST_ACCESS
        while part > size or physical % part:
            part //= 2
        yield physical, part
        physical, size = physical + part, size - part
