"""The machine: a PC with one processor, RAM, a bus with devices and one virtual clock.

`run` is the whole of it: take interrupts that are due, let the processor execute up to the next thing that
happens, and look at why it stopped.
"""

from dataclasses import dataclass
from enum import Enum

from machine.coprocessor import INSTRUCTION_LENGTH, Coprocessor
from machine.cpu import EFER_LMA, FLAG_IF, Cpu
from machine.device import Bus, Device
from machine.devices import debug_exit, local_apic, post_code, scrub_engine, uart16550
from machine.errors import MachineError
from machine.events import (
    DescriptorTableLoaded,
    Halted,
    InterruptReturned,
    ModeSwitched,
    ProcessorMode,
    Recorder,
    RegisterWritten,
    RingTransition,
    Shutdown,
)
from machine.interrupts import GP, NMI, Delivery, Interrupt, interrupt_met, invalid_opcode
from machine.journal import Journal
from machine.ram import Ram
from machine.registers import TABLE_REGISTERS
from machine.signals import SignalsHeld
from machine.step_hook import NEVER, Stop, is_far_jump

_SYSTEM_REGISTERS = ("CR0", "CR3", "CR4", "EFER", "DR7")
_LONGEST_SLICE_NS = 50_000_000
_LONGEST_RUN = 10_000_000
"""Instructions the processor executes before Python gets a chance to see signals of the host, such as Ctrl-C."""
_STI, _IRET = 0xFB, 0xCF


class Outcome(Enum):
    """Why `Machine.run` returned."""

    HALTED = "halted"
    """HLT, and nothing is armed that could wake the processor."""
    SHUTDOWN = "shutdown"
    """Triple fault."""
    STOPPED = "stopped"
    """A device or an observer asked for it; `run` goes on from here."""
    LIMIT = "limit"
    """Virtual time reached the limit given."""


@dataclass(frozen=True, slots=True)
class MachineConfiguration:
    """What the machine is built of.

    `reserve` asks for inaccessible host address space behind RAM; `portable` forgoes native code.
    """

    ram_size: int
    ns_per_instruction: int = 1
    reserve: int = 0
    portable: bool = False


@dataclass(slots=True)
class _Entered:
    """An interrupt taken within ring 0, whose return is waited for."""

    vector: int
    return_address: int
    rsp: int


