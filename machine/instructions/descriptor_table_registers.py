"""LGDT and LIDT (SDM volume 2)."""

from machine.cpu import Cpu
from machine.done import Done
from machine.exceptions import GP, Fault
from machine.instructions.far_pointers import read_operand
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_size import operand_size
from machine.opcodes import Instruction
from machine.paging import is_canonical

_GLOBAL = 2


class DescriptorTableRegisters:
    """Executes the instruction at RIP."""

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
        register = registers.gdtr if instruction.extension == _GLOBAL else registers.idtr
        register.base, register.limit = base, int.from_bytes(content[:2], "little")
        cpu.skip(instruction.length)
        return Done.COMPLETE
