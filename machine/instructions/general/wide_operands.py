"""16-byte memory operands that Unicorn accesses wrongly: misaligned ones, and those that cross a page boundary.

Most must be aligned (SDM volume 1, 10.8.3), which Unicorn does not check. It loads and stores 8 bytes at a time, so if
the second page faults, half of the access has already been made.
"""

from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.exceptions import GP, Fault
from machine.architecture.opcodes import Action
from machine.bus.ram import PAGE_SIZE
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_access import require_sse
from machine.instructions.operands import linear_address
from machine.processor.cpu import Cpu

WIDE_BYTES = 16
_STORES = frozenset([0x0F11, 0x0F29, 0x0F2B, 0x0F7F, 0x0FE7])
"""MOVUPS and MOVUPD, MOVAPS and MOVAPD, MOVNTPS and MOVNTPD, MOVDQA and MOVDQU, MOVNTDQ."""
_ALIGNED, _PLACED = int(Action.ALIGNED), int(Action.ALIGNED | Action.WIDE)


def is_misplaced(cpu: Cpu, instruction: Instruction) -> bool:
    """Return whether the instruction hook stops before the instruction at RIP for the place of its operand."""
    action = instruction.action
    if not action & _PLACED or not isinstance(instruction.operand, MemoryOperand):
        return False
    if not instruction.long:
        return True
    address = linear_address(cpu, instruction)
    return bool(action & _ALIGNED and address % WIDE_BYTES) or address % PAGE_SIZE > PAGE_SIZE - WIDE_BYTES


def check_wide_operand(cpu: Cpu, instruction: Instruction) -> None:
    """Raise the Fault of an access to the instruction's 16-byte memory operand, without accessing it."""
    operand = instruction.operand
    if not isinstance(operand, MemoryOperand):
        return
    require_sse(cpu)
    address = linear_address(cpu, instruction)
    memory, stack = OperandMemory(cpu), operand.segment == "ss"
    if instruction.action & _ALIGNED and address % WIDE_BYTES:
        raise Fault(GP, 0)
    memory.probe(address, WIDE_BYTES, write=instruction.opcode in _STORES, stack=stack)
