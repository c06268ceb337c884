"""Far CALL and far JMP (SDM volume 2, CALL and JMP), outside real mode.

Each has the same parts: CHECK, which raises the Fault of the manual with nothing changed; then STATE.
"""

from machine.architecture.control_registers import CR0_PE
from machine.architecture.decoding import Instruction
from machine.architecture.descriptors import (
    TASK_16_AVAILABLE,
    TASK_16_BUSY,
    TASK_AVAILABLE,
    TASK_BUSY,
    TASK_GATE,
    Segment,
)
from machine.architecture.exceptions import GP, NP, Fault
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_size import operand_size
from machine.instructions.segmentation.call_gates import CallGate, InnerStack, is_call_gate, read_gate, stack_of_ring
from machine.instructions.segmentation.code_segments import (
    Destination,
    check_target,
    descriptor,
    direct_destination,
    enter,
)
from machine.instructions.segmentation.data_segments import commit, load_null_stack
from machine.instructions.segmentation.descriptor_tables import mark_accessed
from machine.instructions.segmentation.far_pointers import far_pointer
from machine.instructions.segmentation.task_switch import TaskFault, TaskSwitch
from machine.instructions.stack import Frame, Stack, current_stack, flat_stack, pop
from machine.processor.cpu import EFER_LMA, Cpu

_DIRECT = (0x9A, 0xEA)
_TASKS = (TASK_AVAILABLE, TASK_16_AVAILABLE, TASK_BUSY, TASK_16_BUSY)


class FarCalls:
    """Executes the far CALL or JMP at RIP."""

    def __init__(self, cpu: Cpu, memory: OperandMemory, tasks: TaskSwitch) -> None:
        self._cpu = cpu
        self._memory = memory
        self._tasks = tasks

    def jump(self, instruction: Instruction) -> Done:
        """Execute JMP ptr16:16, ptr16:32 (EA) or m16:16, m16:32, m16:64 (FF /5)."""
        return self._execute(instruction, jump=True)

    def call(self, instruction: Instruction) -> Done:
        """Execute CALL ptr16:16, ptr16:32 (9A) or m16:16, m16:32, m16:64 (FF /3)."""
        return self._execute(instruction, jump=False)

    def _execute(self, instruction: Instruction, *, jump: bool) -> Done:
        cpu = self._cpu
        if not cpu.registers.cr[0] & CR0_PE:
            return Done.NATIVE
        size = operand_size(cpu, instruction)
        if instruction.opcode in _DIRECT:
            selector, offset = divmod(instruction.immediate, 1 << 8 * size)
        else:
            selector, offset = far_pointer(cpu, self._memory, instruction, size)
        at, found = descriptor(cpu, selector)
        if found.is_code:
            destination = direct_destination(cpu, selector, at, found, offset)
            if jump:
                self._jump(destination, instruction)
            else:
                self._call(destination, instruction, current_stack(cpu), size)
        elif is_call_gate(cpu, found):
            gate = read_gate(cpu, selector, at, found, jump=jump)
            if jump:
                self._jump(gate.destination, instruction)
            else:
                self._call_gate(gate, instruction)
        elif cpu.registers.efer & EFER_LMA or found.system_type not in (TASK_GATE, *_TASKS):
            raise Fault(GP, selector & 0xFFFC)
        else:
            self._switch(selector, found, instruction, jump=jump)
        return Done.COMPLETE

    def _following(self, instruction: Instruction) -> int:
        """Return the return address of a CALL."""
        mask = 2**64 - 1 if self._cpu.registers.in_64_bit_code else 0xFFFF_FFFF
        return self._cpu.registers.rip + instruction.length & mask

    def _jump(self, destination: Destination, instruction: Instruction) -> None:
        check_target(self._cpu, destination.segment, destination.offset)
        enter(self._cpu, destination, instruction.length)

    def _call(self, destination: Destination, instruction: Instruction, stack: Stack, size: int) -> None:
        """Call within the ring, pushing words of `size` bytes."""
        cpu, registers = self._cpu, self._cpu.registers
        # CHECK
        frame = Frame(stack, registers.rsp, (registers.cs.selector, self._following(instruction)), size)
        check_target(cpu, destination.segment, destination.offset)
        frame.check(cpu, self._memory)
        mark_accessed(cpu, destination.at, destination.segment)
        # STATE
        frame.push(cpu, self._memory)
        registers.rsp = stack.pointer(registers.rsp, frame.pointer)
        enter(cpu, destination, instruction.length)

    def _call_gate(self, gate: CallGate, instruction: Instruction) -> None:
        cpu = self._cpu
        if gate.destination.ring < cpu.registers.cpl:
            self._call_inner_ring(gate, stack_of_ring(cpu, gate.destination.ring), instruction)
            return
        stack = (
            flat_stack(cpu) if gate.size == 8 else current_stack(cpu)
        )  # the target of a 64-bit gate runs in 64-bit mode
        self._call(gate.destination, instruction, stack, gate.size)

    def _call_inner_ring(self, gate: CallGate, inner: InnerStack, instruction: Instruction) -> None:
        cpu, registers, destination = self._cpu, self._cpu.registers, gate.destination
        # CHECK
        caller = registers.ss.selector, registers.rsp
        parameters: tuple[int, ...] = (0,) * gate.parameters
        following = registers.cs.selector, self._following(instruction)
        Frame(inner.stack, inner.pointer, (*caller, *parameters, *following), gate.size)
        check_target(cpu, destination.segment, destination.offset)
        if parameters:
            parameters = pop(self._memory, current_stack(cpu), registers.rsp, gate.size, gate.parameters)
        frame = Frame(inner.stack, inner.pointer, (*caller, *reversed(parameters), *following), gate.size)
        frame.check(cpu, self._memory)
        mark_accessed(cpu, destination.at, destination.segment)
        if inner.segment is not None:
            mark_accessed(cpu, inner.at, inner.segment)
        # STATE
        frame.push(cpu, self._memory)
        if inner.segment is None:
            load_null_stack(cpu, destination.ring)
        else:
            commit(cpu, registers.ss, inner.selector, inner.at, inner.segment)
        registers.rsp = inner.stack.pointer(inner.pointer, frame.pointer)
        enter(cpu, destination, instruction.length)

    def _switch(self, selector: int, found: Segment, instruction: Instruction, *, jump: bool) -> None:
        """Switch tasks, by a TSS descriptor or through a task gate."""
        cpu = self._cpu
        error = selector & 0xFFFC
        if found.level < max(cpu.registers.cpl, selector & 3):
            raise Fault(GP, error)
        if found.system_type == TASK_GATE:
            if not found.present:
                raise Fault(NP, error)
            selector = found.gate_selector
        at = cpu.linear_rip
        switch = self._tasks.jump if jump else self._tasks.nest
        try:
            switch(selector, self._following(instruction), cpu.rflags, 0)
        except TaskFault:
            cpu.retire(at)
            raise
        cpu.retire(at)
