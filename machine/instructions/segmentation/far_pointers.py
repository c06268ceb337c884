"""Memory operands with alignment checks, and the far pointers of far CALL, far JMP, LES and similar instructions."""

from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.exceptions import AC, UD, Fault
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.instructions.memory import OperandMemory
from machine.instructions.operands import linear_address
from machine.instructions.stack import alignment_checked
from machine.processor.cpu import Cpu


def read_operand(cpu: Cpu, memory: OperandMemory, instruction: Instruction, size: int, alignment: int = 2) -> bytes:
    """Read a memory operand.

    Args:
        cpu: The processor.
        memory: Memory of the processor.
        instruction: The instruction at RIP.
        size: Bytes to read.
        alignment: Alignment required by an alignment check, in bytes (SDM volume 3, table 6-7).

    Returns:
        `size` bytes.

    Raises:
        Fault: #UD if the operand is a register, #AC, or that of the access.
    """
    operand = instruction.operand
    if not isinstance(operand, MemoryOperand):
        raise Fault(UD)
    address = linear_address(cpu, instruction)
    if address % alignment and alignment_checked(cpu):
        raise Fault(AC, 0)
    return memory.read(address, size, user=cpu.registers.cpl == 3, stack=operand.segment == "ss")


def read_selector(cpu: Cpu, memory: OperandMemory, instruction: Instruction) -> int:
    """Read a selector operand, 16 bits of a register or memory. Raises Fault."""
    if isinstance(instruction.operand, int):
        return int(getattr(cpu.registers, GENERAL_REGISTERS[instruction.operand])) & 0xFFFF
    return int.from_bytes(read_operand(cpu, memory, instruction, 2), "little")


def far_pointer(cpu: Cpu, memory: OperandMemory, instruction: Instruction, size: int) -> tuple[int, int]:
    """Read a far pointer in memory: return its selector and its offset of `size` bytes. Raises Fault."""
    content = read_operand(cpu, memory, instruction, size + 2, size)
    return int.from_bytes(content[size:], "little"), int.from_bytes(content[:size], "little")
