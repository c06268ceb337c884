"""The machine: a PC with one processor, RAM, a bus with devices and one virtual clock.

`run` is the whole of it: take interrupts that are due, and let the processor execute up to the next thing that
happens. What is done at each stop is in machine/execution/execution.py; here is how far it goes, and when.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from machine.bus.bus import Bus
from machine.bus.ram import Ram
from machine.devices.chipset import Chipset
from machine.errors import MachineError
from machine.events import ModeSwitched, ProcessorMode, Recorder
from machine.execution.coprocessor import Coprocessor
from machine.execution.deferred_signals import SignalsHeld
from machine.execution.execution import Execution, Reached
from machine.host_limit import is_limited, is_reached
from machine.instructions.system.msrs import Msrs
from machine.journal import Journal
from machine.processor.cpu import FLAG_IF, Cpu
from machine.processor.reset import enter_flat_mode
from machine.processor.step_hook import ADDRESSES
from machine.snapshot import MachineSnapshot
from machine.state import State, Stateful

_LONGEST_SLICE_NS = 50_000_000
_LONGEST_RUN = 10_000_000
"""Instructions the processor executes before Python gets a chance to see signals of the host, such as Ctrl-C."""
_LONGEST_LIMITED_RUN = 100_000
"""The same where there is a limit in seconds of the host."""


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
    HOST_LIMIT = "host_limit"
    """The time of the host ran out that `machine.host_limit` gives; `run` goes on from here."""


class Before(Enum):
    """What happened before the processor was to execute."""

    NOTHING = "nothing"
    INTERRUPT_WAITS = "interrupt waits"
    """Nothing, and an interrupt waits for RFLAGS.IF."""
    DONE = "done"
    """An interrupt was taken, or time was slept away."""


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
        self.chipset = Chipset(self.bus, self.ram, self.clock, self.request_stop, configuration.files)
        if configuration.engines:
            self.chipset.attach_engines()
        self.uart = self.chipset.uart
        self.post_code = self.chipset.post_code
        self.debug_exit = self.chipset.debug_exit
        self.local_apic = self.chipset.local_apic
        self.scrub_engine = self.chipset.scrub_engine
        self.msrs = Msrs(self.cpu, self.local_apic)
        self._execution = Execution(self.cpu, self.chipset, self.journal, self.msrs)
        self._limit_ns: int | None = None
        self._run_end_ns = 0
        self._stop_requested = False
        self.at_stop = False
        """True if the last run ended before an address of `stop_at`."""
        self._parts: tuple[Stateful, ...] = (self.clock, self.journal, self._execution, self.cpu.debug, self.msrs)
        self.chipset.rescheduled = self._arm_deadline

    @property
    def halted(self) -> bool:
        """HLT was executed, and nothing has woken the processor yet."""
        return self._execution.halted

    @property
    def mode(self) -> ProcessorMode:
        """The operating mode."""
        return self._execution.ring_and_mode.mode

    @property
    def coprocessor(self) -> Coprocessor | None:
        """What executes in place of one instruction of ring 3."""
        return self._execution.coprocessor

    @coprocessor.setter
    def coprocessor(self, coprocessor: Coprocessor | None) -> None:
        self._execution.coprocessor = coprocessor

    # What the outside may ask for

    def start(self, entry: int, registers: dict[str, int]) -> None:
        """Begin at `entry` in 32-bit protected mode with the given registers."""
        enter_flat_mode(self.cpu, entry)
        for name, value in registers.items():
            self.cpu.write_register(name, value)
        self._execution.reset()
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

    @property
    def shut_down(self) -> bool:
        """Whether a triple fault has ended it."""
        return self._execution.delivery.shut_down

    def run(self, limit_ns: int | None = None) -> Outcome:
        """Run until something ends it. Raises EmulatorFault when the emulator breaks its own rules.

        Ctrl-C stops the machine between two instructions and is raised from here; `run` then goes on from there.
        """
        self.at_stop = False
        with SignalsHeld(notify=self.request_stop):
            return self._run(limit_ns)

    def _run(self, limit_ns: int | None) -> Outcome:
        hook, clock, execution = self.cpu.hook, self.clock, self._execution
        self._limit_ns = limit_ns
        limited = is_limited()
        longest_ns = (_LONGEST_LIMITED_RUN if limited else _LONGEST_RUN) * clock.ns_per_instruction
        while True:
            if execution.take_reached() is Reached.ADDRESS:
                self._address_reached()
            if self._stop_requested or (limited and is_reached()):
                return self._take_stop()
            before = self._before_execution(limit_ns)
            if isinstance(before, Outcome):
                return before
            if before is Before.DONE:
                continue
            deadline = self._next_deadline()
            if execution.at_coprocessor:
                if hook.addresses and self._in_front_of_stop():  # the hook does not see this instruction
                    self._address_reached()
                    continue
                execution.run_coprocessor(self._slice(deadline))
            elif execution.checks_wanted:
                execution.step_checked()
            else:
                hook.watch_if = before is Before.INTERRUPT_WAITS
                self._run_end_ns = clock.now_ns + longest_ns
                self._arm(deadline)
                execution.run()

    def _before_execution(self, limit_ns: int | None) -> Outcome | Before:
        """Do what comes before the processor executes: deadlines, interrupts, sleep. At `limit_ns` nothing is done."""
        chipset, execution, now = self.chipset, self._execution, self.clock.now_ns
        if execution.delivery.shut_down:
            return Outcome.SHUTDOWN
        deadline = self._next_deadline()
        if deadline is not None and deadline <= now:
            if limit_ns is not None and now >= limit_ns:
                return Outcome.LIMIT
            chipset.tick(now)
            deadline = self._next_deadline()
        pending = chipset.pending()
        if (pending or chipset.nmi_pending) and execution.take_interrupt(pending=pending):
            return Before.DONE
        if execution.halted:
            if deadline is None or not self.cpu.hook.rflags & FLAG_IF:
                return Outcome.HALTED
            execution.sleep(max(0, deadline - now))
            return Before.DONE
        return Before.INTERRUPT_WAITS if pending else Before.NOTHING

    def _take_stop(self) -> Outcome:
        requested, self._stop_requested = self._stop_requested, False
        return Outcome.STOPPED if requested else Outcome.HOST_LIMIT

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
        self.ram.load(snapshot.ram)
        self.cpu.load_state(snapshot.processor)
        own, *parts = snapshot.parts
        self.chipset.nmi_pending, self.bus.accesses = own["nmi_pending"], own["accesses"]
        for part, state in zip(self._parts, parts, strict=True):
            part.load_state(state)
        for device, state in zip(self.bus.devices, snapshot.devices, strict=True):
            device.load_state(state)
        self._stop_requested = False
        self._execution.take_reached()
        self.chipset.refresh()

    def _own_state(self) -> State:
        return {"nmi_pending": self.chipset.nmi_pending, "accesses": self.bus.accesses}

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
        hook, registers, execution = self.cpu.hook, self.cpu.registers, self._execution
        self._limit_ns = limit_ns
        before = self._before_execution(None)
        if isinstance(before, Outcome):
            return before
        if before is Before.DONE:
            return None
        if execution.at_coprocessor:
            execution.run_coprocessor(self._slice(self._next_deadline()))
        else:
            here = hook.retired, registers.rip, registers.rsp
            while here == (hook.retired, registers.rip, registers.rsp) and not (execution.halted or self.shut_down):
                if execution.checks_wanted:
                    execution.step_checked()
                else:
                    execution.step()
                if execution.take_reached() is Reached.ADDRESS:
                    self.pass_this_address()
        self._stop_requested = False
        return None

    def pass_this_address(self) -> None:
        """Let `run` not stop in front of the instruction at RIP, whatever `stop_at` says, until it is met again."""
        hook = self.cpu.hook
        hook.passing, hook.passing_address = hook.retired, self.cpu.linear_rip

    def _address_reached(self) -> None:
        """The instruction at RIP is one to stop in front of."""
        self.pass_this_address()
        self._stop_requested = self.at_stop = True

    def _in_front_of_stop(self) -> bool:
        hook, address = self.cpu.hook, self.cpu.linear_rip
        passed = (hook.retired, address) == (hook.passing, hook.passing_address)
        return not passed and address in hook.address[: hook.addresses]

    @property
    def between_steps(self) -> bool:
        """Whether a step has just ended; False where a limit has cut a sleep or the coprocessor's work short."""
        deadline = self.chipset.deadline_ns
        ticks = deadline is not None and deadline <= self.clock.now_ns
        due = ticks or self.chipset.pending() or self.chipset.nmi_pending
        return due or not self._execution.cut_short

    def stop_at(self, addresses: Iterable[int]) -> None:
        """Let `run` return in front of these linear addresses. Raises MachineError for more than there is room for."""
        wanted = sorted(set(addresses))
        if len(wanted) > ADDRESSES:
            raise MachineError(f"{len(wanted)} addresses to stop at; at most {ADDRESSES} can be watched at once")
        self.cpu.hook.addresses = len(wanted)
        for index, address in enumerate(wanted):
            self.cpu.hook.address[index] = address

    # Deadlines

    def _next_deadline(self) -> int | None:
        limit, deadline = self._limit_ns, self.chipset.deadline_ns
        if limit is None or deadline is None:
            return deadline if limit is None else limit
        return min(limit, deadline)

    def _slice(self, deadline: int | None) -> int:
        """How long the coprocessor may run, in ns."""
        return _LONGEST_SLICE_NS if deadline is None else min(_LONGEST_SLICE_NS, deadline - self.clock.now_ns)

    def _arm_deadline(self) -> None:
        """Let the processor run to the next deadline, unless there is something to look at before."""
        pending = self.chipset.pending() and not self.cpu.hook.watch_if
        nmi = self.chipset.nmi_pending and not self._execution.ring_and_mode.nmi_blocked
        stop = self._stop_requested or self.cpu.debug.met or self.clock.stepping or self.ram.stale_code
        if pending or nmi or stop:
            self.clock.stop()
        else:
            self._arm(self._next_deadline())

    def _arm(self, deadline: int | None) -> None:
        self.clock.arm(self._run_end_ns if deadline is None else min(deadline, self._run_end_ns))
