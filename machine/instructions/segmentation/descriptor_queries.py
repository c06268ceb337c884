"""LAR, LSL, VERR and VERW (SDM volume 2): ZF reports whether a selector may be used, without a fault."""

from machine.architecture.control_registers import CR0_PE
from machine.architecture.decoding import Instruction
from machine.architecture.descriptors import (
    CALL_GATE,
    CALL_GATE_16,
    LDT,
    TASK_16_AVAILABLE,
    TASK_16_BUSY,
    TASK_AVAILABLE,
    TASK_BUSY,
    TASK_GATE,
    Segment,
)
from machine.architecture.exceptions import UD, Fault
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_size import operand_size
from machine.instructions.segmentation.descriptor_tables import find
from machine.instructions.segmentation.far_pointers import read_selector
from machine.processor.cpu import EFER_LMA, Cpu

_ZERO_FLAG = 1 << 6
_ACCESS_RIGHTS = 0x00F0_FF00
_SIZED_LONG = frozenset([LDT, TASK_AVAILABLE, TASK_BUSY])
_SIZED = _SIZED_LONG | {TASK_16_AVAILABLE, TASK_16_BUSY}
_RIGHTS_LONG = _SIZED_LONG | {CALL_GATE}
_RIGHTS = _SIZED | {CALL_GATE, CALL_GATE_16, TASK_GATE}


class DescriptorQueries:
    """Executes the instruction at RIP, one of the four."""

    def __init__(self, cpu: Cpu, memory: OperandMemory) -> None:
        self._cpu = cpu
        self._memory = memory

    def lar(self, instruction: Instruction) -> Done:
        """Execute LAR: access rights. Raises Fault (#UD, or of the operand)."""
        found = self._accessible(instruction, _RIGHTS_LONG if self._cpu.registers.efer & EFER_LMA else _RIGHTS)
        return self._answer(instruction, None if found is None else found.flags & _ACCESS_RIGHTS)

    def lsl(self, instruction: Instruction) -> Done:
        """Execute LSL: the limit in bytes. Raises Fault (#UD, or of the operand)."""
        found = self._accessible(instruction, _SIZED_LONG if self._cpu.registers.efer & EFER_LMA else _SIZED)
        return self._answer(instruction, None if found is None else found.limit)

    def verr(self, instruction: Instruction) -> Done:
        """Execute VERR. Raises Fault (#UD, or of the operand)."""
        found = self._accessible(instruction, frozenset())
        return self._finish(instruction, found is not None and (found.is_data or found.writable))

    def verw(self, instruction: Instruction) -> Done:
        """Execute VERW. Raises Fault (#UD, or of the operand)."""
        found = self._accessible(instruction, frozenset())
        return self._finish(instruction, found is not None and found.is_data and found.writable)

    def _accessible(self, instruction: Instruction, system_types: frozenset[int]) -> Segment | None:
        """Return the descriptor if it is visible at CPL and the selector's RPL, else None. Raises Fault."""
        cpu, registers = self._cpu, self._cpu.registers
        if not registers.cr[0] & CR0_PE:
            raise Fault(UD)
        selector = read_selector(cpu, self._memory, instruction)
        place = find(cpu, selector) if selector & 0xFFFC else None
        if place is None:
            return None
        _, found = place
        if not (found.is_code or found.is_data) and found.system_type not in system_types:
            return None
        if not (found.is_code and found.conforming) and found.level < max(registers.cpl, selector & 3):
            return None
        return found

    def _answer(self, instruction: Instruction, value: int | None) -> Done:
        if value is not None:
            registers, name = self._cpu.registers, GENERAL_REGISTERS[instruction.register]
            if operand_size(self._cpu, instruction) == 2:
                value = getattr(registers, name) & ~0xFFFF | value & 0xFFFF
            setattr(registers, name, value)
        return self._finish(instruction, value is not None)

    def _finish(self, instruction: Instruction, zero: bool) -> Done:
        cpu = self._cpu
        cpu.rflags = cpu.rflags & ~_ZERO_FLAG | (_ZERO_FLAG if zero else 0)
        cpu.skip(instruction.length)
        return Done.COMPLETE
