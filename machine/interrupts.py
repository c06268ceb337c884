"""Interrupt and exception delivery in IA-32e mode (SDM volume 3, 6.14), which Unicorn leaves to us.

Every delivery has the same three parts. CHECK: gate, target segment, stack; a failed check is another exception.
STATE: frame pushed, ring changed, handler entered. RECORD: what happened, as events. Outside long mode there is
no delivery: any interrupt there is a shutdown.
"""

import struct
from functools import lru_cache

import msgspec

from machine.cpu import FLAG_IF, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VM, Cpu
from machine.events import InterruptDelivered, InterruptRaised, InterruptSource, RingTransition, Shutdown
from machine.journal import Journal
from machine.paging import is_canonical
from machine.ram import PAGE_SIZE
from machine.registers import RegisterGroup

DE, DB, NMI, BP, OF, BR, UD, NM, DF = range(9)
TS, NP, SS, GP, PF = range(10, 15)
MF, AC, MC, XM = range(16, 20)

WITH_ERROR_CODE = frozenset([DF, TS, NP, SS, GP, PF, AC])
_CONTRIBUTORY = frozenset([DE, TS, NP, SS, GP])
_INTERRUPT_GATE, _TRAP_GATE = 0xE, 0xF
_FRAME, _FRAME_WITH_ERROR = struct.Struct("<5Q"), struct.Struct("<6Q")
_TSS_RSP0, _TSS_IST1 = 4, 36
_TRANSITION_CAUSES = {
    "software": "software_interrupt",
    "exception": "exception",
    "external": "external_interrupt",
    "nmi": "nmi",
}
_IDT_ERROR, _EXTERNAL_ERROR = 2, 1


class Interrupt(msgspec.Struct, frozen=True, gc=False):
    """One that is to be delivered. `return_address` is what the handler will see as RIP."""

    vector: int
    source: InterruptSource
    return_address: int
    error_code: int | None = None
    address: int | None = None
    """The faulting linear address, for #PF."""


def interrupt_met(cpu: Cpu, vector: int) -> Interrupt:
    """The interrupt that Unicorn reported by its vector. A fault's instruction is taken back from the count."""
    software, error_code = cpu.exceptions.take()
    if software:
        return Interrupt(vector, "software", cpu.rip)
    cpu.take_back_fault()
    address = cpu.read_register("CR2") if vector == PF else None
    return Interrupt(vector, "exception", cpu.rip, error_code if vector in WITH_ERROR_CODE else None, address)


def invalid_opcode(cpu: Cpu) -> Interrupt:
    """The #UD of an instruction that could not be decoded, or of UD2."""
    cpu.take_back_fault()
    return Interrupt(UD, "exception", cpu.rip)


class _Fault(Exception):  # noqa: N818 - the processor's, not Python's
    """A check of delivery failed: this exception takes its place."""

    def __init__(self, vector: int, error_code: int, address: int | None = None) -> None:
        self.vector, self.error_code, self.address = vector, error_code, address


class _Gate(msgspec.Struct, frozen=True, gc=False):
    selector: int
    handler: int
    kind: int
    interrupt_stack_table: int
    level: int
    """The least privileged ring that may use it by software."""
    present: bool


class _CodeSegment(msgspec.Struct, frozen=True, gc=False):
    usable: bool
    """64-bit code, whatever its privilege."""
    conforming: bool
    level: int
    present: bool


@lru_cache(maxsize=1024)
def _decode_gate(raw: bytes) -> _Gate:
    """An entry of the IDT (SDM volume 3, figure 6-8)."""
    low, selector, ist, attributes, middle, high, _ = struct.unpack("<HHBBHII", raw)
    handler = low | middle << 16 | high << 32
    return _Gate(selector, handler, attributes & 0x1F, ist & 7, attributes >> 5 & 3, bool(attributes & 0x80))


@lru_cache(maxsize=1024)
def _decode_code_segment(raw: bytes) -> _CodeSegment:
    """An entry of the GDT (SDM volume 3, 3.4.5)."""
    access, flags = raw[5], raw[6] >> 4
    usable = access & 0x18 == 0x18 and flags & 0x6 == 0x2
    return _CodeSegment(usable, bool(access & 0x04), access >> 5 & 3, bool(access & 0x80))


