"""LGDT, LIDT, SGDT and SIDT (SDM volume 2)."""

import struct

from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.exceptions import GP, Fault
from machine.architecture.paging import is_canonical
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_size import operand_size
from machine.instructions.operands import linear_address
from machine.instructions.segmentation.far_pointers import read_operand
from machine.processor.cpu import Cpu

_GLOBAL = (0, 2)


class DescriptorTableRegisters:
    """Executes the instruction at RIP, one of the four."""

    def __init__(self, cpu: Cpu, memory: OperandMemory) -> None:
        self._cpu = cpu
        self._memory = memory

    def load(self, instruction: Instruction) -> Done:
        """Execute LGDT (0F 01 /2) or LIDT (/3). Raises Fault with nothing changed."""
        cpu, registers = self._cpu, self._cpu.registers
        if registers.cpl:
            raise Fault(GP, 0)
        wide = registers.in_64_bit_code
        content = read_operand(cpu, self._memory, instruction, 10 if wide else 6)
        base = int.from_bytes(content[2:], "little")
        if not wide and operand_size(cpu, instruction) == 2:
            base &= 0xFF_FFFF
        if wide and not is_canonical(base):
            raise Fault(GP, 0)
        register = registers.gdtr if instruction.extension in _GLOBAL else registers.idtr
        register.base, register.limit = base, int.from_bytes(content[:2], "little")
        cpu.skip(instruction.length)
        return Done.COMPLETE

    def store(self, instruction: Instruction) -> Done:
        """Execute SGDT (0F 01 /0) or SIDT (/1), which store the full base for any operand size. Raises Fault."""
        registers = self._cpu.registers
        operand = instruction.operand
        assert isinstance(operand, MemoryOperand)
        register = registers.gdtr if instruction.extension in _GLOBAL else registers.idtr
        content = struct.pack("<HQ", register.limit & 0xFFFF, register.base)
        address = linear_address(self._cpu, instruction)
        self._memory.write(address, content[: 10 if registers.in_64_bit_code else 6], stack=operand.segment == "ss")
        self._cpu.skip(instruction.length)
        return Done.COMPLETE
