"""Instructions that push or pop several words at once: ENTER, PUSHA and POPA (SDM volume 2).

Unicorn executes them one word at a time, and if one faults, registers have already changed.
"""

from collections.abc import Callable

from machine.architecture.decoding import Instruction
from machine.architecture.exceptions import Fault
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.bus.ram import PAGE_SIZE
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_size import stack_operand_size
from machine.instructions.stack import WIDTH_MASKS, Frame, Stack, current_stack, pop
from machine.processor.cpu import Cpu

_ENTER, _PUSHA, _POPA = 0xC8, 0x60, 0x61
_DEEPEST = 32
_SP = 4


class Frames:
    """Executes the instruction at RIP, one of the three."""

    def __init__(self, cpu: Cpu, memory: OperandMemory) -> None:
        self._cpu = cpu
        self._memory = memory
        self.rules: dict[int, Callable[[Instruction], Done]] = {
            _ENTER: self._enter,
            _PUSHA: self._push_all,
            _POPA: self._pop_all,
        }
        """By opcode."""

    def _enter(self, instruction: Instruction) -> Done:
        """Execute ENTER: push the enclosing procedures' frame pointers by nesting level, and allocate space below.

        If an access faults, the words already pushed remain below the stack pointer, as on processors. Raises Fault.

        Returns:
            `Done.COMPLETE`.
        """
        cpu, registers, memory = self._cpu, self._cpu.registers, self._memory
        size, stack = stack_operand_size(cpu, instruction), current_stack(cpu)
        room, level = instruction.immediate & 0xFFFF, (instruction.immediate >> 16) % _DEEPEST
        outer = registers.rbp
        frame = top = self._push(stack, registers.rsp, outer, size)
        if self._copy(stack, top, outer, size, level - 1):
            top -= size * (level - 1)
        else:
            for _ in range(level - 1):
                outer -= size
                (word,) = pop(memory, stack, outer, size, 1)
                top = self._push(stack, top, word, size)
        if level:
            top = self._push(stack, top, frame, size)
        top = top - room & stack.mask
        memory.probe(stack.address(top, size), size, write=True, stack=True)  # the manual's last check
        # STATE
        kept = WIDTH_MASKS[size] if size == 2 else 2**64 - 1
        registers.rbp = registers.rbp & ~kept | frame & WIDTH_MASKS[size]
        registers.rsp = stack.pointer(registers.rsp, top)
        cpu.skip(instruction.length)
        return Done.COMPLETE

    def _copy(self, stack: Stack, top: int, outer: int, size: int, count: int) -> bool:
        """Push the frame pointers below the outer frame at once, if that has the same effect as word by word.

        This is so if source and target are each in one page of RAM, so that nothing can fault halfway, and nobody
        watches memory. If the source overlaps the words just pushed, these repeat.

        Args:
            stack: The stack in use.
            top: The stack pointer, below which to push.
            outer: The outer frame pointer; the words are below it.
            size: Bytes of a word.
            count: Number of words.

        Returns:
            True if the words were pushed, False if nothing was done.
        """
        cpu, memory, distance, length = self._cpu, self._memory, outer - top, size * count
        period = distance if 0 < distance < length else length
        source, target = outer - period, top - length
        if count < 1 or min(source, target) < 0 or outer > stack.mask or stack.aligned or cpu.callbacks.watchers:
            return False
        if period % size:
            return False
        places = []
        for lowest, bytes_, write in ((target, length, True), (source, period, False)):
            try:
                address = stack.address(lowest, bytes_)
                if address // PAGE_SIZE != (address + bytes_ - 1) // PAGE_SIZE:
                    return False
                places.append(memory.place(address, write=write, user=stack.user, stack=True))
            except Fault:
                return False
        if max(places) >= cpu.ram.size:
            return False
        words = bytes(cpu.ram.view[places[1] : places[1] + period])
        cpu.ram.write(places[0], (words * count)[-length:])
        return True

    def _push(self, stack: Stack, pointer: int, word: int, size: int) -> int:
        """Push a word below a stack pointer, and return the new one. Raises Fault."""
        pushed = Frame(stack, pointer, [word], size)
        pushed.check(self._cpu, self._memory)
        pushed.push(self._cpu, self._memory)
        return pushed.pointer

    def _push_all(self, instruction: Instruction) -> Done:
        cpu, registers = self._cpu, self._cpu.registers
        # CHECK
        size, stack = stack_operand_size(cpu, instruction), current_stack(cpu)
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
        size, stack = stack_operand_size(cpu, instruction), current_stack(cpu)
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
