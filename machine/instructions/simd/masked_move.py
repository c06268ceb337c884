"""MASKMOVQ and MASKMOVDQU (SDM volume 2), which store the bytes selected by a mask at DS:RDI.

Unicorn stores byte by byte, so a fault leaves the first bytes stored.
"""

from machine.architecture.decoding import Instruction, overridden_segment
from machine.architecture.processor_state import SegmentRegister
from machine.instructions.accesses import code_bits
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_access import require_mmx, require_sse
from machine.processor.cpu import Cpu


def execute_masked_move(cpu: Cpu, instruction: Instruction) -> Done:
    """Execute the instruction at RIP. An empty mask accesses nothing. Raises Fault with nothing stored."""
    context, source = cpu.context, instruction.operand
    assert isinstance(source, int)
    if instruction.prefix:
        require_sse(cpu)
        size, data, mask = 16, context.read_vector(instruction.register), context.read_vector(source)
    else:
        require_mmx(cpu)
        size, data, mask = 8, context.read_mmx(instruction.register & 7), context.read_mmx(source & 7)
    at, memory = _destination(cpu, instruction), OperandMemory(cpu)
    chosen = [index for index in range(size) if mask >> 8 * index + 7 & 1]
    memory.write_chosen(at, data.to_bytes(size, "little"), chosen)
    if not instruction.prefix:
        context.enter_mmx()
    cpu.skip(instruction.length)
    return Done.COMPLETE


def _destination(cpu: Cpu, instruction: Instruction) -> int:
    registers = cpu.registers
    bits, long = code_bits(registers), registers.in_64_bit_code
    if instruction.address_size_prefix:
        bits = {64: 32, 32: 16, 16: 32}[bits]
    name = overridden_segment(instruction.prefixes, "ds", long=long)
    segment: SegmentRegister = getattr(registers, name)
    base = segment.base if not long or name in ("fs", "gs") else 0
    return int((registers.rdi & (1 << bits) - 1) + base & (2**64 - 1 if long else 0xFFFF_FFFF))


RULES = {0x0FF7: execute_masked_move}
