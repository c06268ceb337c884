"""Operands of a stopped processor, for the rules of instructions that Unicorn gets wrong only for some operands."""

from machine.architecture.decoding import Instruction, MemoryOperand
from machine.architecture.opcodes import Action
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.processor.cpu import FLAG_TF, Cpu
from machine.processor.unusual_operands import all_are_unusual, unusual_operands

_FLOATS, _LOOK = int(Action.FLOATS), int(Action.LOOK)


class _Operands:
    """The operands of the instruction at RIP, except those in memory: see `Registers` in unusual_operands.py."""

    def __init__(self, cpu: Cpu, instruction: Instruction) -> None:
        self._cpu = cpu
        self.following = cpu.registers.linear_rip + instruction.length

    def general(self, number: int) -> int:
        """Return a general register: all 64 bits."""
        return int(getattr(self._cpu.registers, GENERAL_REGISTERS[number]))

    def vector(self, number: int) -> int:
        """Return an XMM register."""
        return self._cpu.context.read_vector(number)

    @property
    def stepping(self) -> bool:
        """True if TF is set."""
        return bool(self._cpu.rflags & FLAG_TF)

    @property
    def repeats(self) -> bool:
        """True if the last instruction was this one."""
        return self._cpu.hook.last == self._cpu.registers.linear_rip

    def memory(self, _instruction: Instruction, _size: int) -> int | None:
        """Raise LookupError: what an access reads, only Unicorn knows."""
        raise LookupError


def is_unusual(cpu: Cpu, instruction: Instruction) -> bool:
    """Return whether the instruction hook certainly stops before the instruction at RIP for its operands.

    The engine must not be going to step. False if a look at operands in memory or at vectors would decide.
    """
    action = instruction.action
    if action & _FLOATS:
        return all_are_unusual(cpu.context.mxcsr)
    if not action & _LOOK or (isinstance(instruction.operand, MemoryOperand) and instruction.opcode == 0xFF):
        return False
    return unusual_operands(instruction, _Operands(cpu, instruction), cpu.context.mxcsr)
