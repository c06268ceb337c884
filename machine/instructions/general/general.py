"""General-purpose instructions with a form that Unicorn decodes or executes wrongly (SDM volume 2)."""

from machine.architecture.control_registers import CR0_EM, CR0_PE, CR0_TS
from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.exceptions import UD, Fault
from machine.architecture.instruction_set import Prefix
from machine.architecture.processor_state import ARITHMETIC_FLAGS
from machine.instructions.disposition import Done
from machine.instructions.operand_access import (
    read_general,
    read_operand,
    require_writable,
    write_general,
    write_operand,
)
from machine.instructions.operand_size import operand_size
from machine.processor.cpu import Cpu

_PAUSE, _SAHF, _LAHF, _MOV_BYTE, _MOV, _GROUP_3_BYTE, _GROUP_3, _ARPL = (0x90, 0x9E, 0x9F, 0xC6, 0xC7, 0xF6, 0xF7, 0x63)
_POPCNT, _CMPXCHG, _ADOX, _HINT, _MOVBE = (0x0FB8, 0x0FB1, 0x0F38F6, 0x0F18, 0x0F38F1)
_CRC32_BYTE, _CASTAGNOLI = 0x0F38F0, 0x82F6_3B78
_TEST_AGAIN, _NEG = 1, 3
_IN_AH = 0xD5
"""SF, ZF, AF, PF, CF."""
_CF, _PF, _AF, _ZF, _SF, _OF = 1, 1 << 2, 1 << 4, 1 << 6, 1 << 7, 1 << 11
_RAX, _HIGH = 0, 0xFF00


