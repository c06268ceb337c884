"""MOV and POP to a segment register, LDS, LES, LSS, LFS and LGS (SDM volume 2), outside real mode."""

from machine.architecture.control_registers import CR0_PE
from machine.architecture.decoding import Instruction
from machine.architecture.processor_state import GENERAL_REGISTERS, SEGMENT_REGISTERS
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_size import operand_size, stack_operand_size
from machine.instructions.segmentation.data_segments import load_data, load_stack
from machine.instructions.segmentation.far_pointers import far_pointer, read_selector
from machine.instructions.stack import current_stack, pop
from machine.processor.cpu import Cpu

_POPPED = {0x07: "es", 0x17: "ss", 0x1F: "ds", 0x0FA1: "fs", 0x0FA9: "gs"}
_POINTERS = {0xC4: "es", 0xC5: "ds", 0x0FB2: "ss", 0x0FB4: "fs", 0x0FB5: "gs"}
_MOV, _POP_SS, _SS = 0x8E, 0x17, 2
_SELECTOR_SIZE = 2


def loads_ss(instruction: Instruction) -> bool:
    """Return whether an instruction is MOV SS or POP SS, which inhibits interrupts and #DB (6.8.3)."""
    return instruction.opcode == _POP_SS or (instruction.opcode == _MOV and instruction.extension == _SS)


class SegmentLoads:
    """Executes the instruction at RIP, which loads a segment register other than CS."""

    def __init__(self, cpu: Cpu, memory: OperandMemory) -> None:
        self._cpu = cpu
        self._memory = memory

    def move(self, instruction: Instruction) -> Done:
        """Execute MOV Sreg, r/m16 (8E). Raises Fault with nothing changed."""
        cpu = self._cpu
        if not cpu.registers.cr[0] & CR0_PE:
            return Done.NATIVE
        selector = read_selector(cpu, self._memory, instruction)
        name = SEGMENT_REGISTERS[instruction.extension]
        self._load(name, selector)
        self._retire(name, instruction)
        return Done.COMPLETE

    def pop(self, instruction: Instruction) -> Done:
        """Execute POP Sreg (07, 17, 1F, 0F A1, 0F A9), which reads only the selector's bytes. Raises Fault."""
        cpu, registers = self._cpu, self._cpu.registers
        if not registers.cr[0] & CR0_PE:
            return Done.NATIVE
        size, stack, name = stack_operand_size(cpu, instruction), current_stack(cpu), _POPPED[instruction.opcode]
        (selector,) = pop(self._memory, stack, registers.rsp, _SELECTOR_SIZE, 1)
        self._load(name, selector)
        registers.rsp = stack.pointer(registers.rsp, registers.rsp + size)
        self._retire(name, instruction)
        return Done.COMPLETE

    def load_far_pointer(self, instruction: Instruction) -> Done:
        """Execute LES, LDS, LSS, LFS or LGS. Raises Fault with nothing changed."""
        cpu, registers = self._cpu, self._cpu.registers
        if not registers.cr[0] & CR0_PE:
            return Done.NATIVE
        size = operand_size(cpu, instruction)
        selector, offset = far_pointer(cpu, self._memory, instruction, size)
        self._load(_POINTERS[instruction.opcode], selector)
        name = GENERAL_REGISTERS[instruction.register]
        setattr(registers, name, getattr(registers, name) & ~0xFFFF | offset if size == 2 else offset)
        cpu.skip(instruction.length)
        return Done.COMPLETE

    def _load(self, name: str, selector: int) -> None:
        cpu, registers = self._cpu, self._cpu.registers
        inhibited = registers.interrupts_inhibited
        if name == "ss":
            load_stack(cpu, selector)
        else:
            load_data(cpu, getattr(registers, name), selector)
        registers.follow_segments(registers.cpl)
        registers.interrupts_inhibited = inhibited

    def _retire(self, name: str, instruction: Instruction) -> None:
        """Retire MOV or POP. A load of SS inhibits interrupts and #DB until after the next instruction (6.8.3)."""
        registers = self._cpu.registers
        inhibited = registers.interrupts_inhibited
        self._cpu.skip(instruction.length)
        if name == "ss" and not inhibited:  # only the first of consecutive ones does
            registers.interrupts_inhibited = True
