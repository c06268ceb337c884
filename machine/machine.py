"""The machine: a PC with one processor, RAM, a bus with devices and one virtual clock.

`run` is the whole of it: take interrupts that are due, let the processor execute up to the next thing that
happens, and look at why it stopped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from machine import control_registers
from machine.alignment import AlignmentCheck
from machine.chipset import Chipset
from machine.coprocessor import INSTRUCTION_LENGTH, Coprocessor
from machine.cpu import EFER_LMA, FLAG_IF, FLAG_RF, FLAG_TF, Cpu
from machine.debug_registers import DR6_BS
from machine.device import Bus
from machine.done import Done
from machine.errors import MachineError
from machine.events import (
    Halted,
    ModeSwitched,
    ProcessorMode,
    Recorder,
    RingTransition,
)
from machine.exceptions import DB, NMI, UD, Fault
from machine.faults import exception_met, take_back
from machine.flat_mode import enter_flat_mode
from machine.interrupt_returns import InterruptReturns
from machine.interrupts import Delivery, Interrupt
from machine.journal import Journal
from machine.msrs import Msrs
from machine.observed_registers import ObservedRegisters
from machine.opcodes import Action, action
from machine.ram import Ram
from machine.signals import SignalsHeld
from machine.simd_exceptions import SimdExceptions
from machine.snapshot import MachineSnapshot
from machine.state import State, Stateful
from machine.step_hook import ADDRESSES, NEVER, Stop
from machine.system_instructions import SystemInstructions
from machine.x87_exceptions import X87Exceptions

_LONGEST_SLICE_NS = 50_000_000
_LONGEST_RUN = 10_000_000
"""Instructions the processor executes before Python gets a chance to see signals of the host, such as Ctrl-C."""


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

    `reserve` asks for inaccessible host address space behind RAM; `portable` forgoes native code. No PC has a scrub
    engine and a hash engine: without `engines` the machine is one. `files` are what fw_cfg hands out, by name.
    """

    ram_size: int
    ns_per_instruction: int = 1
    reserve: int = 0
    portable: bool = False
    engines: bool = True
    files: Mapping[str, bytes] = field(default_factory=dict)


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
        self.chipset = Chipset(self.bus, self.ram, self.clock, self.request_stop, configuration.files)
        if configuration.engines:
            self.chipset.attach_engines()
        self.uart = self.chipset.uart
        self.post_code = self.chipset.post_code
        self.debug_exit = self.chipset.debug_exit
        self.local_apic = self.chipset.local_apic
        self.scrub_engine = self.chipset.scrub_engine
        self.msrs = Msrs(self.cpu, self.local_apic)
        self._observed = ObservedRegisters(self.cpu, self.journal)
        self._alignment = AlignmentCheck(self.cpu)
        self._simd = SimdExceptions(self.cpu)
        self._x87 = X87Exceptions(self.cpu)
        self._system = SystemInstructions(self.cpu, self.msrs, self.local_apic, self._x87)
        self.halted = False
        self.mode: ProcessorMode = "protected"
        self._limit_ns: int | None = None
        self._run_end_ns = 0
        self._stop_requested = False
        self._nmi_blocked = False
        self.at_stop = False
        """The last run has ended in front of an address of `stop_at`."""
        self._cut_short = False
        """Time has passed in a sleep or in the coprocessor; whether that was all of it, the next deadline says."""
        self._returns = InterruptReturns(self.cpu, self.journal)
        self._parts: tuple[Stateful, ...] = (
            *(self.clock, self.journal, self.delivery, self.cpu.debug, self.msrs),
            *(self._returns, self._simd, self._x87),
        )
        self.chipset.rescheduled = self._arm_deadline

    # What the outside may ask for

    def start(self, entry: int, registers: dict[str, int]) -> None:
        """Begin at `entry` in 32-bit protected mode with the given registers."""
        enter_flat_mode(self.cpu, entry)
        for name, value in registers.items():
            self.cpu.write_register(name, value)
        self.cpu.debug.reset()
        self.halted = self._nmi_blocked = False
        self._simd.follow_mxcsr()
        self._x87.follow_control_word()
        self.mode = "protected"
        self._watch()
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
        self.chipset.raise_nmi()

    def run(self, limit_ns: int | None = None) -> Outcome:
        """Run until something ends it. Raises EmulatorFault when the emulator breaks its own rules.

        Ctrl-C stops the machine between two instructions and is raised from here; `run` then goes on from there.
        """
        self.at_stop = False
        with SignalsHeld(notify=self.request_stop):
            return self._run(limit_ns)

    def _run(self, limit_ns: int | None) -> Outcome:
        cpu, hook, registers, clock, chipset = self.cpu, self.cpu.hook, self.cpu.registers, self.clock, self.chipset
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
                chipset.tick(now)
                deadline = self._next_deadline()
            pending = chipset.pending()
            if (pending or chipset.nmi_pending) and self._take_interrupt(pending=pending):
                continue
            if self.halted:
                if deadline is None or not hook.rflags & FLAG_IF:
                    return Outcome.HALTED
                clock.spend(max(0, deadline - now))
                self._cut_short = True
            elif self.coprocessor is not None and self.coprocessor.address == registers.rip and registers.cpl == 3:
                if hook.addresses and self._in_front_of_stop():  # the hook does not see this instruction
                    self.pass_this_address()
                    self.at_stop = True
                    return Outcome.STOPPED
                self._run_coprocessor(self.coprocessor, deadline)
            elif self._checks_wanted:
                self._execute_checked()
            else:
                hook.watch_if = pending
                self._run_end_ns = now + _LONGEST_RUN * clock.ns_per_instruction
                self._arm(deadline)
                self._stopped(cpu.execute())

    @property
    def _checks_wanted(self) -> bool:
        return self._alignment.wanted or self._simd.wanted or self._x87.wanted

    # Snapshots

    def snapshot(self) -> MachineSnapshot:
        """All of the machine's state. The machine must not be running, and its coprocessor not be in the middle."""
        return MachineSnapshot(
            self.clock.now_ns,
            self.cpu.save_state(),
            (self._own_state(), *(part.save_state() for part in self._parts)),
            tuple(device.save_state() for device in self.bus.devices),
            self.ram.image(),
        )

    def restore(self, snapshot: MachineSnapshot) -> None:
        """Return to a snapshot of this machine or of one of the same configuration."""
        self.cpu.code_changed(self.ram.load(snapshot.ram))
        self.cpu.load_state(snapshot.processor)
        own, *parts = snapshot.parts
        self.halted, self.mode, self._nmi_blocked, self.chipset.nmi_pending, self._cut_short = own["flags"]
        self.bus.accesses = own["accesses"]
        for part, state in zip(self._parts, parts, strict=True):
            part.load_state(state)
        for device, state in zip(self.bus.devices, snapshot.devices, strict=True):
            device.load_state(state)
        self._stop_requested = False
        self.chipset.refresh()

    def _own_state(self) -> State:
        flags = self.halted, self.mode, self._nmi_blocked, self.chipset.nmi_pending, self._cut_short
        return {"flags": flags, "accesses": self.bus.accesses}

    # Stepping

    def step(self, limit_ns: int | None = None) -> Outcome | None:
        """Let one thing happen, and return None; or say why nothing can.

        An interrupt is taken, or an instruction executed with the exception it raises, or the coprocessor runs until it
        is done or interrupted, or a sleep lasts until the next deadline of a device. What takes time of its own lasts
        until `limit_ns`, which must lie ahead, if that comes first.
        """
        with SignalsHeld(notify=self.request_stop):
            return self._step_once(limit_ns)

    def _step_once(self, limit_ns: int | None) -> Outcome | None:
        hook, registers, chipset = self.cpu.hook, self.cpu.registers, self.chipset
        self._limit_ns = limit_ns
        if self.delivery.shut_down:
            return Outcome.SHUTDOWN
        now, deadline = self.clock.now_ns, self._next_deadline()
        if deadline is not None and deadline <= now:
            chipset.tick(now)
            deadline = self._next_deadline()
        pending = chipset.pending()
        if (pending or chipset.nmi_pending) and self._take_interrupt(pending=pending):
            return None
        if self.halted:
            if deadline is None or not hook.rflags & FLAG_IF:
                return Outcome.HALTED
            self.clock.spend(max(0, deadline - now))
            self._cut_short = True
        elif self.coprocessor is not None and self.coprocessor.address == registers.rip and registers.cpl == 3:
            self._run_coprocessor(self.coprocessor, deadline)
        else:
            here = hook.retired, registers.rip, registers.rsp
            while here == (hook.retired, registers.rip, registers.rsp) and not self.halted:
                if self._checks_wanted:
                    self._execute_checked()
                else:
                    self._step()
        self._stop_requested = False
        return None

    def pass_this_address(self) -> None:
        """Let `run` not stop in front of the instruction at RIP, whatever `stop_at` says, until it is met again."""
        hook = self.cpu.hook
        hook.passing, hook.passing_address = hook.retired, self.cpu.linear_rip

    def _in_front_of_stop(self) -> bool:
        hook, address = self.cpu.hook, self.cpu.linear_rip
        passed = (hook.retired, address) == (hook.passing, hook.passing_address)
        return not passed and address in hook.address[: hook.addresses]

    @property
    def between_steps(self) -> bool:
        """Whether a step has just ended; False where a limit has cut a sleep or the coprocessor's work short."""
        deadline = self.chipset.deadline_ns
        due = (
            (deadline is not None and deadline <= self.clock.now_ns)
            or self.chipset.pending()
            or self.chipset.nmi_pending
        )
        return due or not self._cut_short

    def stop_at(self, addresses: Iterable[int]) -> None:
        """Let `run` return in front of these linear addresses. Raises MachineError for more than there is room for."""
        wanted = sorted(set(addresses))
        if len(wanted) > ADDRESSES:
            raise MachineError(f"{len(wanted)} addresses to stop at; at most {ADDRESSES} can be watched at once")
        self.cpu.hook.addresses = len(wanted)
        for index, address in enumerate(wanted):
            self.cpu.hook.address[index] = address

    # Interrupts

    def _take_interrupt(self, *, pending: bool) -> bool:
        """Take an interrupt that is there, or the instruction that holds it back; whether either was done."""
        chipset, registers = self.chipset, self.cpu.registers
        nmi = chipset.nmi_pending and not self._nmi_blocked
        if registers.interrupts_inhibited and (nmi or pending) and not self.halted:
            self._step()
        elif nmi:
            chipset.take_nmi()
            self._nmi_blocked = True
            self._watch()
            self._deliver(Interrupt(NMI, "nmi", registers.rip))
        elif pending and self.cpu.hook.rflags & FLAG_IF:
            self._deliver(Interrupt(chipset.acknowledge(), "external", registers.rip))
        else:
            return False
        return True

    def _deliver(self, interrupt: Interrupt) -> None:
        self.halted = self._cut_short = False
        registers = self.cpu.registers
        ring, rsp, base = registers.cpl, registers.rsp, self.cpu.linear_rip - registers.rip
        self._returns.look()  # an interrupt can come right behind the return from another
        before = None if self.mode == "long" else self._observed.values()
        self.delivery.deliver(interrupt)
        if before is not None:  # a task gate loads TR and CR3
            self._observed.record_changes(before, interrupt.return_address)
        if ring == registers.cpl:
            linear = base + interrupt.return_address & 2**64 - 1
            self._returns.entered(interrupt.vector, interrupt.return_address, linear, rsp)
        else:
            self._watch()
        if self.mode != "long":
            self._follow_mode(registers.rip)

    def _raise(self, fault: Fault) -> None:
        """Deliver an exception of the instruction at RIP, which did not retire."""
        self.cpu.debug.met = 0
        interrupt = Interrupt(fault.vector, "exception", self.cpu.rip, fault.error_code, fault.address)
        self._deliver(interrupt)

    def _trap(self, causes: int) -> None:
        """Deliver #DB behind the instruction that retired last, for these bits of DR6."""
        debug = self.cpu.debug
        debug.dr6 = debug.dr6 & ~0xF | debug.met | causes
        debug.met = 0
        self._deliver(Interrupt(DB, "exception", self.cpu.rip, is_trap=True))

    def _watch(self) -> None:
        """Tell the instruction hook what to stop at, after the ring, the mode, CR4 or the blocking of NMI changed.

        Outside 64-bit mode every far transfer is looked at, for it may change the mode and not the selector.
        """
        registers = self.cpu.registers
        watched = Action.SYSTEM if self.mode == "long" else Action.SYSTEM | Action.CHANGES_CS
        watched |= Action.INTERRUPT_RETURN if self._nmi_blocked else 0
        if registers.cpl:
            watched |= Action.PORT | Action.INTERRUPT_RETURN
            if registers.cr[4] & control_registers.CR4_UMIP:
                watched |= Action.DESCRIPTOR
            if registers.cr[0] & control_registers.CR0_AM:
                watched |= Action.FLAGS  # may set AC, as IRET may
        self.cpu.hook.watched = watched

    # Execution

    def _next_deadline(self) -> int | None:
        limit, deadline = self._limit_ns, self.chipset.deadline_ns
        if limit is None or deadline is None:
            return deadline if limit is None else limit
        return min(limit, deadline)

    def _arm_deadline(self) -> None:
        """Let the processor run to the next deadline, unless there is something to look at before."""
        pending = self.chipset.pending() and not self.cpu.hook.watch_if
        nmi = self.chipset.nmi_pending and not self._nmi_blocked
        if pending or nmi or self._stop_requested or self.cpu.debug.met or self.clock.stepping:
            self.clock.stop()
        else:
            self._arm(self._next_deadline())

    def _arm(self, deadline: int | None) -> None:
        self.clock.arm(self._run_end_ns if deadline is None else min(deadline, self._run_end_ns))

    def _execute_one(self) -> Stop:
        """Execute the instruction at RIP whatever it is, and nothing more. The stop is still to be looked at."""
        hook = self.cpu.hook
        hook.pass_once, hook.watch_if = self.cpu.linear_rip, 0
        self.clock.step()
        stop = self.cpu.execute()
        hook.pass_once = NEVER
        return stop

    def _execute_checked(self) -> None:
        """Execute one instruction, if #AC, #XM and #MF let it. Breakpoints and rules of its own come before that."""
        cpu = self.cpu
        at = cpu.linear_rip
        if not cpu.debug.at(at) and not action(cpu.code_at(at)) & (Action.SYSTEM | Action.PORT | Action.DESCRIPTOR):
            try:
                if self._alignment.wanted:
                    self._alignment.check()
                if self._simd.wanted:
                    self._simd.check()
                self._x87.check()
            except Fault as fault:
                self._raise(fault)
                return
        self._step()

    def _step(self) -> None:
        """Go one instruction further, with everything that is looked at on the way."""
        self.cpu.hook.watch_if = 0
        self.clock.step()
        self._stopped(self.cpu.execute())

    def _stopped(self, stop: Stop) -> None:
        """Do what a stop is there for."""
        cpu, hook = self.cpu, self.cpu.hook
        self._cut_short = False
        if hook.check_cs:  # whatever else stopped it: a deadline or a fault may come right behind an IRET
            self._segment_loaded()
        else:  # RF lasts for one instruction behind IRET, but Unicorn may leave it
            hook.rflags &= ~FLAG_RF
        if stop is Stop.INTERRUPT or stop is Stop.INVALID_INSTRUCTION:
            self._exception_met(stop)
        elif stop is Stop.NO_CODE:  # the bus floats, or a device is there: ones, which are no instruction
            self._raise(Fault(UD))
        elif self.cpu.debug.met:
            self._trap(0)
        elif stop is Stop.WATCHED_INSTRUCTION:
            self._execute_watched()
        elif stop is Stop.DEBUG:
            self._instruction_breakpoint()
        elif stop is Stop.ADDRESS:
            self.pass_this_address()
            self._stop_requested = self.at_stop = True
        elif stop is Stop.BREAKPOINT:
            if not self._returns.look():
                hook.pass_once = cpu.linear_rip
        elif stop is Stop.HALT:
            if hook.rflags & FLAG_TF:
                self._trap(DR6_BS)
                return
            self.halted = True
            self.journal.emit(Halted, bool(cpu.rflags & FLAG_IF))

    def _exception_met(self, stop: Stop) -> None:
        """Unicorn met an exception or an INT instruction."""
        cpu = self.cpu
        software, error_code, following = cpu.context.interrupt_met
        vector = UD if stop is Stop.INVALID_INSTRUCTION else cpu.hook.vector
        if software:
            cpu.registers.rip = following
            self._deliver(Interrupt(vector, "software", following))
        elif vector == UD:
            take_back(cpu)
            coprocessor = self.coprocessor
            if coprocessor is None or coprocessor.address != cpu.rip or cpu.registers.cpl != 3:
                self._raise(Fault(UD))
        elif vector == DB:  # the only one that Unicorn raises, as it never sees the debug registers
            self._trap(DR6_BS)
        else:
            self._raise(exception_met(cpu, vector, error_code))

    def _instruction_breakpoint(self) -> None:
        """A debug register names the instruction at RIP: a fault in front of it, unless RF says otherwise."""
        cpu = self.cpu
        if cpu.rflags & FLAG_RF:
            self._stopped(self._execute_one())
            return
        self.cpu.debug.dr6 = self.cpu.debug.dr6 & ~0xF | self.cpu.debug.at(cpu.linear_rip)
        self._deliver(Interrupt(DB, "exception", cpu.rip))

    def _run_coprocessor(self, coprocessor: Coprocessor, deadline: int | None) -> None:
        cpu, registers = self.cpu, self.cpu.registers
        budget = _LONGEST_SLICE_NS if deadline is None else min(_LONGEST_SLICE_NS, deadline - self.clock.now_ns)
        result = coprocessor.execute(registers.rax, budget)
        self._cut_short = result is None
        if result is not None:
            cpu.skip(INSTRUCTION_LENGTH)
            registers.rax, registers.rcx, registers.rdi = result.rax, result.rcx, result.rdi

    # What changes with CS

    def _segment_loaded(self) -> None:
        """The last instruction may have loaded CS: the ring or the mode may be another."""
        hook, registers = self.cpu.hook, self.cpu.registers
        previous, hook.cs = hook.cs & 3, registers.cs.selector
        self.cpu.memory.follow_cr3()
        if previous != registers.cpl:
            self._returns.forget()
            self._watch()
            cause = "interrupt_return" if hook.check_cs & Action.INTERRUPT_RETURN else "far_return"
            self._record_ring(previous, cause)
        self._follow_mode(hook.last)

    def _record_ring(self, previous: int, cause: str) -> None:
        registers = self.cpu.registers
        self.journal.emit(RingTransition, previous, registers.cpl, cause, None, None, registers.rip, registers.rsp)

    def _follow_mode(self, rip: int) -> None:
        """Record a change of the operating mode by the instruction at `rip` (SDM volume 3, 2.2)."""
        registers = self.cpu.registers
        mode: ProcessorMode = "protected"
        if registers.efer & EFER_LMA:
            mode = "long" if registers.in_64_bit_code else "compatibility"
        elif not registers.cr[0] & 1:
            mode = "real"
        if mode != self.mode:
            self.journal.emit(ModeSwitched, self.mode, mode, rip)
            self.mode = mode
            self._watch()

    # Instructions with rules of their own

    def _execute_watched(self) -> None:
        """Execute an instruction that Unicorn must not execute unwatched, and record what it changed."""
        cpu, registers, hook = self.cpu, self.cpu.registers, self.cpu.hook
        rip, ring, stepping = registers.rip, registers.cpl, hook.rflags & FLAG_TF
        found = action(cpu.code_at(cpu.linear_rip))
        if self._nmi_blocked and found & Action.INTERRUPT_RETURN:
            self._nmi_blocked = False
            self._watch()
        before = self._observed.values()
        try:
            done = self._system.execute()
        except Fault as fault:
            self._raise(fault)
            return
        stop = self._execute_one() if done in (Done.NATIVE, Done.LOADS_MASKS) else None
        if found & (Action.SYSTEM | Action.CHANGES_CS):
            registers.cr[0] &= control_registers.CR0_BITS
            if done is Done.LOADS_MASKS:
                self._simd.follow_mxcsr()
                self._x87.follow_control_word()
            self._observed.record_changes(before, rip)
            if stop is None and ring != registers.cpl:
                self._returns.forget()
                self._record_ring(ring, "fast_system_call")
            self._watch()
            cpu.flush_translations()
            self._follow_mode(rip)
        if stop is not None:
            self._stopped(stop)
        elif done is Done.TRAP:
            self._trap(0)
        elif (done is Done.COMPLETE and stepping) or (done is Done.TRANSFERRED and hook.rflags & FLAG_TF):
            self._trap(DR6_BS)
