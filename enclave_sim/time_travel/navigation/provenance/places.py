"""Places that hold bytes: parts of registers, and ranges of physical memory."""

import re
from dataclasses import dataclass

from machine.architecture.processor_state import GENERAL_REGISTERS, SEGMENT_REGISTERS

MEMORY = "memory"
"""The space of physical addresses: RAM, and device registers above it."""
FLAGS = "rflags"
VECTORS = tuple(f"xmm{number}" for number in range(16))
MMX = tuple(f"mm{number}" for number in range(8))
"""The x87 registers by physical number: their lower 8 bytes are the MMX registers."""
X87_BYTES = 10
CONTROL = ("cr0", "cr2", "cr3", "cr4")
KERNEL_GS_BASE = "kernel_gs_base"
BASES = ("fs_base", "gs_base", KERNEL_GS_BASE)
BREAKPOINTS = ("dr0", "dr1", "dr2", "dr3")
_SIZES = {
    **dict.fromkeys(GENERAL_REGISTERS, 8),
    FLAGS: 8,
    **dict.fromkeys(VECTORS, 16),
    **dict.fromkeys(MMX, X87_BYTES),
    **dict.fromkeys(SEGMENT_REGISTERS, 2),
    **dict.fromkeys((*CONTROL, *BASES, *BREAKPOINTS), 8),
}


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """Consecutive bytes of a register or of physical memory."""

    space: str
    """`memory`, the name of a register of full width (`rax`, `xmm0`, `rflags`, `cr3`, `ds`), or a value of a guest."""
    start: int
    """The physical address, or the number of the first byte of the register: 0 is the least significant."""
    size: int
    """In bytes."""

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.start + self.size

    @property
    def in_memory(self) -> bool:
        """True for physical memory."""
        return self.space == MEMORY

    def part(self, start: int, size: int) -> "Place":
        """Return a part of it, by the number of its first byte within this place."""
        return Place(self.space, self.start + start, size)

    def common(self, other: "Place") -> "Place | None":
        """Return the bytes that are in both places."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Place(self.space, start, end - start) if self.space == other.space and start < end else None

    def without(self, other: "Place") -> "tuple[Place, ...]":
        """Return the rest without the bytes of another place."""
        common = self.common(other)
        if common is None:
            return (self,)
        before = Place(self.space, self.start, common.start - self.start)
        after = Place(self.space, common.end, self.end - common.end)
        return tuple(one for one in (before, after) if one.size)

    def __str__(self) -> str:
        if self.in_memory:
            return f"{self.start:#x}" if self.size == 1 else f"{self.start:#x}-{self.end - 1:#x}"
        if self.space not in _SIZES and not self.start:
            return self.space
        if self in _NAMES:
            return _NAMES[self]
        return f"{self.space}[{self.start}]" if self.size == 1 else f"{self.space}[{self.start}:{self.end}]"


def _parts() -> dict[str, Place]:
    """Return the registers and their named parts (SDM volume 1, 3.4.1)."""
    found = {name: Place(name, 0, 8 if name in MMX else size) for name, size in _SIZES.items()}
    for name in GENERAL_REGISTERS:
        numbered = re.fullmatch(r"r\d+", name)
        short = name[1:]
        low = f"{name}b" if numbered else short[0] + "l" if short.endswith("x") else f"{short}l"
        found[f"{name}d" if numbered else f"e{short}"] = Place(name, 0, 4)
        found[f"{name}w" if numbered else short] = Place(name, 0, 2)
        found[low] = Place(name, 0, 1)
        if short.endswith("x"):
            found[f"{short[0]}h"] = Place(name, 1, 1)
    found["eflags"] = found["flags"] = Place(FLAGS, 0, 8)
    return found


REGISTERS = _parts()
"""Registers and their parts by name: `rax`, `eax`, `ax`, `al`, `ah`, `r8d`, `xmm0`, `rflags`, `cr3`, `fs_base`."""
_NAMES = {place: name for name, place in reversed(REGISTERS.items())}


def size_of(space: str) -> int:
    """Return the size of a register in bytes."""
    return _SIZES[space]


def is_register(space: str) -> bool:
    """Report whether a space is a register."""
    return space in _SIZES
