"""Far RET (SDM volume 2, RET), outside real mode."""

from machine.architecture.control_registers import CR0_PE
from machine.architecture.decoding import Instruction
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_size import operand_size
from machine.instructions.segmentation.code_segments import check_return, check_target, is_64_bit, load_code
from machine.instructions.segmentation.data_segments import leave_segments_of_inner_rings
from machine.instructions.segmentation.descriptor_tables import mark_accessed
from machine.instructions.segmentation.outer_stack import check_outer_stack, load_outer_stack
from machine.instructions.stack import current_stack, pop
from machine.processor.cpu import Cpu

_RELEASING = 0xCA


class FarReturn:
    """Executes the far RET at RIP."""

    def __init__(self, cpu: Cpu, memory: OperandMemory) -> None:
        self._cpu = cpu
        self._memory = memory

    def execute(self, instruction: Instruction) -> Done:
        """Return within the ring or to an outer one. Raises Fault with nothing changed."""
        cpu, registers, memory = self._cpu, self._cpu.registers, self._memory
        if not registers.cr[0] & CR0_PE:
            return Done.NATIVE
        # CHECK
        size, stack, ring = operand_size(cpu, instruction), current_stack(cpu), registers.cpl
        released = 0
        if instruction.opcode == _RELEASING:
            released = instruction.immediate
        pointer = registers.rsp
        rip, selector = pop(memory, stack, pointer, size, 2)
        selector &= 0xFFFF
        pointer += 2 * size + released
        new_ring = selector & 3
        at, segment = check_return(cpu, selector)
        if new_ring == ring:
            check_target(cpu, segment, rip)
            # STATE
            load_code(cpu, selector, at, segment)
            registers.rsp = stack.pointer(registers.rsp, pointer)
        else:
            outer_pointer, outer = pop(memory, stack, pointer, size, 2)
            long = is_64_bit(cpu, segment)
            found = check_outer_stack(cpu, outer & 0xFFFF, new_ring, long=long)
            check_target(cpu, segment, rip)
            if found is not None:
                mark_accessed(cpu, *found)
            # STATE
            load_code(cpu, selector, at, segment)
            load_outer_stack(cpu, outer & 0xFFFF, found, outer_pointer + released, long=long)
            leave_segments_of_inner_rings(cpu, new_ring)
        cpu.skip(instruction.length)
        registers.rip = rip
        cpu.set_privilege(new_ring)
        return Done.COMPLETE
