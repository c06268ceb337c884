"""Interrupt and exception delivery (SDM volume 3, chapter 6), which Unicorn leaves to its caller.

Every delivery has the same three parts. CHECK: gate, target segment, stack; a failed check raises another exception.
STATE: the frame is pushed, the ring changes, the handler is entered. RECORD: the events. This file has IA-32e mode and
the common parts of all modes; protected mode is in machine/interrupts/delivery_32.py. Real mode has no delivery: any
interrupt there is a shutdown.
"""

import struct

import msgspec

from machine.architecture.control_registers import CR0_PE
from machine.architecture.descriptors import ACCESSED, INTERRUPT_GATE, TRAP_GATE, Gate, Segment, gate_64
from machine.architecture.exceptions import CONTRIBUTORY, DB, DF, GP, NP, PF, SS, TS, Fault
from machine.architecture.paging import is_canonical
from machine.architecture.processor_state import HFLAG_CODE_64, HFLAG_INTERRUPTS_INHIBITED
from machine.bus.writer import INTERRUPT_DELIVERY
from machine.events import InterruptDelivered, InterruptRaised, InterruptSource, RingTransition, Shutdown
from machine.instructions.segmentation.descriptor_tables import find, mark_accessed
from machine.instructions.segmentation.task_switch import TaskFault
from machine.interrupts.delivery_32 import ProtectedModeDelivery
from machine.journal import Journal
from machine.processor.cpu import EFER_LMA, FLAG_IF, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VM, Cpu
from machine.state import Stateful

_FRAME, _FRAME_WITH_ERROR = struct.Struct("<5Q"), struct.Struct("<6Q")
_TSS_RSP0, _TSS_IST1 = 4, 36
_TRANSITION_CAUSES = {
    "software": "software_interrupt",
    "exception": "exception",
    "external": "external_interrupt",
    "nmi": "nmi",
}
_IDT_ERROR, _EXTERNAL_ERROR = 2, 1
_FREE_DELIVERIES = 16
_GATES = (INTERRUPT_GATE, TRAP_GATE)
_UNLIKE_HANDLERS = HFLAG_CODE_64 | HFLAG_INTERRUPTS_INHIBITED
_CLEARED = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM


class Interrupt(msgspec.Struct, frozen=True, gc=False):
    """An interrupt or exception to be delivered."""

    vector: int
    source: InterruptSource
    return_address: int
    """The RIP in the handler's frame."""
    error_code: int | None = None
    address: int | None = None
    """The faulting linear address, for #PF."""
    is_trap: bool = False
    """True if raised after its instruction, which has retired."""
    repeating: bool = False
    """True if raised between two iterations of a repeated string instruction."""

    @property
    def external_bit(self) -> int:
        """The EXT bit of an error code: 0 for an INT instruction, 1 for all other events."""
        return 0 if self.source == "software" else _EXTERNAL_ERROR


