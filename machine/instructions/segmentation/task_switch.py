"""Task switches by the processor (SDM volume 3, chapter 8, "Task Management").

Their causes are a task gate in the IDT, a far CALL or JMP, and IRET with NT set. Each has the same parts: CHECK, which
fails with nothing changed; STATE, which saves the old task and loads the new one; then the new task's segments are
checked, and a failure is an exception of the new task, before its first instruction. The T flag of the new TSS is a
debug trap there (18.3.1.4).

Not implemented: virtual-8086 tasks. A TSS whose EFLAGS image has VM set is refused as invalid (#TS).
"""

import struct
from enum import Enum, auto

from machine.architecture.control_registers import CR0_PG, CR0_TS, check_cr3
from machine.architecture.descriptors import (
    ACCESSED,
    ACCESSED_BYTE,
    TASK_16_AVAILABLE,
    TASK_16_BUSY,
    TASK_AVAILABLE,
    TASK_BUSY,
    Segment,
)
from machine.architecture.exceptions import GP, NP, SS, TS, Fault
from machine.architecture.processor_state import HFLAG_TS, SegmentRegister
from machine.bus.writer import INTERRUPT_DELIVERY, TASK_SWITCH
from machine.instructions.segmentation.descriptor_tables import find, mark_accessed
from machine.processor.cpu import FLAG_NT, FLAG_VM, Cpu
from machine.processor.debug_registers import DR6_BT

_BUSY, _LDT, _LOCAL = 2, 0x2, 4
_DR7_LOCAL = 0x155
_LOADED_FLAGS, _KEPT_BY_16_BITS = 0x25_7FD5, 0xFFFF_0000
# Offset of the saved part of a TSS, and that part: EIP, EFLAGS and eight registers. The selectors follow.
_STATE_32, _STATE_16 = 0x20, 0x0E
_WORDS_32, _WORDS_16 = struct.Struct("<10I"), struct.Struct("<10H")
_CR3, _LDT_32, _LDT_16, _TRAP = 0x1C, 0x60, 0x2A, 0x64
_MIN_LIMIT_32, _MIN_LIMIT_16 = 0x67, 0x2B
_REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi")
_SELECTORS = ("es", "cs", "ss", "ds", "fs", "gs")


class TaskFault(Fault):
    """An exception in the new task before its first instruction: the switch itself is complete."""


class _Way(Enum):
    """The kind of a task switch (table "Effect of a Task Switch on Busy Flag, NT Flag, ...")."""

    NEST = auto()
    """CALL, or an interrupt: the new task returns to the old one, which stays busy."""
    JUMP = auto()
    RETURN = auto()
    """IRET: to a busy task."""