class Delivery:
    """Delivers interrupts on one processor. `shut_down` is set when a third fault ends it all."""

    def __init__(self, cpu: Cpu, journal: Journal) -> None:
        self._cpu = cpu
        self._journal = journal
        self._current = cpu.privilege_gate.current
        self._inside = RegisterGroup(cpu.uc, ["CS", "RFLAGS", "RSP", "RIP"])
        self.shut_down = False

    def deliver(self, interrupt: Interrupt) -> None:
        """Enter the handler, or that of the exception that delivery itself raises, or shut down."""
        while True:
            self._record_raised(interrupt)
            try:
                self._enter(interrupt)
            except _Fault as fault:
                following = self._combine(interrupt, fault)
                if following is None:
                    return
                interrupt = following
            else:
                return

    def _combine(self, first: Interrupt, second: _Fault) -> Interrupt | None:
        """What two exceptions make together (SDM volume 3, table 6-5); None is shutdown."""
        rip = first.return_address if first.source != "software" else self._cpu.state.last
        if first.source == "exception":
            if first.vector == DF:
                self.shut_down = True
                self._journal.emit(Shutdown, second.vector, rip)
                return None
            contributory = second.vector in _CONTRIBUTORY
            if (first.vector in _CONTRIBUTORY and contributory) or (
                first.vector == PF and (contributory or second.vector == PF)
            ):
                return Interrupt(DF, "exception", rip, 0)
        if first.source == "software":
            self._cpu.state.retired -= 1
        if second.address is not None:
            self._cpu.write_register("CR2", second.address)
        return Interrupt(second.vector, "exception", rip, second.error_code, second.address)

    def _record_raised(self, interrupt: Interrupt) -> None:
        self._journal.emit(
            InterruptRaised,
            interrupt.vector,
            interrupt.source,
            interrupt.error_code,
            interrupt.address,
            interrupt.return_address,
            self._cpu.state.cpl,
        )

    def _enter(self, interrupt: Interrupt) -> None:
        cpu = self._cpu
        # CHECK
        cs, ss, _ = self._current.read()
        old_ring = cpu.state.cpl
        gate = self._gate(interrupt, old_ring)
        ring = self._target_ring(gate, interrupt, old_ring)
        stack = self._stack(gate, ring, old_ring)
        rflags = cpu.rflags | (FLAG_RF if interrupt.source == "exception" and interrupt.vector != DB else 0)
        frame = [interrupt.return_address, cs, rflags, cpu.rsp, ss]
        if interrupt.error_code is not None:
            frame.insert(0, interrupt.error_code)
        # STATE
        stack -= 8 * len(frame)
        self._push(stack, (_FRAME if len(frame) == 5 else _FRAME_WITH_ERROR).pack(*frame))
        cleared = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (FLAG_IF if gate.kind == _INTERRUPT_GATE else 0)
        rflags = cpu.rflags & ~cleared
        if ring != old_ring:
            cpu.privilege_gate.enter_ring0(gate.selector, gate.handler, stack, rflags)
        else:
            self._inside.values[:] = [gate.selector | ring, rflags, stack, gate.handler]
            self._inside.write()
            cpu.state.next = gate.handler
        cpu.rip, cpu.rsp, cpu.rflags = gate.handler, stack, rflags
        # RECORD
        self._journal.emit(InterruptDelivered, interrupt.vector, gate.handler, stack)
        if ring != old_ring:
            cause = _TRANSITION_CAUSES[interrupt.source]
            self._journal.emit(
                RingTransition,
                old_ring,
                ring,
                cause,
                interrupt.vector,
                interrupt.error_code,
                gate.handler,
                stack,
            )

    def _gate(self, interrupt: Interrupt, ring: int) -> _Gate:
        """The IDT entry, checked (SDM volume 3, 6.12 and figure 6-8)."""
        vector, software = interrupt.vector, interrupt.source == "software"
        error = vector * 8 + _IDT_ERROR + (0 if software else _EXTERNAL_ERROR)
        idtr = self._current.tables["IDTR"]
        if vector * 16 + 15 > idtr.limit:
            raise _Fault(GP, error)
        gate = _decode_gate(self._read_supervisor(idtr.base + vector * 16, 16))
        if gate.kind not in (_INTERRUPT_GATE, _TRAP_GATE):
            raise _Fault(GP, error)
        if software and gate.level < ring:
            raise _Fault(GP, error)
        if not gate.present:
            raise _Fault(NP, error)
        if not is_canonical(gate.handler):
            raise _Fault(GP, 0 if software else _EXTERNAL_ERROR)
        return gate

    def _target_ring(self, gate: _Gate, interrupt: Interrupt, ring: int) -> int:
        """The privilege level of the handler's code segment, checked (SDM volume 3, 6.14.1)."""
        external = 0 if interrupt.source == "software" else _EXTERNAL_ERROR
        selector = gate.selector & ~3
        if selector == 0:
            raise _Fault(GP, external)
        gdtr = self._current.tables["GDTR"]
        if selector & 4 or selector + 7 > gdtr.limit:
            raise _Fault(GP, selector + external)
        segment = _decode_code_segment(self._read_supervisor(gdtr.base + selector, 8))
        if not segment.usable or segment.level > ring:
            raise _Fault(GP, selector + external)
        if not segment.present:
            raise _Fault(NP, selector + external)
        return ring if segment.conforming else segment.level

    def _stack(self, gate: _Gate, ring: int, old_ring: int) -> int:
        """Where the frame goes: the interrupt stack table, the ring's stack, or the current one, aligned."""
        task = self._current.tables["TR"]
        if gate.interrupt_stack_table:
            offset = _TSS_IST1 + 8 * (gate.interrupt_stack_table - 1)
        elif ring != old_ring:
            offset = _TSS_RSP0 + 8 * ring
        else:
            return self._cpu.rsp & ~0xF
        if offset + 7 > task.limit:
            raise _Fault(TS, task.selector & ~3)
        stack = int.from_bytes(self._read_supervisor(task.base + offset, 8), "little")
        if not is_canonical(stack):
            raise _Fault(SS, 0)
        return stack & ~0xF

    def _push(self, address: int, data: bytes) -> None:
        """Store a frame as the processor does in supervisor mode."""
        if not is_canonical(address):
            raise _Fault(SS, 0)
        translations, ram, end = self._cpu.translations, self._cpu.ram, address + len(data) - 1
        found = translations.lookup(end)
        if found is None or not found.writable:
            raise _Fault(PF, 2 | (found is not None), end)
        start = translations.physical(address, len(data))
        if start is not None:
            ram.view[start : start + len(data)] = data
            return
        if end % PAGE_SIZE >= len(data) - 1:
            raise _Fault(PF, 2, address)
        split = -address % PAGE_SIZE
        self._push(address, data[:split])
        self._push(address + split, data[split:])

    def _read_supervisor(self, address: int, length: int) -> bytes:
        data = self._cpu.translations.read(address, length)
        if data is None:
            raise _Fault(PF, 0, address)
        return data
