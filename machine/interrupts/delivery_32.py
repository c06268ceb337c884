"""Interrupt delivery in protected mode (SDM volume 3, 6.12), for kernels that stay in it.

It implements 16-bit and 32-bit interrupt and trap gates, stack switches through a 16-bit or 32-bit TSS, and task gates,
but not virtual-8086 mode.
"""

import struct

from machine.architecture.descriptors import (
    INTERRUPT_GATE,
    INTERRUPT_GATE_16,
    TASK_16_BUSY,
    TASK_BUSY,
    TASK_GATE,
    TRAP_GATE,
    TRAP_GATE_16,
    Gate,
    Segment,
    gate_32,
)
from machine.architecture.exceptions import GP, NP, SS, TS, Fault
from machine.bus.writer import INTERRUPT_DELIVERY
from machine.instructions.segmentation.descriptor_tables import find, mark_accessed
from machine.instructions.segmentation.task_switch import TaskSwitch
from machine.processor.cpu import FLAG_IF, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VM, Cpu

_IDT_ERROR, _BUSY = 2, 2
_CLEARED = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM
_GATES = (INTERRUPT_GATE, TRAP_GATE, INTERRUPT_GATE_16, TRAP_GATE_16, TASK_GATE)


class ProtectedModeDelivery:
    """Delivery through an IDT of 8-byte gates, on one processor."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu
        self._tasks = TaskSwitch(cpu)

    def enter(self, vector: int, return_address: int, rflags: int, error_code: int | None, *, software: bool) -> None:
        """Enter the handler of a vector.

        Args:
            vector: 0 to 255.
            return_address: EIP to push.
            rflags: EFLAGS to push.
            error_code: The error code to push, or None.
            software: The event is an INT instruction, so the gate's DPL is checked.

        Raises:
            Fault: A check fails; nothing has changed, unless a task switch has begun.
        """
        cpu, registers = self._cpu, self._cpu.registers
        # CHECK
        external = 0 if software else 1
        old_ring = registers.cpl
        gate = self._gate(vector, old_ring, external, software=software)
        if gate.kind == TASK_GATE:
            self._tasks.nest(gate.selector, return_address, rflags, external)
            if error_code is not None:
                self._tasks.push_error_code(error_code, external)
            return
        target_at, target = self._code_segment(gate.selector, old_ring, external)
        ring = old_ring if target.conforming else target.level
        words = [return_address, registers.cs.selector, rflags]
        if error_code is not None:
            words.insert(0, error_code)
        if ring < old_ring:
            words += [registers.rsp, registers.ss.selector]
            stack_selector, stack_at, stack, esp = self._inner_stack(ring, external)
        else:
            stack_selector, stack_at, stack, esp = registers.ss.selector, 0, None, registers.rsp
        wide = gate.kind in (INTERRUPT_GATE, TRAP_GATE)
        frame = struct.pack(
            f"<{len(words)}I" if wide else f"<{len(words)}H", *[w & (2**32 - 1 if wide else 0xFFFF) for w in words]
        )
        base, big = (
            (registers.ss.base, registers.ss.flags & 1 << 22) if stack is None else (stack.base, stack.default_32)
        )
        mask = 0xFFFF_FFFF if big else 0xFFFF
        top = esp - len(frame) & mask
        error = external if stack is None else stack_selector & ~3 | external
        offsets = [top + at & mask if big else top + at for at in range(0, len(frame), 4 if wide else 2)]
        self._check_room(registers.ss.limit if stack is None else stack.limit, offsets, 4 if wide else 2, stack, error)
        if gate.handler > target.limit:
            raise Fault(GP, external)
        mark_accessed(cpu, target_at, target)
        if stack is not None:
            mark_accessed(cpu, stack_at, stack)
        cpu.memory.push(base + top & 0xFFFF_FFFF, frame, cpu.rflags, 4 if wide else 2, by=INTERRUPT_DELIVERY)
        # STATE
        registers.cs.load(gate.selector & ~3 | ring, target.base, target.limit, target.flags)
        if stack is not None:
            registers.ss.load(stack_selector & ~3 | ring, stack.base, stack.limit, stack.flags)
        registers.rsp = esp & ~mask & 0xFFFF_FFFF | top
        registers.rip = gate.handler
        cpu.set_privilege(ring)
        interrupt_gate = gate.kind in (INTERRUPT_GATE, INTERRUPT_GATE_16)
        cpu.rflags = cpu.rflags & ~(_CLEARED | (FLAG_IF if interrupt_gate else 0))

    def _gate(self, vector: int, ring: int, external: int, *, software: bool) -> Gate:
        error, idtr = vector * 8 + _IDT_ERROR + external, self._cpu.registers.idtr
        if vector * 8 + 7 > idtr.limit:
            raise Fault(GP, error)
        gate = gate_32(self._cpu.memory.read(idtr.base + vector * 8, 8))
        if gate.kind not in _GATES or (software and gate.level < ring):
            raise Fault(GP, error)
        if not gate.present:
            raise Fault(NP, error)
        return gate

    def _descriptor(self, selector: int, fault: int, external: int) -> tuple[int, Segment]:
        found = find(self._cpu, selector)
        if found is None:
            raise Fault(fault, selector & ~3 | external)
        return found

    def _code_segment(self, selector: int, ring: int, external: int) -> tuple[int, Segment]:
        if not selector & ~3:
            raise Fault(GP, external)
        at, found = self._descriptor(selector, GP, external)
        if not found.is_code or found.level > ring:
            raise Fault(GP, selector & ~3 | external)
        if not found.present:
            raise Fault(NP, selector & ~3 | external)
        return at, found

    def _inner_stack(self, ring: int, external: int) -> tuple[int, int, Segment, int]:
        """Return SS, its descriptor's address, the descriptor, and ESP, from the TSS, checked (6.12.1)."""
        task = self._cpu.registers.tr
        kind = task.flags >> 8 & 0xF | _BUSY  # Unicorn's LTR sets it in the table but not in the register
        if kind == TASK_BUSY:
            offset, layout = 4 + 8 * ring, "<IH"
        elif kind == TASK_16_BUSY:
            offset, layout = 2 + 4 * ring, "<HH"
        else:
            raise Fault(TS, task.selector & ~3 | external)
        size = struct.calcsize(layout)
        if offset + size - 1 > task.limit:
            raise Fault(TS, task.selector & ~3 | external)
        esp, selector = struct.unpack(layout, self._cpu.memory.read(task.base + offset, size))
        error = selector & ~3 | external
        if not selector & ~3:
            raise Fault(TS, external)
        at, found = self._descriptor(selector, TS, external)
        if selector & 3 != ring or found.level != ring or not found.is_data or not found.writable:
            raise Fault(TS, error)
        if not found.present:
            raise Fault(SS, error)
        return selector, at, found, esp

    def _check_room(self, limit: int, offsets: list[int], unit: int, stack: Segment | None, error: int) -> None:
        """Raise Fault (#SS) unless all words of a frame are within the segment; a frame may wrap at 4 GiB."""
        down = stack.conforming if stack is not None else bool(self._cpu.registers.ss.flags & 1 << 10)
        if any(offset <= limit if down else offset + unit - 1 > limit for offset in offsets):
            raise Fault(SS, error)
