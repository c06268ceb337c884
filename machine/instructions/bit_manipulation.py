"""BMI1 and BMI2 instructions that Unicorn gets wrong (SDM volume 2): BEXTR, BLSI, BZHI and PDEP.

Unicorn inverts CF of BLSI, clears the top bit of the result of BZHI with an index beyond the operand and of BEXTR with
the length of the operand or more, and lets PDEP and BEXTR of 32 bits use the upper half of a register.
"""

from machine.cpu import Cpu
from machine.done import Done
from machine.instruction_set import Prefix
from machine.instructions.operand_access import read_general, read_operand, write_general
from machine.opcodes import Instruction
from machine.processor_state import ARITHMETIC_FLAGS

_CF, _ZF, _SF = 1, 1 << 6, 1 << 7
BLSR_GROUP, BZHI_GROUP, BEXTR_GROUP = 0xC438F3, 0xC438F5, 0xC438F7
_BLSI = 3


def deposit(source: int, mask: int) -> int:
    """The low bits of `source` at the places of the bits of `mask`."""
    result = 0
    while mask:
        lowest = mask & -mask
        if source & 1:
            result |= lowest
        source >>= 1
        mask ^= lowest
    return result


def _set_flags(cpu: Cpu, result: int, size: int, carry: bool) -> None:
    """Set ZF, SF and CF, clear OF; AF and PF, which are undefined, stay."""
    flags = (_ZF if not result else 0) | (_SF if result >> 8 * size - 1 else 0) | (_CF if carry else 0)
    kept = cpu.rflags & ~(ARITHMETIC_FLAGS & ~0x14)
    cpu.rflags = kept | flags


def execute_bit_manipulation(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute the instruction at RIP, or leave it to Unicorn. Raises Fault."""
    size = 8 if instruction.wide else 4
    kind = instruction.opcode, instruction.prefix
    if kind == (BLSR_GROUP, Prefix.NONE) and instruction.extension == _BLSI:
        source = read_operand(cpu, instruction, size)
        result = source & -source
        write_general(cpu, instruction.vex_register, result, size)
        _set_flags(cpu, result, size, bool(source))
    elif kind == (BZHI_GROUP, Prefix.NONE):
        source = read_operand(cpu, instruction, size)
        index = read_general(cpu, instruction.vex_register, 1)
        result = source & (1 << index) - 1
        write_general(cpu, instruction.register, result, size)
        _set_flags(cpu, result, size, index >= 8 * size)
    elif kind == (BZHI_GROUP, Prefix.REPEAT_NOT_EQUAL):
        mask = read_operand(cpu, instruction, size)
        source = read_general(cpu, instruction.vex_register, size)
        write_general(cpu, instruction.register, deposit(source, mask), size)
    elif kind == (BEXTR_GROUP, Prefix.NONE):
        source = read_operand(cpu, instruction, size)
        control = read_general(cpu, instruction.vex_register, 2)
        result = source >> (control & 0xFF) & (1 << (control >> 8)) - 1
        write_general(cpu, instruction.register, result, size)
        _set_flags(cpu, result, size, False)
    else:
        return Done.NATIVE
    cpu.skip(instruction.length)
    return Done.COMPLETE


RULES = dict.fromkeys([BLSR_GROUP, BZHI_GROUP, BEXTR_GROUP], execute_bit_manipulation)
