"""Common to all generators: a source of choices, the instructions so far, and operands that are mostly valid.

By convention some registers keep their roles, so that programs do not page-fault at once: pointers into the data page,
small counts, the stack pointer. Nine in ten destinations are other registers.
"""

from random import Random

from tests.oracle.random_programs.encoding import (
    ADDRESS_SIZE,
    FS,
    GS,
    OPERAND_SIZE,
    R8,
    R9,
    R12,
    R13,
    RBP,
    RBX,
    RCX,
    RDI,
    RSI,
    RSP,
    Memory,
    encode,
)
from tests.oracle.random_programs.layout import CODE, CONSTANT, DATA, PAGE_SIZE, STACK, SUPERVISOR

POINTERS = (RBX, RBP, RSI, RDI, R12, R13)
COUNTS = (RCX, R8, R9)
_KEPT = frozenset([*POINTERS, *COUNTS, RSP])
_FREE = tuple(r for r in range(16) if r not in _KEPT)
CF, PF, AF, ZF, SF, OF = 1 << 0, 1 << 2, 1 << 4, 1 << 6, 1 << 7, 1 << 11
ALL_FLAGS = CF | PF | AF | ZF | SF | OF
_EDGES = (0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF)
_WIDE_EDGES = (0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 1 << 63, (1 << 64) - 1)


class Maker:
    """Collects the instructions of one program."""

    def __init__(self, random: Random, ring: int) -> None:
        self.random = random
        self.ring = ring
        self.instructions: list[bytes] = []
        self.undefined_flags: dict[int, int] = {}

    @property
    def at(self) -> int:
        """The address of the next instruction."""
        return CODE + sum(map(len, self.instructions))

    def emit(self, *instructions: bytes) -> None:
        self.instructions += instructions

    def undefined(self, flags: int) -> None:
        """Note that these flags are undefined by the manual if a program ends here."""
        self.undefined_flags[self.at] = flags

    def chance(self, one_in: int) -> bool:
        return self.random.randrange(one_in) == 0

    def number(self, bits: int = 64) -> int:
        """An integer of up to `bits` bits, often a special value of arithmetic."""
        choice = self.random.randrange(8)
        if choice < 3:
            value = self.random.choice(_EDGES + _WIDE_EDGES)
        elif choice < 4:
            value = -self.random.choice(_EDGES)
        elif choice < 5:
            value = 1 << self.random.randrange(64)
        else:
            value = self.random.getrandbits(64) >> self.random.randrange(64)
        return value & (1 << bits) - 1

    def register(self) -> int:
        """Any register, as a source."""
        return self.random.randrange(16)

    def destination(self) -> int:
        """A register as a destination, rarely one with a role."""
        return self.random.randrange(16) if self.chance(10) else self.random.choice(_FREE)

    def operand(self, size: int = 8, *, written: bool = True) -> int | Memory:
        """A register or memory."""
        if self.chance(2):
            return self.memory(size)
        return self.destination() if written else self.register()

    def memory(self, size: int = 8, *, aligned: bool = False) -> Memory:
        """A memory operand of `size` bytes; one in sixteen is in an invalid place."""
        random, mask = self.random, -size if aligned else -1
        near = random.randrange(-0x100, 0x100) & mask
        prefixes = b""
        choice = random.randrange(16)
        if choice == 0:
            return self._odd_memory(size)
        if choice == 1:
            return Memory(rip=True, displacement=self._place(size) & mask)
        if choice == 2:
            return Memory(displacement=self._place(size) & mask)
        if choice == 3:
            return Memory(displacement=random.randrange(0x100) & mask, prefixes=bytes([random.choice((FS, GS))]))
        if choice == 4:
            prefixes = bytes([ADDRESS_SIZE])
        elif choice == 5:
            prefixes = bytes([random.choice((0x26, 0x2E, 0x36, 0x3E))])  # no effect in 64-bit mode
        base = random.choice((*POINTERS, RSP))
        if self.chance(3):
            return Memory(base, random.choice(COUNTS), random.randrange(4), near, prefixes=prefixes)
        displacement = 0 if self.chance(4) else near
        return Memory(base, displacement=displacement, prefixes=prefixes)

    def _place(self, size: int) -> int:
        """An address in the data or stack page."""
        return self.random.choice((DATA, STACK)) + self.random.randrange(PAGE_SIZE - size)

    def _odd_memory(self, size: int) -> Memory:
        """An address across a page's end, read-only, supervisor, in the code, or anywhere."""
        random = self.random
        choice = random.randrange(6)
        if choice == 0:
            return Memory(displacement=random.choice((DATA, STACK)) + PAGE_SIZE - random.randrange(size + 1))
        if choice == 1:
            return Memory(displacement=random.choice((DATA, STACK)) - random.randrange(size + 1))
        if choice == 2:
            return Memory(displacement=CONSTANT + random.randrange(PAGE_SIZE - size))
        if choice == 3:
            return Memory(displacement=SUPERVISOR + random.randrange(PAGE_SIZE - size))
        if choice == 4:
            return Memory(displacement=CODE + random.randrange(64))
        index = None if self.chance(2) else random.choice([r for r in range(16) if r != RSP])
        return Memory(self.register(), index, random.randrange(4), random.getrandbits(32) - (1 << 31))

    def width(self) -> int:
        """An operand size in bytes for instructions that have no byte form."""
        return self.random.choice((2, 4, 4, 8, 8))

    def sized(
        self,
        opcode: bytes,
        reg: int,
        rm: int | Memory,
        width: int,
        *,
        immediate: bytes = b"",
        prefixes: bytes = b"",
    ) -> None:
        """Emit an instruction of the given operand size. For bytes `opcode` is that of the byte form already."""
        if width == 2:
            prefixes += bytes([OPERAND_SIZE])
        rex = width == 1 and self.chance(2)  # SPL, BPL, SIL, DIL rather than AH, CH, DH, BH
        self.emit(
            encode(
                opcode,
                reg,
                rm,
                at=self.at,
                wide=width == 8,
                prefixes=prefixes,
                immediate=immediate,
                force_rex=rex,
            )
        )
