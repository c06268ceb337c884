"""IRET, IRETD and IRETQ (SDM volume 2, IRET), outside real mode.

Left out: virtual-8086 mode. An IRETD in ring 0 that would return to it raises #GP(0). IRET is half of each host call,
so the common case has a fast path.
"""

import struct
from functools import lru_cache

from machine.architecture.control_registers import CR0_PE
from machine.architecture.decoding import Instruction
from machine.architecture.descriptors import ACCESSED, segment
from machine.architecture.exceptions import GP, Fault
from machine.architecture.paging import is_canonical
from machine.bus.ram import PAGE_SIZE
from machine.instructions.disposition import Done
from machine.instructions.memory import OperandMemory
from machine.instructions.operand_size import operand_size
from machine.instructions.segmentation.code_segments import check_return, check_target, is_64_bit, load_code
from machine.instructions.segmentation.data_segments import leave_segments_of_inner_rings
from machine.instructions.segmentation.descriptor_tables import mark_accessed
from machine.instructions.segmentation.outer_stack import check_outer_stack, load_outer_stack
from machine.instructions.segmentation.task_switch import TaskFault, TaskSwitch
from machine.instructions.stack import current_stack, pop
from machine.processor.cpu import EFER_LMA, FLAG_IF, FLAG_NT, FLAG_VM, Cpu

_FLAGS_16, _FLAGS_32 = 0x4DD5, 0x25_4DD5
"""CF, PF, AF, ZF, SF, TF, DF, OF and NT; with 32 bits also RF, AC and ID."""
_IOPL, _VIRTUAL_INTERRUPTS = 3 << 12, 3 << 19
_FRAME = struct.Struct("<5Q")
_NOT_GLOBAL = ~0xFFFB
"""Bits of a stack word that must be 0 for a GDT selector."""
_Cached = tuple[int, int, int]


class InterruptReturn:
    """Executes the IRET at RIP."""

    def __init__(self, cpu: Cpu, memory: OperandMemory, tasks: TaskSwitch) -> None:
        self._cpu = cpu
        self._memory = memory
        self._tasks = tasks

    def execute(self, instruction: Instruction) -> Done:
        """Return within the ring, to an outer one or to the previous task. Raises Fault with nothing changed."""
        cpu, registers, memory = self._cpu, self._cpu.registers, self._memory
        if not registers.cr[0] & CR0_PE:
            return Done.NATIVE
        if cpu.rflags & FLAG_NT:
            return self._return_to_previous_task(instruction)
        if instruction.wide and self._return_by_common_segments():
            return Done.COMPLETE
        # CHECK
        in_64_bit_code, ring = registers.in_64_bit_code, registers.cpl
        size, stack, pointer = operand_size(cpu, instruction), current_stack(cpu), registers.rsp
        rip, selector, flags = pop(memory, stack, pointer, size, 3)
        selector &= 0xFFFF
        pointer += 3 * size
        if flags & FLAG_VM and not ring and not registers.efer & EFER_LMA:
            raise Fault(GP, 0)
        at, segment = check_return(cpu, selector)
        new_ring = selector & 3
        if in_64_bit_code or new_ring != ring:
            long = is_64_bit(cpu, segment)
            new_pointer, outer = pop(memory, stack, pointer, size, 2)
            found = check_outer_stack(cpu, outer & 0xFFFF, new_ring, long=long)
            check_target(cpu, segment, rip)
            if found is not None:
                mark_accessed(cpu, *found)
            # STATE
            load_code(cpu, selector, at, segment)
            load_outer_stack(cpu, outer & 0xFFFF, found, new_pointer, long=long)
        else:
            check_target(cpu, segment, rip)
            # STATE
            load_code(cpu, selector, at, segment)
            registers.rsp = stack.pointer(registers.rsp, pointer)
        loaded = loaded_flags(cpu.rflags, ring, size)
        cpu.rflags = cpu.rflags & ~loaded | flags & loaded
        if new_ring != ring:
            leave_segments_of_inner_rings(cpu, new_ring)
        cpu.skip(instruction.length)
        registers.rip = rip
        cpu.set_privilege(new_ring)
        return Done.COMPLETE

    def _return_by_common_segments(self) -> bool:
        """Execute IRETQ of ring 0 if its frame and descriptors are the common ones; otherwise return False."""
        cpu, registers, memory, hook = self._cpu, self._cpu.registers, self._cpu.memory, self._cpu.hook
        rsp, ring, table = registers.rsp, registers.hflags & 3, registers.gdtr
        if ring or cpu.callbacks.watchers or rsp & 0xFFF > PAGE_SIZE - _FRAME.size or not is_canonical(rsp):
            return False
        rflags = hook.rflags
        rip, selector, flags, new_rsp, outer = _FRAME.unpack(memory.read(rsp, _FRAME.size, rflags))
        limit, base = table.limit, table.base
        if (selector | outer) & _NOT_GLOBAL or (selector | 7) > limit or (outer | 7) > limit or rip >> 47:
            return False
        if not is_canonical(base + limit):
            return False
        new_ring = selector & 3
        code, stack = memory.read(base + selector - new_ring, 8), memory.read(base + (outer & ~7), 8)
        found = _common_segments(selector, code, outer, stack)
        if found is None:
            return False
        registers.cs.load(selector, *found[0])
        registers.ss.load(outer, *found[1])
        loaded = loaded_flags(rflags, 0, 8)
        hook.rflags = rflags & ~loaded | flags & loaded
        if new_ring:
            leave_segments_of_inner_rings(cpu, new_ring)
        registers.rsp = new_rsp
        cpu.retire(registers.rip)
        registers.rip = rip
        registers.follow_segments(new_ring)
        return True

    def _return_to_previous_task(self, instruction: Instruction) -> Done:
        cpu = self._cpu
        if cpu.registers.efer & EFER_LMA:
            raise Fault(GP, 0)
        at = cpu.linear_rip
        try:
            self._tasks.return_to_previous(cpu.rip + instruction.length & 0xFFFF_FFFF, cpu.rflags)
        except TaskFault:
            cpu.retire(at)
            raise
        cpu.retire(at)
        return Done.COMPLETE


@lru_cache(maxsize=64)  # a kernel returns to only one or two pairs of segments
def _common_segments(selector: int, code: bytes, outer: int, stack: bytes) -> tuple[_Cached, _Cached] | None:
    """Return base, limit and flags of CS and SS for two descriptors of ring RPL, or None unless all checks pass."""
    cs, ss, ring = segment(code), segment(stack), selector & 3
    both = cs.present and ss.present and cs.level == ss.level == outer & 3 == ring
    both = both and bool(cs.flags & ss.flags & ACCESSED << 8) and bool(selector & ~7) and bool(outer & ~7)
    if not both or not cs.is_code or not cs.long or cs.default_32 or cs.conforming or not ss.is_data or not ss.writable:
        return None
    return (0, cs.limit, cs.flags), (ss.base, ss.limit, ss.flags)


def loaded_flags(rflags: int, ring: int, size: int) -> int:
    """Return the mask of the flags that IRET loads.

    Args:
        rflags: RFLAGS before the instruction.
        ring: The ring that executes it.
        size: The operand size in bytes.

    Returns:
        The mask.
    """
    loaded = _FLAGS_16 if size == 2 else _FLAGS_32
    if ring <= rflags >> 12 & 3:
        loaded |= FLAG_IF
    if ring == 0:
        loaded |= _IOPL if size == 2 else _IOPL | _VIRTUAL_INTERRUPTS
    return loaded
