"""BMI1 and BMI2 instructions (SDM volume 2), of which Unicorn executes BEXTR, BLSI, BZHI and PDEP wrongly.

Unicorn inverts CF of BLSI. It clears the top result bit of BZHI if the index is beyond the operand, and of BEXTR if the
length is at least the operand's. 32-bit PDEP and BEXTR use the upper half of a register. Outside 64-bit mode, where
VEX.B and the top bit of VEX.vvvv are ignored, it treats them as parts of register numbers.
"""

from machine.architecture.decoding import Instruction
from machine.architecture.instruction_set import Prefix
from machine.architecture.processor_state import ARITHMETIC_FLAGS
from machine.instructions.disposition import Done
from machine.instructions.operand_access import read_general, read_operand, write_general
from machine.processor.cpu import Cpu

_CF, _ZF, _SF = 1, 1 << 6, 1 << 7
ANDN, BLSR_GROUP, BZHI_GROUP, MULX, BEXTR_GROUP, RORX = 0xC438F2, 0xC438F3, 0xC438F5, 0xC438F6, 0xC438F7, 0xC43AF0
_BLSR, _BLSMSK, _BLSI = 1, 2, 3
_RDX = 2


def deposit(source: int, mask: int) -> int:
    """Return the low bits of `source`, moved to the positions of the bits set in `mask` (PDEP)."""
    result = 0
    while mask:
        lowest = mask & -mask
        if source & 1:
            result |= lowest
        source >>= 1
        mask ^= lowest
    return result


def _set_flags(cpu: Cpu, result: int, size: int, carry: bool) -> None:
    """Set ZF, SF and CF, and clear OF; AF and PF, which are undefined, are unchanged."""
    flags = (_ZF if not result else 0) | (_SF if result >> 8 * size - 1 else 0) | (_CF if carry else 0)
    kept = cpu.rflags & ~(ARITHMETIC_FLAGS & ~0x14)
    cpu.rflags = kept | flags


def extract(source: int, mask: int) -> int:
    """Return the bits of `source` at the positions set in `mask`, packed at the low end (PEXT)."""
    result = place = 0
    while mask:
        lowest = mask & -mask
        result |= bool(source & lowest) << place
        place += 1
        mask ^= lowest
    return result


def _lowest_bit(cpu: Cpu, instruction: Instruction, source: int, size: int) -> None:
    """Execute BLSR, BLSMSK or BLSI."""
    results = {_BLSR: source & source - 1, _BLSMSK: source ^ source - 1, _BLSI: source & -source}
    result = results[instruction.extension] & (1 << 8 * size) - 1
    write_general(cpu, instruction.vex_register, result, size)
    _set_flags(cpu, result, size, bool(source) == (instruction.extension == _BLSI))


def _with_flags(cpu: Cpu, instruction: Instruction, source: int, other: int, size: int) -> None:
    """Execute ANDN, BZHI or BEXTR; `other` is the value of the VEX.vvvv register."""
    carry = False
    if instruction.opcode == ANDN:
        result = source & ~other
    elif instruction.opcode == BZHI_GROUP:
        index = other & 0xFF
        result, carry = source & (1 << index) - 1, index >= 8 * size
    else:
        result = source >> (other & 0xFF) & (1 << (other >> 8 & 0xFF)) - 1
    write_general(cpu, instruction.register, result, size)
    _set_flags(cpu, result, size, carry)


def _without_flags(cpu: Cpu, instruction: Instruction, source: int, other: int, size: int) -> int:
    """Return the result of PDEP, PEXT, MULX (its upper half), SARX, SHLX, SHRX or RORX."""
    opcode, prefix, bits = instruction.opcode, instruction.prefix, 8 * size
    if opcode == BZHI_GROUP:
        return deposit(other, source) if prefix == Prefix.REPEAT_NOT_EQUAL else extract(other, source)
    if opcode == MULX:
        product = source * read_general(cpu, _RDX, size)
        write_general(cpu, instruction.vex_register, product & (1 << bits) - 1, size)
        return product >> bits
    if opcode == RORX:
        count = instruction.immediate & bits - 1
        return (source << bits | source) >> count & (1 << bits) - 1
    count = other & bits - 1
    if prefix == Prefix.OPERAND_SIZE:
        return source << count & (1 << bits) - 1
    if prefix == Prefix.REPEAT:
        return (source - (source >> bits - 1 << bits)) >> count & (1 << bits) - 1
    return source >> count


def execute_bit_manipulation(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute the instruction at RIP. Raises Fault."""
    size = 8 if instruction.wide else 4
    source, other = read_operand(cpu, instruction, size), read_general(cpu, instruction.vex_register, size)
    if instruction.opcode == BLSR_GROUP:
        _lowest_bit(cpu, instruction, source, size)
    elif instruction.prefix == Prefix.NONE:
        _with_flags(cpu, instruction, source, other, size)
    else:
        write_general(cpu, instruction.register, _without_flags(cpu, instruction, source, other, size), size)
    cpu.skip(instruction.length)
    return Done.COMPLETE


RULES = dict.fromkeys([ANDN, BLSR_GROUP, BZHI_GROUP, MULX, BEXTR_GROUP, RORX], execute_bit_manipulation)