def execute_flags_in_ah(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute LAHF or SAHF: the register is AH even with REX, but Unicorn takes SPL."""
    registers = cpu.registers
    if instruction.opcode == _LAHF:
        registers.rax = registers.rax & ~_HIGH | (cpu.rflags & _IN_AH | 2) << 8
    else:
        cpu.rflags = cpu.rflags & ~_IN_AH | registers.rax >> 8 & _IN_AH
    cpu.skip(instruction.length)
    return Done.COMPLETE


def execute_pause(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute PAUSE. Unicorn does not end the shadow of STI with it, nor stop before the next instruction."""
    cpu.skip(instruction.length)
    return Done.COMPLETE


def execute_store_swapped(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute MOVBE m, r: Unicorn reports a store to code with its bytes in the wrong order. Raises Fault."""
    if instruction.prefix == Prefix.REPEAT_NOT_EQUAL:
        return execute_crc32(cpu, instruction)
    size = operand_size(cpu, instruction)
    value = read_general(cpu, instruction.register, size)
    write_operand(cpu, instruction, int.from_bytes(value.to_bytes(size, "little"), "big"), size)
    cpu.skip(instruction.length)
    return Done.COMPLETE


def execute_crc32(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute CRC32. Unlike Unicorn, a processor ignores CR0.TS and EM here. Raises Fault."""
    if not cpu.registers.cr[0] & (CR0_TS | CR0_EM):
        return Done.NATIVE
    size = 1 if instruction.opcode == _CRC32_BYTE else operand_size(cpu, instruction)
    source = read_operand(cpu, instruction, size)
    found = read_general(cpu, instruction.register, 4) ^ source
    for _ in range(8 * size):
        found = found >> 1 ^ (_CASTAGNOLI if found & 1 else 0)
    write_general(cpu, instruction.register, found, 8 if instruction.wide else 4)
    cpu.skip(instruction.length)
    return Done.COMPLETE


def execute_move_immediate(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute MOV r/m, imm (C6 /0, C7 /0): Unicorn refuses REX.R, which is ignored. Raises Fault."""
    size = 1 if instruction.opcode == _MOV_BYTE else operand_size(cpu, instruction)
    write_operand(cpu, instruction, _immediate(instruction, size), size)
    cpu.skip(instruction.length)
    return Done.COMPLETE


def execute_group_3(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute NEG with LOCK, or TEST r/m, imm in its second encoding. Raises Fault."""
    size = 1 if instruction.opcode == _GROUP_3_BYTE else operand_size(cpu, instruction)
    if instruction.extension == _TEST_AGAIN:
        return _test(cpu, instruction, size)
    if instruction.extension == _NEG and instruction.locked:
        return _negate(cpu, instruction, size)
    return Done.NATIVE


def _test(cpu: Cpu, instruction: Instruction, size: int) -> Done:
    """Execute TEST as F6 /1 or F7 /1, which Unicorn refuses."""
    result = read_operand(cpu, instruction, size) & _immediate(instruction, size)
    flags = (_SF if result >> 8 * size - 1 else 0) | (_ZF if not result else 0)
    flags |= _PF if not (result & 0xFF).bit_count() & 1 else 0
    cpu.rflags = cpu.rflags & ~ARITHMETIC_FLAGS | flags
    cpu.skip(instruction.length)
    return Done.COMPLETE


def _negate(cpu: Cpu, instruction: Instruction, size: int) -> Done:
    """Execute LOCK NEG, for which Unicorn sets the flags from a wrong value."""
    require_writable(cpu, instruction, size)
    source = read_operand(cpu, instruction, size)
    result = -source & (1 << 8 * size) - 1
    write_operand(cpu, instruction, result, size)
    flags = (_CF if source else _ZF) | (_SF if result >> 8 * size - 1 else 0) | (_AF if source & 0xF else 0)
    flags |= _PF if not (result & 0xFF).bit_count() & 1 else 0
    flags |= _OF if source == 1 << 8 * size - 1 else 0
    cpu.rflags = cpu.rflags & ~ARITHMETIC_FLAGS | flags
    cpu.skip(instruction.length)
    return Done.COMPLETE


def execute_adjust_privilege(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute ARPL: it writes memory only if it adjusts the privilege level. Raises Fault."""
    if not cpu.registers.cr[0] & CR0_PE:
        raise Fault(UD)
    selector, least = read_operand(cpu, instruction, 2), read_general(cpu, instruction.register, 2) & 3
    lower = selector & 3 < least
    if lower:
        write_operand(cpu, instruction, selector & ~3 | least, 2)
    cpu.rflags = cpu.rflags & ~_ZF | (_ZF if lower else 0)
    cpu.skip(instruction.length)
    return Done.COMPLETE


def execute_hint(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute 0F 18 with a register, a reserved NOP that Unicorn refuses."""
    if isinstance(instruction.operand, MemoryOperand):
        return Done.NATIVE
    cpu.skip(instruction.length)
    return Done.COMPLETE


def execute_population_count(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute POPCNT. With 66H and REX.W Unicorn ignores REX.W, and in 16-bit code it uses 32 bits. Raises Fault."""
    size = operand_size(cpu, instruction)
    source = read_operand(cpu, instruction, size)
    write_general(cpu, instruction.register, source.bit_count(), size)
    cpu.rflags = cpu.rflags & ~ARITHMETIC_FLAGS | (0 if source else _ZF)
    cpu.skip(instruction.length)
    return Done.COMPLETE


def execute_add_with_overflow(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute ADOX with 66H, which Unicorn decodes as ADCX. Raises Fault."""
    if not (instruction.prefix == Prefix.REPEAT and instruction.operand_size_prefix):
        return Done.NATIVE
    size = 8 if instruction.wide else 4
    total = read_operand(cpu, instruction, size) + read_general(cpu, instruction.register, size)
    total += bool(cpu.rflags & _OF)
    write_general(cpu, instruction.register, total & (1 << 8 * size) - 1, size)
    cpu.rflags = cpu.rflags & ~_OF | (_OF if total >> 8 * size else 0)
    cpu.skip(instruction.length)
    return Done.COMPLETE


def execute_compare_exchange(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute CMPXCHG r/m32, r32. Raises Fault.

    Unicorn always writes both accumulator and destination, which clears the upper halves of the registers. By the
    manual, the accumulator is written only if the comparison fails, and a destination register only if it succeeds.
    Memory is always written.

    Returns:
        `Done.COMPLETE`, or `Done.NATIVE` for other operand sizes.
    """
    if operand_size(cpu, instruction) != 4:
        return Done.NATIVE
    registers = cpu.registers
    if not isinstance(instruction.operand, int):
        require_writable(cpu, instruction, 4)
    accumulator, found = registers.rax & 0xFFFF_FFFF, read_operand(cpu, instruction, 4)
    equal = accumulator == found
    if equal or not isinstance(instruction.operand, int):
        write_operand(cpu, instruction, read_general(cpu, instruction.register, 4) if equal else found, 4)
    if not equal:
        write_general(cpu, _RAX, found, 4)
    cpu.rflags = cpu.rflags & ~ARITHMETIC_FLAGS | _comparison(accumulator, found)
    cpu.skip(instruction.length)
    return Done.COMPLETE


def _comparison(a: int, b: int) -> int:
    """Return the arithmetic flags of a CMP of two doublewords."""
    result = a - b & 0xFFFF_FFFF
    flags = (_CF if a < b else 0) | (_ZF if not result else 0) | (_SF if result >> 31 else 0)
    flags |= (_PF if not (result & 0xFF).bit_count() & 1 else 0) | (_AF if (a ^ b ^ result) & 0x10 else 0)
    return flags | (_OF if (a ^ b) & (a ^ result) & 0x8000_0000 else 0)


def _immediate(instruction: Instruction, size: int) -> int:
    """Return the immediate operand, at most 4 bytes, sign-extended to the operand size."""
    bits = 8 * instruction.immediate_bytes
    value = instruction.immediate
    return value - (value >> bits - 1 << bits) & (1 << 8 * size) - 1


RULES = {
    _PAUSE: execute_pause,
    _SAHF: execute_flags_in_ah,
    _LAHF: execute_flags_in_ah,
    _MOV_BYTE: execute_move_immediate,
    _MOV: execute_move_immediate,
    _GROUP_3_BYTE: execute_group_3,
    _GROUP_3: execute_group_3,
    _ARPL: execute_adjust_privilege,
    _HINT: execute_hint,
    _POPCNT: execute_population_count,
    _CMPXCHG: execute_compare_exchange,
    _ADOX: execute_add_with_overflow,
    _MOVBE: execute_store_swapped,
    _CRC32_BYTE: execute_crc32,
}
