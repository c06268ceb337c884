"""PUNPCKLBW, PUNPCKLWD and PUNPCKLDQ of an MMX register with memory (SDM volume 2).

The operand has four bytes, but Unicorn reads eight.
"""

from machine.architecture.decoding import Instruction
from machine.instructions.disposition import Done
from machine.instructions.operand_access import read_memory, require_mmx
from machine.processor.cpu import Cpu

_BYTES = 4


def execute_unpack_low(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute the instruction at RIP. Raises Fault."""
    if isinstance(instruction.operand, int) or instruction.prefix:
        return Done.NATIVE
    require_mmx(cpu)
    context, number, size = cpu.context, instruction.register & 7, 1 << (instruction.opcode & 3)
    source = read_memory(cpu, instruction, _BYTES).to_bytes(_BYTES, "little")
    destination = context.read_mmx(number).to_bytes(8, "little")
    pairs = (destination[at : at + size] + source[at : at + size] for at in range(0, _BYTES, size))
    context.enter_mmx()
    context.write_mmx(number, int.from_bytes(b"".join(pairs), "little"))
    cpu.skip(instruction.length)
    return Done.COMPLETE


RULES = dict.fromkeys((0x0F60, 0x0F61, 0x0F62), execute_unpack_low)
