"""Placement of the boot loader's data in RAM: the memory map of a PC, and the ranges in use."""

from bisect import bisect, insort
from typing import NamedTuple

from machine.bus.ram import PAGE_SIZE
from machine.errors import MachineError

AVAILABLE, RESERVED = 1, 2
"""Memory types, as numbered by both Multiboot specifications."""
CONVENTIONAL_END = 0x9_FC00
"""End of conventional memory; from here to 1 MiB are the extended BIOS data area, video memory and ROMs."""
HIGH_MEMORY = 0x10_0000


class Region(NamedTuple):
    """An entry of the memory map, in bytes."""

    base: int
    length: int
    kind: int


def memory_map(ram_size: int) -> tuple[Region, ...]:
    """Return the memory map for a kernel. Raises MachineError if there is no RAM above 1 MiB."""
    if ram_size <= HIGH_MEMORY:
        raise MachineError(f"{ram_size} bytes of RAM are too few to boot an image; it takes more than 1 MiB")
    return (
        Region(0, CONVENTIONAL_END, AVAILABLE),
        Region(CONVENTIONAL_END, HIGH_MEMORY - CONVENTIONAL_END, RESERVED),
        Region(HIGH_MEMORY, ram_size - HIGH_MEMORY, AVAILABLE),
    )


class Placement:
    """The ranges of RAM in use. It writes nothing to RAM."""

    def __init__(self, ram_size: int) -> None:
        self._ram_size = ram_size
        self._available = [region for region in memory_map(ram_size) if region.kind == AVAILABLE]
        self._taken: list[tuple[int, int]] = []
        """Base and end of each range, in order, without overlap."""

    def claim(self, base: int, length: int, what: str) -> None:
        """Mark a fixed range as used.

        Args:
            base: Physical address.
            length: In bytes.
            what: The name of the range for messages, such as "the image's segment".

        Raises:
            MachineError: The range is not available or overlaps one in use.
        """
        if base + length > self._ram_size:
            raise MachineError(f"{what} {base:#x}+{length:#x} does not fit into {self._ram_size >> 20} MiB of RAM")
        if not any(r.base <= base and base + length <= r.base + r.length for r in self._available):
            raise MachineError(
                f"{what} {base:#x}+{length:#x} lies in what a PC keeps for itself "
                f"({CONVENTIONAL_END:#x}-{HIGH_MEMORY - 1:#x})"
            )
        after = bisect(self._taken, (base, base + length))
        below = self._taken[after - 1][1] if after else 0
        above = self._taken[after][0] if after < len(self._taken) else self._ram_size
        if base < below or base + length > above:
            raise MachineError(f"{what} {base:#x}+{length:#x} overlaps another one")
        insort(self._taken, (base, base + length))

    def allocate(self, length: int, what: str, alignment: int = PAGE_SIZE, lowest: int = HIGH_MEMORY) -> int:
        """Mark the lowest free range as used.

        Args:
            length: In bytes.
            what: The name of the range for messages.
            alignment: Of its base, in bytes.
            lowest: The lowest address allowed.

        Returns:
            The base address.

        Raises:
            MachineError: No free range is large enough.
        """
        at = -(-lowest // alignment) * alignment
        for base, end in sorted([*self._taken, (CONVENTIONAL_END, HIGH_MEMORY), (self._ram_size, self._ram_size)]):
            if at + length <= base:
                insort(self._taken, (at, at + length))
                return at
            at = max(at, -(-end // alignment) * alignment)
        raise MachineError(f"no room in {self._ram_size >> 20} MiB of RAM for {what} ({length} bytes)")
