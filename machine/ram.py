"""Physical memory: one buffer that the machine owns.

Unicorn executes in it, WebAssembly linear memory is a window onto it, scrubbing fills it and residue scans
compare it. There are no copies.
"""

import ctypes

from machine.errors import MachineError
from machine.host import HostMemory

PAGE_SIZE = 4096


class Ram:
    """`size` bytes of memory from physical address 0."""

    def __init__(self, size: int, reserve: int = 0) -> None:
        if size <= 0 or size % PAGE_SIZE:
            raise MachineError(f"RAM size {size} is not a positive multiple of {PAGE_SIZE} bytes")
        self._memory = HostMemory(size, reserve)
        self.size = size
        self.reserve = self._memory.reserve
        """Bytes of inaccessible address space behind the end of RAM in this process."""
        self.host_address = self._memory.address
        self._keep_and_view = (ctypes.c_char * size).from_address(self.host_address)
        self.view = memoryview(self._keep_and_view).cast("B")
        """The bytes themselves, for `struct.unpack_from` and slicing without bounds surprises."""

    def check(self, base: int, length: int) -> None:
        """Raise MachineError unless the range lies in RAM."""
        if base < 0 or length < 0 or base + length > self.size:
            raise MachineError(f"physical range {base:#x}+{length:#x} is not inside RAM (0x0-{self.size - 1:#x})")

    def read(self, base: int, length: int) -> bytes:
        """`length` bytes at physical address `base`."""
        self.check(base, length)
        return bytes(self.view[base : base + length])

    def write(self, base: int, data: bytes | memoryview) -> None:
        """Store `data` at physical address `base`."""
        self.check(base, len(data))
        self.view[base : base + len(data)] = data

    def zero(self, base: int, length: int) -> None:
        """Fill a range with zeros."""
        self.check(base, length)
        self._memory.zero(base, length)

    def is_zero(self, base: int, length: int) -> bool:
        """Whether every byte of a range is zero."""
        self.check(base, length)
        return self._memory.is_zero(base, length)

    def nonzero_pages(self) -> list[int]:
        """Physical addresses of the pages that hold any byte other than zero, in order."""
        found: list[int] = []
        pending = [(0, self.size)]
        while pending:
            base, length = pending.pop()
            if self.is_zero(base, length):
                continue
            if length <= PAGE_SIZE:
                found.append(base)
                continue
            half = (length // 2 + PAGE_SIZE - 1) & -PAGE_SIZE
            pending += [(base + half, length - half), (base, half)]
        return found
