"""MASKMOVQ and MASKMOVDQU (SDM volume 2), which store the bytes selected by a mask at DS:RDI.

Unicorn stores byte by byte, so a fault leaves the first bytes stored.
"""

from machine.architecture.decoding import Instruction
from machine.architecture.processor_state import SegmentRegister
from machine.instructions.accesses import code_bits
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_access import require_mmx, require_sse
from machine.processor.cpu import Cpu

_SEGMENTS = {0x26: "es", 0x2E: "cs", 0x36: "ss", 0x3E: "ds", 0x64: "fs", 0x65: "gs"}


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
    registers, name = cpu.registers, "ds"
    for prefix in instruction.prefixes:
        name = _SEGMENTS.get(prefix, name)
    bits, long = code_bits(registers), registers.in_64_bit_code
    if instruction.address_size_prefix:
        bits = {64: 32, 32: 16, 16: 32}[bits]
    address = registers.rdi & (1 << bits) - 1
    segment: SegmentRegister = getattr(registers, name)
    if long:
        return int(address + (segment.base if name in ("fs", "gs") else 0) & 2**64 - 1)
    return int(address + segment.base & 0xFFFF_FFFF)


RULES = {0x0FF7: execute_masked_move}
