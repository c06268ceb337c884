"""Where an instruction's memory operand is, and what lies there (SDM volume 1, 3.7)."""

from machine.cpu import Cpu
from machine.opcodes import MemoryOperand
from machine.processor_state import GENERAL_REGISTERS, SegmentRegister
from machine.ram import PAGE_SIZE

_LOW = 0xFFFF_FFFF


def linear_address(cpu: Cpu, operand: MemoryOperand, following: int) -> int:
    """The linear address of an operand; `following` is the offset of the next instruction."""
    registers = cpu.registers
    address = operand.displacement + (following if operand.relative else 0)
    for number, scale in ((operand.base, 1), (operand.index, operand.scale)):
        if number is not None:
            address += getattr(registers, GENERAL_REGISTERS[number]) * scale
    if registers.in_64_bit_code:
        base = getattr(registers, operand.segment).base if operand.segment in ("fs", "gs") else 0
        return (address + base) & 2**64 - 1
    segment: SegmentRegister = getattr(registers, operand.segment)
    return (address + segment.base) & _LOW


def peek(cpu: Cpu, address: int, length: int) -> bytes | None:
    """Bytes at a linear address without any effect; None where the current ring may not read all of them."""
    data = b""
    while length:
        found = cpu.memory.look(address)
        if found is None or found.reserved or (cpu.registers.cpl == 3 and not found.user):
            return None
        part = min(length, PAGE_SIZE - address % PAGE_SIZE)
        data += cpu.memory.read_physical(found.physical + address % PAGE_SIZE, part)
        address, length = address + part, length - part
    return data