class TaskSwitch:
    """Task switches on one processor."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    def nest(self, selector: int, return_address: int, rflags: int, external: int) -> None:
        """Switch to a task that will return to the current one.

        Raises Fault with nothing changed, or TaskFault if the switch is complete but the new task cannot begin.

        Args:
            selector: The selector of the new task's TSS.
            return_address: EIP to save in the old task.
            rflags: EFLAGS to save in the old task.
            external: The EXT bit of error codes.
        """
        self._switch(_Way.NEST, selector, return_address, rflags, external)

    def jump(self, selector: int, return_address: int, rflags: int, external: int) -> None:
        """Switch to a task that will not return; see `nest`."""
        self._switch(_Way.JUMP, selector, return_address, rflags, external)

    def return_to_previous(self, return_address: int, rflags: int) -> None:
        """Return to the task in which the current one is nested; see `nest`."""
        (selector,) = struct.unpack("<H", self._cpu.memory.read(self._cpu.registers.tr.base, 2))
        self._switch(_Way.RETURN, selector, return_address, rflags & ~FLAG_NT, 0)

    def _switch(self, way: "_Way", selector: int, return_address: int, rflags: int, external: int) -> None:
        memory, registers = self._cpu.memory, self._cpu.registers
        # CHECK
        at, task = self._task(selector, external, way)
        wide = task.system_type & 8
        new = memory.read(task.base, _MIN_LIMIT_32 + 1 if wide else _MIN_LIMIT_16 + 1)
        self._check_image(new, wide, selector & ~3 | external)
        old_at, old_image = self._old_image()
        old_busy = registers.gdtr.base + (registers.tr.selector & ~7) + ACCESSED_BYTE
        other = (task.base, 2) if way is _Way.NEST else (old_busy, 1)
        for address, size in ((at + ACCESSED_BYTE, 1), other):
            memory.push(address, memory.read(address, size), unit=1, by=TASK_SWITCH)  # all must be writable, else #PF
        # STATE
        link = registers.tr.selector
        self._save(old_at, old_image, return_address, rflags)
        if way is _Way.NEST:
            memory.push(task.base, struct.pack("<H", link), unit=2, by=TASK_SWITCH)
        else:
            self._set_busy(old_busy, busy=False)
        if way is not _Way.RETURN:
            self._set_busy(at + ACCESSED_BYTE, busy=True)
        new = memory.read(task.base, len(new))  # after saving: the old task may be the new one
        self._load(selector, task, new, FLAG_NT if way is _Way.NEST else 0)
        try:
            self._load_segments(new, wide, external)
        except Fault as fault:
            raise TaskFault(fault.vector, fault.error_code, fault.address) from None
        if wide and new[_TRAP] & 1:
            self._cpu.debug.met |= DR6_BT

    def _set_busy(self, address: int, *, busy: bool) -> None:
        (access,) = self._cpu.memory.read(address, 1)
        self._cpu.memory.push(address, bytes([access | _BUSY if busy else access & ~_BUSY]), unit=1, by=TASK_SWITCH)

    def push_error_code(self, error_code: int, external: int) -> None:
        """Push the error code of the exception that caused the switch on the new task's stack.

        Args:
            error_code: The error code; pushed as 16 or 32 bits, like the new task's TSS.
            external: The EXT bit of error codes.

        Raises:
            TaskFault: #SS if it does not fit, or #PF.
        """
        cpu, registers = self._cpu, self._cpu.registers
        size = 4 if registers.tr.flags >> 8 & 8 else 2
        mask = 0xFFFF_FFFF if registers.ss.flags & 1 << 22 else 0xFFFF
        top = registers.rsp - size & mask
        down = registers.ss.flags & 1 << 10
        if top + size - 1 > mask or (top <= registers.ss.limit if down else top + size - 1 > registers.ss.limit):
            raise TaskFault(SS, external)
        try:
            word = (error_code & (1 << 8 * size) - 1).to_bytes(size, "little")
            cpu.memory.push(registers.ss.base + top & 0xFFFF_FFFF, word, cpu.rflags, size, by=INTERRUPT_DELIVERY)
        except Fault as fault:
            raise TaskFault(fault.vector, fault.error_code, fault.address) from None
        registers.rsp = registers.rsp & ~mask & 0xFFFF_FFFF | top

    # CHECK

    def _task(self, selector: int, external: int, way: _Way) -> tuple[int, Segment]:
        """Return the linear address of the TSS descriptor, and the checked descriptor. Raises Fault."""
        error, returning = selector & ~3 | external, way is _Way.RETURN
        found = None if selector & _LOCAL or not selector & ~3 else find(self._cpu, selector)
        wanted = (TASK_BUSY, TASK_16_BUSY) if returning else (TASK_AVAILABLE, TASK_16_AVAILABLE)
        if found is None or found[1].system_type not in wanted:
            raise Fault(TS if returning else GP, error)
        if not found[1].present:
            raise Fault(NP, error)
        if found[1].limit < (_MIN_LIMIT_32 if found[1].system_type & 8 else _MIN_LIMIT_16):
            raise Fault(TS, error)
        return found

    def _check_image(self, new: bytes, wide: int, error: int) -> None:
        if not wide:
            return
        cr3, flags = (int.from_bytes(new[at : at + 4], "little") for at in (_CR3, _STATE_32 + 4))
        if flags & FLAG_VM:
            raise Fault(TS, error)
        if self._cpu.registers.cr[0] & CR0_PG and cr3 != self._cpu.registers.cr3:
            try:
                check_cr3(self._cpu.registers, self._cpu.memory, cr3)
            except Fault:
                raise Fault(TS, error) from None

    def _old_image(self) -> tuple[int, bytearray]:
        """Read the part of the current TSS that will be written. Raises PageFault if it cannot be.

        Its limit is not checked: only that of the new task's TSS must be valid (SDM volume 3, 8.3).

        Returns:
            The linear address of that part, and its bytes.
        """
        task, memory = self._cpu.registers.tr, self._cpu.memory
        wide = task.flags >> 8 & 8
        at = task.base + (_STATE_32 if wide else _STATE_16)
        image = memory.read(at, _WORDS_32.size + 24 if wide else _WORDS_16.size + 8)
        memory.push(at, image, unit=1, by=TASK_SWITCH)
        return at, bytearray(image)

    # STATE

    def _save(self, at: int, image: bytearray, return_address: int, rflags: int) -> None:
        registers = self._cpu.registers
        wide = registers.tr.flags >> 8 & 8
        words = [return_address, rflags, *(getattr(registers, name) for name in _REGISTERS)]
        layout, mask, step = (_WORDS_32, 0xFFFF_FFFF, 4) if wide else (_WORDS_16, 0xFFFF, 2)
        layout.pack_into(image, 0, *(word & mask for word in words))
        for index, name in enumerate(_SELECTORS if wide else _SELECTORS[:4]):
            struct.pack_into("<H", image, layout.size + step * index, getattr(registers, name).selector)
        self._cpu.memory.push(at, bytes(image), unit=1, by=TASK_SWITCH)

    def _load(self, selector: int, task: Segment, new: bytes, nested: int) -> None:
        """Load all registers. Segment registers get only their selectors until the segments are checked."""
        cpu, registers = self._cpu, self._cpu.registers
        wide = task.system_type & 8
        # Unicorn aborts unless the cached type is that of an available TSS.
        registers.tr.load(selector, task.base, task.limit, task.flags & ~(_BUSY << 8))
        registers.cr[0] |= CR0_TS
        registers.hflags |= HFLAG_TS
        layout, start = (_WORDS_32, _STATE_32) if wide else (_WORDS_16, _STATE_16)
        rip, flags, *general = layout.unpack_from(new, start)
        if not wide:
            general = [word | _KEPT_BY_16_BITS for word in general]
            flags |= cpu.rflags & _KEPT_BY_16_BITS
        elif registers.cr[0] & CR0_PG:
            cr3 = int.from_bytes(new[_CR3 : _CR3 + 4], "little")
            if cr3 != registers.cr3:  # else PAE paging keeps its pointers (SDM volume 3, 4.4.1)
                cpu.engine.paging.load_cr3(cr3)
        cpu.rflags = flags & _LOADED_FLAGS | 2 | nested
        registers.rip = rip
        for name, value in zip(_REGISTERS, general, strict=True):
            setattr(registers, name, value)
        for name, chosen in self._selectors(new, wide).items():
            getattr(registers, name).load(chosen, 0, 0, 0)
        registers.ldtr.load(self._ldt(new, wide), 0, 0, 0)
        if cpu.debug.dr7 & _DR7_LOCAL:
            cpu.debug.write(7, cpu.debug.dr7 & ~_DR7_LOCAL)
        cpu.set_privilege(registers.cs.selector & 3)
        if registers.cr[0] & CR0_PG:
            cpu.engine.paging.flush_tlb()

    @staticmethod
    def _selectors(new: bytes, wide: int) -> dict[str, int]:
        start, step = (_STATE_32 + _WORDS_32.size, 4) if wide else (_STATE_16 + _WORDS_16.size, 2)
        names = _SELECTORS if wide else _SELECTORS[:4]
        found = {name: struct.unpack_from("<H", new, start + step * index)[0] for index, name in enumerate(names)}
        return dict.fromkeys(_SELECTORS, 0) | found

    @staticmethod
    def _ldt(new: bytes, wide: int) -> int:
        return int(struct.unpack_from("<H", new, _LDT_32 if wide else _LDT_16)[0])

    # The new task's segments

    def _load_segments(self, new: bytes, wide: int, external: int) -> None:
        cpu, registers = self._cpu, self._cpu.registers
        self._load_ldt(self._ldt(new, wide), external)
        selectors = self._selectors(new, wide)
        ring = selectors["cs"] & 3
        self._load_code(selectors["cs"], external)
        self._load_stack(selectors["ss"], ring, external)
        cpu.set_privilege(ring)
        for name in ("ds", "es", "fs", "gs"):
            self._load_data(getattr(registers, name), selectors[name], ring, external)
        cpu.set_privilege(ring)
        if registers.rip > registers.cs.limit:
            raise Fault(GP, external)

    def _load_ldt(self, selector: int, external: int) -> None:
        if not selector & ~3:
            return
        found = None if selector & _LOCAL else find(self._cpu, selector)
        if found is None or found[1].system_type != _LDT or not found[1].present:
            raise Fault(TS, selector & ~3 | external)
        table = found[1]
        self._cpu.registers.ldtr.load(selector, table.base, table.limit, table.flags)

    def _segment(self, selector: int, external: int) -> tuple[int, Segment]:
        found = find(self._cpu, selector) if selector & ~3 else None
        if found is None:
            raise Fault(TS, selector & ~3 | external)
        return found

    def _commit(self, register: SegmentRegister, selector: int, at: int, found: Segment) -> None:
        mark_accessed(self._cpu, at, found)
        register.load(selector, found.base, found.limit, found.flags | ACCESSED << 8)

    def _load_code(self, selector: int, external: int) -> None:
        at, found = self._segment(selector, external)
        ring, error = selector & 3, selector & ~3 | external
        if not found.is_code or (found.level > ring if found.conforming else found.level != ring):
            raise Fault(TS, error)
        if not found.present:
            raise Fault(NP, error)
        self._commit(self._cpu.registers.cs, selector, at, found)

    def _load_stack(self, selector: int, ring: int, external: int) -> None:
        at, found = self._segment(selector, external)
        error = selector & ~3 | external
        if not found.is_data or not found.writable or found.level != ring or selector & 3 != ring:
            raise Fault(TS, error)
        if not found.present:
            raise Fault(SS, error)
        self._commit(self._cpu.registers.ss, selector, at, found)

    def _load_data(self, register: SegmentRegister, selector: int, ring: int, external: int) -> None:
        if not selector & ~3:
            return
        at, found = self._segment(selector, external)
        error = selector & ~3 | external
        readable = found.is_data or (found.is_code and found.writable)
        shared = found.is_code and found.conforming
        if not readable or (not shared and found.level < max(ring, selector & 3)):
            raise Fault(TS, error)
        if not found.present:
            raise Fault(NP, error)
        self._commit(register, selector, at, found)
