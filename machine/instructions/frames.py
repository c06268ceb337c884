"""Instructions that push or pop several words at once: ENTER, PUSHA and POPA (SDM volume 2).

Unicorn does them a word at a time and leaves behind what it has done when one of them faults.
"""

from collections.abc import Callable

from machine.cpu import Cpu
from machine.done import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.stack import WIDTH_MASKS, Frame, current_stack, pop
from machine.opcodes import Instruction
from machine.processor_state import DEFAULT_32, GENERAL_REGISTERS

_ENTER, _PUSHA, _POPA = 0xC8, 0x60, 0x61
_DEEPEST = 32
_SP = 4


class Frames:
    """Executes the instruction at RIP, which is one of the three."""

    def __init__(self, cpu: Cpu, memory: OperandMemory) -> None:
        self._cpu = cpu
        self._memory = memory
        self.rules: dict[int, Callable[[Instruction], Done]] = {
            _ENTER: self._enter,
            _PUSHA: self._push_all,
            _POPA: self._pop_all,
        }
        """By opcode."""

    def _operand_size(self, instruction: Instruction) -> int:
        """Bytes of a word that is pushed."""
        if instruction.long:
            return 2 if instruction.operand_size_prefix else 8
        wide = bool(self._cpu.registers.cs.flags & DEFAULT_32)
        return 4 if wide != instruction.operand_size_prefix else 2

    def _enter(self, instruction: Instruction) -> Done:
        """ENTER: the nesting level copies frame pointers of enclosing procedures, the size makes room below."""
        cpu, registers, memory = self._cpu, self._cpu.registers, self._memory
        # CHECK
        size, stack = self._operand_size(instruction), current_stack(cpu)
        room, level = instruction.immediate & 0xFFFF, (instruction.immediate >> 16) % _DEEPEST
        outer = registers.rbp
        words, frame = [outer], registers.rsp - size
        if level > 1:
            words += reversed(pop(memory, stack, outer - size * (level - 1), size, level - 1))
        if level:
            words.append(frame)
        pushed = Frame(stack, registers.rsp, words, size)
        pushed.check(cpu, memory)
        top = pushed.pointer - room & stack.mask
        memory.probe(stack.address(top, size), size, write=True, stack=True)  # the manual's last check
        # STATE
        pushed.push(cpu, memory)
        kept = WIDTH_MASKS[size] if size == 2 else 2**64 - 1
        registers.rbp = registers.rbp & ~kept | frame & stack.mask & WIDTH_MASKS[size]
        registers.rsp = stack.pointer(registers.rsp, top)
        cpu.skip(instruction.length)
        return Done.COMPLETE

    def _push_all(self, instruction: Instruction) -> Done:
        cpu, registers = self._cpu, self._cpu.registers
        # CHECK
        size, stack = self._operand_size(instruction), current_stack(cpu)
        words = [getattr(registers, name) for name in GENERAL_REGISTERS[:8]]
        pushed = Frame(stack, registers.rsp, words, size)
        pushed.check(cpu, self._memory)
        # STATE
        pushed.push(cpu, self._memory)
        registers.rsp = stack.pointer(registers.rsp, pushed.pointer)
        cpu.skip(instruction.length)
        return Done.COMPLETE

    def _pop_all(self, instruction: Instruction) -> Done:
        cpu, registers = self._cpu, self._cpu.registers
        # CHECK
        size, stack = self._operand_size(instruction), current_stack(cpu)
        words = pop(self._memory, stack, registers.rsp, size, 8)
        # STATE
        kept = 0 if size == 4 else 0xFFFF_0000
        for number, word in zip(range(7, -1, -1), words, strict=True):
            if number != _SP:
                name = GENERAL_REGISTERS[number]
                setattr(registers, name, getattr(registers, name) & kept | word)
        registers.rsp = stack.pointer(registers.rsp, registers.rsp + 8 * size)
        cpu.skip(instruction.length)
        return Done.COMPLETE