class Machine:
    """One machine. Devices with a fixed place are attributes; `bus` takes more."""

    def __init__(self, configuration: MachineConfiguration, recorder: Recorder | None = None) -> None:
        if configuration.ns_per_instruction < 1:
            raise MachineError("an instruction takes at least 1 ns")
        self.configuration = configuration
        self.ram = Ram(configuration.ram_size, configuration.reserve)
        self.bus = Bus()
        self.cpu = Cpu(self.ram, self.bus, configuration.ns_per_instruction, portable=configuration.portable)
        self.clock = self.cpu.clock
        self.journal = Journal(self.clock, recorder)
        self.delivery = Delivery(self.cpu, self.journal)
        self.coprocessor: Coprocessor | None = None
        self.uart = uart16550.Uart16550()
        self.post_code = post_code.PostCode()
        self.debug_exit = debug_exit.DebugExit(self.request_stop)
        self.local_apic = local_apic.LocalApic(self.clock)
        self.scrub_engine = scrub_engine.ScrubEngine(self.ram, self.clock)
        self.bus.attach_ports(self.uart, uart16550.PORT, 8)
        self.bus.attach_ports(self.post_code, post_code.PORT, 1)
        self.bus.attach_ports(self.debug_exit, debug_exit.PORT, 1)
        self.bus.attach_memory(self.local_apic, local_apic.ADDRESS)
        self.bus.attach_memory(self.scrub_engine, scrub_engine.ADDRESS)
        self._timed: list[Device] = [self.local_apic]
        self.halted = False
        self.mode: ProcessorMode = "protected"
        self._limit_ns: int | None = None
        self._run_end_ns = 0
        self._stop_requested = False
        self._nmi_requested = False
        self._entered: list[_Entered] = []
        self._causes: dict[int, str] = {}
        self.local_apic.rescheduled = self._arm_deadline

    # What the outside may ask for

    def start(self, entry: int, registers: dict[str, int]) -> None:
        """Begin at `entry` in 32-bit protected mode with the given registers."""
        self.cpu.enter_protected_mode(entry)
        for name, value in registers.items():
            self.cpu.write_register(name, value)
        self.mode = "protected"
        self.journal.emit(ModeSwitched, "reset", "protected", entry)

    def request_stop(self) -> None:
        """Let `run` return after the current instruction."""
        self._stop_requested = True
        self.clock.stop()

    def request_interrupt(self, vector: int) -> None:
        """Raise an external interrupt through the local APIC. Raises MachineError for a reserved vector."""
        if not 16 <= vector <= 255:
            raise MachineError(f"vector {vector} is not one a device can raise (16 to 255)")
        self.local_apic.request(vector)

    def request_nmi(self) -> None:
        """Pull the non-maskable interrupt line."""
        self._nmi_requested = True

    def run(self, limit_ns: int | None = None) -> Outcome:
        """Run until something ends it. Raises EmulatorFault when the emulator breaks its own rules.

        Ctrl-C stops the machine between two instructions and is raised from here; `run` then goes on from there.
        """
        with SignalsHeld(notify=self.request_stop):
            return self._run(limit_ns)

    def _run(self, limit_ns: int | None) -> Outcome:
        cpu, state, clock, apic = self.cpu, self.cpu.state, self.clock, self.local_apic
        self._limit_ns = limit_ns
        while True:
            if self._stop_requested:
                self._stop_requested = False
                return Outcome.STOPPED
            if self.delivery.shut_down:
                return Outcome.SHUTDOWN
            now, deadline = clock.now_ns, self._next_deadline()
            if deadline is not None and deadline <= now:
                if limit_ns is not None and now >= limit_ns:
                    return Outcome.LIMIT
                self._tick(now)
                deadline = self._next_deadline()
            pending = apic.pending()
            if self._nmi_requested:
                self._nmi_requested = False
                self._deliver(Interrupt(NMI, "nmi", cpu.rip))
            elif pending is not None and cpu.rflags & FLAG_IF:
                apic.acknowledge(pending)
                self._deliver(Interrupt(pending, "external", cpu.rip))
            elif self.halted:
                if deadline is None or not cpu.rflags & FLAG_IF:
                    return Outcome.HALTED
                clock.spend(max(0, deadline - now))
            elif state.cpl == 3 and self.coprocessor is not None and cpu.rip == self.coprocessor.address:
                self._run_coprocessor(self.coprocessor, deadline)
            else:
                state.watch_if = pending is not None
                self._run_end_ns = now + _LONGEST_RUN * clock.ns_per_instruction
                self._arm(deadline)
                self._execute()

    # Interrupts

    def _tick(self, now: int) -> None:
        for device in self._timed:
            if device.deadline_ns is not None and device.deadline_ns <= now:
                device.tick(now)

    def _deliver(self, interrupt: Interrupt) -> None:
        self.halted = False
        ring, rsp = self.cpu.state.cpl, self.cpu.rsp
        if not self.cpu.efer & EFER_LMA:
            self.delivery.shut_down = True
            self.journal.emit(Shutdown, interrupt.vector, self.cpu.rip)
            return
        self.delivery.deliver(interrupt)
        if ring == self.cpu.state.cpl:
            self._entered.append(_Entered(interrupt.vector, interrupt.return_address, rsp))
            self.cpu.state.breakpoint = interrupt.return_address

    # Execution

    def _next_deadline(self) -> int | None:
        found = self._limit_ns
        for device in self._timed:
            at = device.deadline_ns
            if at is not None and (found is None or at < found):
                found = at
        return found

    def _arm_deadline(self) -> None:
        """Let the processor run to the next deadline, unless there is something to look at before."""
        pending = self.local_apic.pending() is not None and not self.cpu.state.watch_if
        if self._stop_requested or self.cpu.port_fault or pending:
            self.clock.stop()
        else:
            self._arm(self._next_deadline())

    def _arm(self, deadline: int | None) -> None:
        self.clock.arm(self._run_end_ns if deadline is None else min(deadline, self._run_end_ns))

    def _execute(self) -> None:
        """Let the processor run, and look at why it stopped."""
        self._stopped(self.cpu.execute())

    def _execute_one(self) -> Stop:
        """Execute the instruction at RIP whatever it is, and nothing more."""
        state = self.cpu.state
        state.pass_once, state.watch_if = self.cpu.rip, 0
        state.deadline = state.retired + 1
        stop = self.cpu.execute()
        state.pass_once = NEVER
        self._stopped(stop)
        return stop

    def _stopped(self, stop: Stop) -> None:
        """Do what a stop is there for."""
        cpu, state = self.cpu, self.cpu.state
        if cpu.cs & 3 != state.cpl:  # whatever else stopped it: a deadline or a fault may come right behind an IRET
            self._ring_changed()
        if cpu.port_fault:
            cpu.undo_port_access()
            self._deliver(Interrupt(GP, "exception", cpu.rip, 0))
        elif stop is Stop.INTERRUPT:
            self._deliver(interrupt_met(cpu, state.vector))
        elif stop is Stop.SYSTEM_INSTRUCTION:
            self._execute_system_instruction()
        elif stop is Stop.INVALID_INSTRUCTION:
            self._deliver(invalid_opcode(cpu))
        elif stop is Stop.INTERRUPTS_ENABLED:
            self._leave_shadow()
        elif stop is Stop.BREAKPOINT:
            self._returned_within_ring()
        elif stop is Stop.HALT:
            self.halted = True
            self.journal.emit(Halted, bool(cpu.rflags & FLAG_IF))

    def _leave_shadow(self) -> None:
        """After STI one more instruction completes before an interrupt is taken (SDM volume 2, STI)."""
        code = self.cpu.translations.read(self.cpu.state.last, 1)
        if code is not None and code[0] == _STI:
            self._execute_one()

    def _returned_within_ring(self) -> None:
        entered, state = self._entered[-1], self.cpu.state
        if self.cpu.rsp == entered.rsp:
            self._entered.pop()
            state.breakpoint = self._entered[-1].return_address if self._entered else NEVER
            self.journal.emit(InterruptReturned, entered.vector, entered.return_address)
        else:
            state.pass_once = self.cpu.rip

    def _ring_changed(self) -> None:
        cpu, state = self.cpu, self.cpu.state
        previous, state.cpl = state.cpl, cpu.cs & 3
        state.next = cpu.rip
        self._entered.clear()
        state.breakpoint = NEVER
        cause = self._causes.get(state.last)
        if cause is None:
            code = cpu.translations.read(state.last, 2) or b"\0\0"
            cause = "interrupt_return" if _IRET in code else "far_return"
            self._causes[state.last] = cause
        self.journal.emit(RingTransition, previous, state.cpl, cause, None, None, cpu.rip, cpu.rsp)

    def _run_coprocessor(self, coprocessor: Coprocessor, deadline: int | None) -> None:
        cpu = self.cpu
        budget = _LONGEST_SLICE_NS if deadline is None else min(_LONGEST_SLICE_NS, deadline - self.clock.now_ns)
        result = coprocessor.execute(cpu.rax, budget)
        if result is not None:
            cpu.complete_instruction(INSTRUCTION_LENGTH, result.rax, result.rcx, result.rdi)

    # Registers that the processor's mode and protection hang on

    def _system_state(self) -> tuple[dict[str, int], dict[str, tuple[int, int, int]]]:
        cpu = self.cpu
        registers = {name: cpu.read_register(name) for name in _SYSTEM_REGISTERS}
        return registers, {name: cpu.read_table_register(name) for name in TABLE_REGISTERS}

    def _mode_after(self, registers: dict[str, int], rip: int) -> ProcessorMode:
        """The mode changes with EFER.LMA, and with the code segment when IA-32e mode is active."""
        if not registers["EFER"] & EFER_LMA:
            return "protected"
        if self.mode == "protected":
            return "compatibility"
        if not is_far_jump(self.cpu.translations.read(rip, 2) or b""):
            return self.mode
        return "long" if self.cpu.in_64_bit_code() else "compatibility"

    def _execute_system_instruction(self) -> None:
        rip = self.cpu.rip
        before, tables_before = self._system_state()
        if self._execute_one() is not Stop.DEADLINE:
            return
        after, tables_after = self._system_state()
        for name, value in after.items():
            if value != before[name]:
                self.journal.emit(RegisterWritten, name, before[name], value, rip)
        for name, (selector, base, limit) in tables_after.items():
            if tables_before[name] != (selector, base, limit):
                self.journal.emit(DescriptorTableLoaded, name, selector, base, limit, rip)
        mode = self._mode_after(after, rip)
        if mode != self.mode:
            self.journal.emit(ModeSwitched, self.mode, mode, rip)
            self.mode = mode
        self.cpu.flush_translations()
