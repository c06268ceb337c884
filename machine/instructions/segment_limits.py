"""Segment limits and types outside 64-bit mode (SDM volume 3, 5.3 and 5.5), which Unicorn does not check.

Nearly all software has flat segments, whose checks cannot fail. If only FS or GS is not flat, `check` is called before
each instruction with an FS or GS prefix. If another segment is not flat, the machine executes single instructions and
calls `check` before each.
"""

from enum import Enum, auto
from functools import lru_cache

from machine.architecture.decoding import Instruction
from machine.architecture.exceptions import GP, SS, Fault
from machine.architecture.processor_state import DEFAULT_32, SEGMENT_REGISTERS, SegmentRegister
from machine.bus.ram import PAGE_SIZE
from machine.instructions.accesses import Access, accesses
from machine.instructions.general.near_branch import check_near_branch
from machine.processor.cpu import Cpu

_CODE, _EXPAND_DOWN, _ACCESSIBLE, _PRESENT = 1 << 11, 1 << 10, 1 << 9, 1 << 15
_WHOLE = 0xFFFF_FFFF


class Scope(Enum):
    """The instructions that may exceed the limit of a loaded segment."""

    NOTHING = auto()
    OVERRIDES = auto()
    """Instructions with a prefix for FS or GS."""
    EVERYTHING = auto()


class SegmentLimits:
    """The segment checks of one processor."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    @property
    def scope(self) -> Scope:
        """The instructions to check now."""
        registers = self._cpu.registers
        return Scope.NOTHING if registers.in_64_bit_code else _scope(registers.segment_registers)

    def check_fetch(self, instruction: Instruction | None) -> None:
        """Check that `instruction`, the one at RIP, does not extend beyond the limit of CS.

        Args:
            instruction: The instruction; None if it extends into a page that cannot be fetched.

        Raises:
            Fault: #GP(0): it does.
        """
        registers = self._cpu.registers
        length = -registers.linear_rip % PAGE_SIZE + 1 if instruction is None else instruction.length
        if registers.rip + length - 1 > registers.cs.limit:
            raise Fault(GP, 0)

    def check_accesses(self, instruction: Instruction) -> None:
        """Raise Fault (#GP or #SS) if `instruction`, the one at RIP, would violate a segment's limit or type."""
        cpu = self._cpu
        registers = cpu.registers
        for access in accesses(cpu, instruction):
            segment: SegmentRegister = getattr(registers, access.segment)
            if not _allows(segment, access):
                raise Fault(SS if access.segment == "ss" else GP, 0)
        if registers.cs.limit != _WHOLE:
            check_near_branch(cpu, instruction)


@lru_cache(maxsize=64)  # a kernel loads the same few sets of segments repeatedly
def _scope(segments: bytes) -> Scope:
    registers = dict(zip(SEGMENT_REGISTERS, (SegmentRegister * 6).from_buffer_copy(segments), strict=True))
    code = registers.pop("cs")
    limited = {name for name, segment in registers.items() if not _is_flat(segment)}
    if code.limit != _WHOLE or limited - {"fs", "gs"}:
        return Scope.EVERYTHING
    return Scope.OVERRIDES if limited else Scope.NOTHING


def _is_flat(segment: SegmentRegister) -> bool:
    wanted = _PRESENT | _ACCESSIBLE
    return segment.limit == _WHOLE and segment.flags & (wanted | _CODE | _EXPAND_DOWN) == wanted


def _allows(segment: SegmentRegister, access: Access) -> bool:
    flags, writes = segment.flags, access.writes
    if not flags & _PRESENT:  # a null selector; a segment that is not present cannot be loaded
        return False
    if flags & _CODE:
        if writes or not flags & _ACCESSIBLE:
            return False
    elif writes and not flags & _ACCESSIBLE:
        return False
    last = access.offset + access.size - 1
    if flags & (_CODE | _EXPAND_DOWN) == _EXPAND_DOWN:
        return access.offset > segment.limit and last <= (_WHOLE if flags & DEFAULT_32 else 0xFFFF)
    return last <= segment.limit
