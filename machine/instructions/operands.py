"""Addresses of memory operands (SDM volume 1, 3.7), and memory reads without side effects."""

from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.processor_state import GENERAL_REGISTERS, SegmentRegister
from machine.bus.ram import PAGE_SIZE
from machine.processor.cpu import Cpu

_LOW = 0xFFFF_FFFF


def effective_address(cpu: Cpu, instruction: Instruction) -> int:
    """Return the offset of the memory operand in its segment; `instruction` is the one at RIP."""
    operand, registers = instruction.operand, cpu.registers
    assert isinstance(operand, MemoryOperand)
    address = operand.displacement + (registers.rip + instruction.length if operand.relative else 0)
    if operand.base is not None:
        address += getattr(registers, GENERAL_REGISTERS[operand.base])
    if operand.index is not None:
        address += getattr(registers, GENERAL_REGISTERS[operand.index]) * operand.scale
    return int(address & (1 << operand.address_bits) - 1)


def linear_address(cpu: Cpu, instruction: Instruction) -> int:
    """Return the linear address of the memory operand; `instruction` is the one at RIP."""
    assert isinstance(instruction.operand, MemoryOperand)
    return in_segment(cpu, instruction.operand, effective_address(cpu, instruction))


def in_segment(cpu: Cpu, operand: MemoryOperand, address: int) -> int:
    """Return the linear address of an offset in the operand's segment."""
    registers = cpu.registers
    if registers.in_64_bit_code:
        base = getattr(registers, operand.segment).base if operand.segment in ("fs", "gs") else 0
        return int(address + base & 2**64 - 1)
    segment: SegmentRegister = getattr(registers, operand.segment)
    return (address + segment.base) & _LOW


def peek(cpu: Cpu, address: int, length: int) -> bytes | None:
    """Read bytes at a linear address without side effects; None if the current ring may not read all of them."""
    data = b""
    while length:
        found = cpu.memory.look(address)
        if found is None or found.reserved or (cpu.registers.cpl == 3 and not found.user):
            return None
        part = min(length, PAGE_SIZE - address % PAGE_SIZE)
        data += cpu.memory.read_physical(found.physical + address % PAGE_SIZE, part)
        address, length = address + part, length - part
    return data
