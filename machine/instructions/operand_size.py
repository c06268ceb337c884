"""The operand-size and address-size attributes of an instruction (SDM volume 1, 3.6)."""

from machine.architecture.decoding import Instruction
from machine.architecture.processor_state import DEFAULT_32
from machine.processor.cpu import Cpu


def operand_size(cpu: Cpu, instruction: Instruction) -> int:
    """Return the operand size of an instruction without a fixed size in 64-bit mode: 2, 4 or 8 bytes."""
    registers = cpu.registers
    if registers.in_64_bit_code:
        return 8 if instruction.wide else 2 if instruction.operand_size_prefix else 4
    return 4 if bool(registers.cs.flags & DEFAULT_32) != instruction.operand_size_prefix else 2


def stack_operand_size(cpu: Cpu, instruction: Instruction) -> int:
    """Return the operand size of PUSH and POP: in 64-bit mode 8 bytes, or 2 with a prefix."""
    if cpu.registers.in_64_bit_code:
        return 2 if instruction.operand_size_prefix and not instruction.wide else 8
    return operand_size(cpu, instruction)


def address_size(cpu: Cpu, instruction: Instruction) -> int:
    """Return the address size of an instruction: 2, 4 or 8 bytes."""
    registers = cpu.registers
    if registers.in_64_bit_code:
        return 4 if instruction.address_size_prefix else 8
    return 4 if bool(registers.cs.flags & DEFAULT_32) != instruction.address_size_prefix else 2