class Delivery(Stateful):
    """Interrupt delivery on one processor. `shut_down` is set by a triple fault."""

    STATE = ("shut_down", "_at", "_deliveries_here")
    WIRING = ("_cpu", "_journal", "_protected_mode")

    def __init__(self, cpu: Cpu, journal: Journal) -> None:
        self._cpu = cpu
        self._journal = journal
        self._protected_mode = ProtectedModeDelivery(cpu)
        self.shut_down = False
        self._at = -1
        self._deliveries_here = 0

    def deliver(self, interrupt: Interrupt) -> None:
        """Enter the handler, or the handler of an exception raised by the delivery, or shut down."""
        cpu = self._cpu
        self._let_time_pass()
        if interrupt.address is not None:
            cpu.registers.cr[2] = interrupt.address
        while True:
            self._record_raised(interrupt)
            try:
                self._enter(interrupt)
            except Fault as fault:
                following = self._combine(interrupt, fault)
                if following is None:
                    return
                interrupt = following
            else:
                return

    def _let_time_pass(self) -> None:
        """Spend 1 ns on each delivery after many in a row without a retired instruction.

        A handler whose first instruction faults is entered repeatedly. Without this, time would stand still, and no
        time limit would end the loop.
        """
        retired = self._cpu.hook.retired
        self._deliveries_here = self._deliveries_here + 1 if retired == self._at else 0
        self._at = retired
        if self._deliveries_here > _FREE_DELIVERIES:
            self._cpu.clock.spend(1)

    def _combine(self, first: Interrupt, second: Fault) -> Interrupt | None:
        """Return the event that a fault during a delivery leads to (SDM volume 3, table 6-5); None is shutdown."""
        in_new_task = isinstance(second, TaskFault)
        rip = first.return_address if first.source != "software" else self._cpu.registers.offset_of(self._cpu.hook.last)
        if in_new_task:
            rip = self._cpu.rip
        if second.address is not None:
            self._cpu.registers.cr[2] = second.address
        if first.source == "exception":
            if first.vector == DF:
                self._shut_down(second.vector, rip)
                return None
            contributory = second.vector in CONTRIBUTORY
            if (first.vector in CONTRIBUTORY and contributory) or (
                first.vector == PF and (contributory or second.vector == PF)
            ):
                return Interrupt(DF, "exception", rip, 0)
        if first.source == "software" and not in_new_task:
            self._cpu.hook.retired -= 1
            # InterruptRaised was recorded after INT was counted: time must not go back
            self._cpu.clock.spend(self._cpu.clock.ns_per_instruction)
        return Interrupt(second.vector, "exception", rip, second.error_code, second.address)

    def _shut_down(self, vector: int, rip: int) -> None:
        self.shut_down = True
        self._journal.emit(Shutdown, vector, rip)

    def _record_raised(self, interrupt: Interrupt) -> None:
        self._journal.emit(
            InterruptRaised,
            interrupt.vector,
            interrupt.source,
            interrupt.error_code,
            interrupt.address,
            interrupt.return_address,
            self._cpu.registers.cpl,
        )

    def _enter(self, interrupt: Interrupt) -> None:
        registers = self._cpu.registers
        if registers.efer & EFER_LMA:
            self._enter_64(interrupt)
        elif registers.cr[0] & CR0_PE:
            self._enter_32(interrupt)
        else:
            self._shut_down(interrupt.vector, interrupt.return_address)

    def _saved_flags(self, interrupt: Interrupt) -> int:
        """Return the pushed RFLAGS. RF is set to restart the instruction without its breakpoint (18.3.1.1)."""
        fault = interrupt.source == "exception" and interrupt.vector != DB and not interrupt.is_trap
        return self._cpu.hook.rflags | (FLAG_RF if fault or interrupt.repeating else 0)

    def _enter_32(self, interrupt: Interrupt) -> None:
        old_ring = self._cpu.registers.cpl
        self._protected_mode.enter(
            interrupt.vector,
            interrupt.return_address,
            self._saved_flags(interrupt),
            interrupt.error_code,
            software=interrupt.source == "software",
        )
        registers = self._cpu.registers
        self._record_delivered(interrupt, old_ring, registers.cpl, registers.rip, registers.rsp)

    def _enter_64(self, interrupt: Interrupt) -> None:
        cpu, registers, hook = self._cpu, self._cpu.registers, self._cpu.hook
        # CHECK
        hflags, rflags, cs, ss = registers.hflags, hook.rflags, registers.cs, registers.ss
        old_ring = hflags & 3
        if hook.known_interrupt and interrupt.source == "software" and cpu.engine.deliver_known():
            self._record_delivered(interrupt, old_ring, registers.hflags & 3, registers.rip, registers.rsp)
            return
        gate = self._gate(interrupt, old_ring)
        target = self._code_segment(gate, interrupt, old_ring)
        ring = old_ring if target.conforming else target.level
        stack, new_stack = self._stack(gate, ring, old_ring, interrupt)
        saved = self._saved_flags(interrupt)
        words = (interrupt.return_address, cs.selector, saved, registers.rsp, ss.selector)
        if interrupt.error_code is None:
            stack -= 40
            frame = _FRAME.pack(*words)
        else:
            stack -= 48
            frame = _FRAME_WITH_ERROR.pack(interrupt.error_code, *words)
        if not is_canonical(stack) or not is_canonical(stack + len(frame) - 1):
            raise Fault(SS, interrupt.external_bit)
        cpu.memory.push(stack, frame, rflags, by=INTERRUPT_DELIVERY)
        # STATE
        cs.load(gate.selector & ~3 | ring, 0, target.limit, target.flags | ACCESSED << 8)
        if new_stack:
            ss.load(ring, 0, 0, ring << 13)
        if new_stack or ring != old_ring or hflags & _UNLIKE_HANDLERS != HFLAG_CODE_64:
            cpu.set_privilege(ring)
        registers.rip, registers.rsp = gate.handler, stack
        hook.rflags = rflags & ~cleared_flags(gate)
        # RECORD
        self._record_delivered(interrupt, old_ring, ring, gate.handler, stack)

    def _record_delivered(self, interrupt: Interrupt, old_ring: int, ring: int, handler: int, stack: int) -> None:
        if self._cpu.coverage is not None:
            self._cpu.coverage.enter(self._cpu.linear_rip)
        self._journal.emit(InterruptDelivered, interrupt.vector, handler, stack)
        if ring != old_ring:
            cause = _TRANSITION_CAUSES[interrupt.source]
            vector, error_code = interrupt.vector, interrupt.error_code
            self._journal.emit(RingTransition, old_ring, ring, cause, vector, error_code, handler, stack)

    def _gate(self, interrupt: Interrupt, ring: int) -> Gate:
        """Return the IDT entry, checked (SDM volume 3, 6.12 and figure 6-8)."""
        vector, software = interrupt.vector, interrupt.source == "software"
        idtr = self._cpu.registers.idtr
        offset = vector * 16
        at = idtr.base + offset
        inside = offset + 15 <= idtr.limit and is_canonical(at) and is_canonical(at + 15)
        gate = gate_64(self._cpu.memory.read(at, 16)) if inside else None
        error = vector * 8 + _IDT_ERROR + (0 if software else _EXTERNAL_ERROR)
        if gate is None or gate.kind not in _GATES or (software and gate.level < ring):
            raise Fault(GP, error)
        if not gate.present:
            raise Fault(NP, error)
        if not is_canonical(gate.handler):
            raise Fault(GP, interrupt.external_bit)
        return gate

    def _code_segment(self, gate: Gate, interrupt: Interrupt, ring: int) -> Segment:
        """Return the handler's code segment, checked (SDM volume 3, 6.14.1)."""
        selector = gate.selector & ~3
        if selector == 0:
            raise Fault(GP, interrupt.external_bit)
        place = find(self._cpu, selector)
        if place is None:
            raise Fault(GP, selector + interrupt.external_bit)
        at, found = place
        if not found.is_code or found.level > ring:
            raise Fault(GP, selector + interrupt.external_bit)
        if not found.present:
            raise Fault(NP, selector + interrupt.external_bit)
        if not found.long or found.default_32:
            raise Fault(GP, selector + interrupt.external_bit)
        if not found.flags & ACCESSED << 8:
            mark_accessed(self._cpu, at, found)
        return found

    def _stack(self, gate: Gate, ring: int, old_ring: int, interrupt: Interrupt) -> tuple[int, bool]:
        """Return the stack pointer for the frame, from IST, ring or RSP, and True if SS becomes null."""
        offset = stack_pointer_offset(gate, ring, old_ring)
        if offset is None:
            return self._cpu.registers.rsp & ~0xF, False
        task = self._cpu.registers.tr
        if offset + 7 > task.limit:
            raise Fault(TS, task.selector & ~3 | interrupt.external_bit)
        if not is_canonical(task.base + offset) or not is_canonical(task.base + offset + 7):
            raise Fault(GP, interrupt.external_bit)
        stack = int.from_bytes(self._cpu.memory.read(task.base + offset, 8), "little")
        if not is_canonical(stack):
            raise Fault(SS, interrupt.external_bit)
        return stack & ~0xF, True


def stack_pointer_offset(gate: Gate, ring: int, old_ring: int) -> int | None:
    """Return the offset of the handler's stack pointer in a 64-bit TSS; None if the handler continues on RSP."""
    if gate.interrupt_stack_table:
        return _TSS_IST1 + 8 * (gate.interrupt_stack_table - 1)
    return _TSS_RSP0 + 8 * ring if ring != old_ring else None


def cleared_flags(gate: Gate) -> int:
    """Return the bits of RFLAGS that are clear in the handler (SDM volume 3, 6.12.1.3)."""
    return _CLEARED | (FLAG_IF if gate.kind == INTERRUPT_GATE else 0)
