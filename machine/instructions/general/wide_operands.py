"""16-byte memory operands that Unicorn accesses wrongly: misaligned ones, and those that cross a page boundary.

Most must be aligned (SDM volume 1, 10.8.3), which Unicorn does not check. It loads and stores 8 bytes at a time, so if
the second page faults, half of the access has already been made.
"""

from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.exceptions import GP, Fault
from machine.architecture.instruction_set import Prefix
from machine.architecture.opcodes import Action
from machine.bus.ram import PAGE_SIZE
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_access import require_sse
from machine.instructions.operands import linear_address
from machine.processor.cpu import Cpu

WIDE_BYTES = 16
_BOTH = (Prefix.NONE, Prefix.OPERAND_SIZE)
_LOADS = frozenset(
    [
        *((opcode, prefix) for opcode in (0x0F10, 0x0F28) for prefix in _BOTH),
        *((0x0F6F, Prefix.OPERAND_SIZE), (0x0F6F, Prefix.REPEAT), (0x0FF0, Prefix.REPEAT_NOT_EQUAL)),
    ]
)
"""MOVUPS and MOVUPD, MOVAPS and MOVAPD, MOVDQA and MOVDQU, LDDQU."""
_STORES = frozenset(
    [
        *((opcode, prefix) for opcode in (0x0F11, 0x0F29, 0x0F2B) for prefix in _BOTH),
        *((0x0F7F, Prefix.OPERAND_SIZE), (0x0F7F, Prefix.REPEAT), (0x0FE7, Prefix.OPERAND_SIZE)),
    ]
)
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


def execute_wide(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute a move of 16 bytes of memory; for other instructions check the access. Raises the Fault of the access."""
    operand = instruction.operand
    if not isinstance(operand, MemoryOperand):
        return Done.NATIVE
    require_sse(cpu)
    address = linear_address(cpu, instruction)
    memory, stack = OperandMemory(cpu), operand.segment == "ss"
    if instruction.action & _ALIGNED and address % WIDE_BYTES:
        raise Fault(GP, 0)
    kind = instruction.opcode, instruction.prefix
    if kind in _LOADS:
        content = memory.read(address, WIDE_BYTES, stack=stack)
        cpu.context.write_vector(instruction.register, int.from_bytes(content, "little"))
    elif kind in _STORES:
        content = cpu.context.read_vector(instruction.register).to_bytes(WIDE_BYTES, "little")
        memory.write(address, content, stack=stack)
    else:
        memory.probe(address, WIDE_BYTES, write=False, stack=stack)
        return Done.NATIVE
    cpu.skip(instruction.length)
    return Done.COMPLETE
