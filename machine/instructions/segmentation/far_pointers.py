"""Where an instruction finds its operand in memory, and the far pointer of a far CALL, a far JMP, LES and the like."""

from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.exceptions import AC, UD, Fault
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.instructions.memory import OperandMemory
from machine.instructions.operands import linear_address
from machine.instructions.stack import alignment_checked
from machine.processor.cpu import Cpu


def read_operand(cpu: Cpu, memory: OperandMemory, instruction: Instruction, size: int, alignment: int = 2) -> bytes:
    """Return a memory operand. Raises Fault; #UD where there is a register.

    `alignment` in bytes is what an alignment check demands (SDM volume 3, table 6-7).
    """
    operand = instruction.operand
    if not isinstance(operand, MemoryOperand):
        raise Fault(UD)
    address = linear_address(cpu, instruction)
    if address % alignment and alignment_checked(cpu):
        raise Fault(AC, 0)
    return memory.read(address, size, user=cpu.registers.cpl == 3, stack=operand.segment == "ss")


def read_selector(cpu: Cpu, memory: OperandMemory, instruction: Instruction) -> int:
    """Return an operand of 16 bits in a register or in memory. Raises Fault."""
    if isinstance(instruction.operand, int):
        return int(getattr(cpu.registers, GENERAL_REGISTERS[instruction.operand])) & 0xFFFF
    return int.from_bytes(read_operand(cpu, memory, instruction, 2), "little")


def far_pointer(cpu: Cpu, memory: OperandMemory, instruction: Instruction, size: int) -> tuple[int, int]:
    """Return the selector and the offset in memory, whose offset has `size` bytes. Raises Fault."""
    content = read_operand(cpu, memory, instruction, size + 2, size)
    return int.from_bytes(content[size:], "little"), int.from_bytes(content[:size], "little")
