"""SHLD and SHRD by an immediate count (SDM volume 2).

With a RIP-relative operand Unicorn accesses memory one byte too low: it ignores the immediate after the displacement.
"""

from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.processor_state import ARITHMETIC_FLAGS
from machine.instructions.disposition import Done
from machine.instructions.operand_access import read_general, read_operand, require_writable, write_operand
from machine.instructions.operand_size import operand_size
from machine.processor.cpu import Cpu

_SHLD, _SHRD = 0x0FA4, 0x0FAC
_CF, _PF, _ZF, _SF, _OF = 1, 1 << 2, 1 << 6, 1 << 7, 1 << 11


def shifted(destination: int, source: int, count: int, bits: int, *, left: bool) -> tuple[int, bool]:
    """Shift a destination, and fill it with bits of the source.

    For 16-bit operands and counts above 16, whose result is undefined, the destination follows the source again, as in
    Unicorn.

    Args:
        destination: The operand to shift.
        source: The operand that fills it.
        count: 1 to 31, or to 63 for 64 bits.
        bits: The operand size in bits.
        left: Shift to the left, as SHLD.

    Returns:
        The result, and the last bit shifted out.
    """
    mask = (1 << bits) - 1
    row = (destination << bits | source) << bits | destination
    if left:
        return row << count >> 2 * bits & mask, bool(row << count >> 3 * bits & 1)
    return row >> count & mask, bool(row >> count - 1 & 1)


def execute_double_shift(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute the instruction at RIP if its operand is RIP-relative. Raises Fault."""
    operand = instruction.operand
    if not (isinstance(operand, MemoryOperand) and operand.relative):
        return Done.NATIVE
    size = operand_size(cpu, instruction)
    bits, count = 8 * size, instruction.immediate & (63 if size == 8 else 31)
    require_writable(cpu, instruction, size)
    if count:
        destination, source = read_operand(cpu, instruction, size), read_general(cpu, instruction.register, size)
        result, carry = shifted(destination, source, count, bits, left=instruction.opcode == _SHLD)
        write_operand(cpu, instruction, result, size)
        flags = (_CF if carry else 0) | (_ZF if not result else 0) | (_SF if result >> bits - 1 else 0)
        flags |= _PF if not (result & 0xFF).bit_count() & 1 else 0
        flags |= _OF if (destination ^ result) >> bits - 1 else 0  # the manual defines it for a count of 1
        cpu.rflags = cpu.rflags & ~ARITHMETIC_FLAGS | flags
    cpu.skip(instruction.length)
    return Done.COMPLETE


RULES = dict.fromkeys([_SHLD, _SHRD], execute_double_shift)
