"""The machine: a PC with one processor, RAM, a bus with devices and one virtual clock.

This module decides how far the processor runs: it takes due interrupts and lets the processor execute until the next
deadline, interrupt or stop. machine/execution/execution.py handles each stop of the processor.
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
"""Instructions that the processor executes before Python can handle host signals, such as Ctrl-C."""
_LONGEST_LIMITED_RUN = 100_000
"""The same, under a host limit."""


class Outcome(Enum):
    """Why `Machine.run` returned."""

    HALTED = "halted"
    """The processor has executed HLT, and no device has a deadline that could wake it."""
    SHUTDOWN = "shutdown"
    """The processor shut down after a triple fault."""
    STOPPED = "stopped"
    """A device or an observer requested a stop; `run` continues from here."""
    LIMIT = "limit"
    """Virtual time reached the limit given."""
    HOST_LIMIT = "host_limit"
    """A `HostLimit` expired; `run` continues from here."""


class Before(Enum):
    """Result of the work before the processor executes: deadlines, interrupts and sleep."""

    NOTHING = "nothing"
    INTERRUPT_WAITS = "interrupt waits"
    """Nothing was done, and an interrupt is waiting for RFLAGS.IF."""
    DONE = "done"
    """An interrupt was taken, or the processor slept."""


@dataclass(frozen=True, slots=True)
class MachineConfiguration:
    """The hardware of a machine."""

    ram_size: int
    """Bytes of RAM from physical address 0: a positive multiple of 4096."""
    ns_per_instruction: int = 1
    """Virtual time per instruction, in ns: at least 1."""
    reserve: int = 0
    """Bytes of inaccessible host address space to reserve after RAM, for a WebAssembly engine. Linux only."""
    portable: bool = False
    """True to use the Python hooks instead of native code: same results, about 100 times slower."""
    engines: bool = True
    """False for a machine without scrub and hash engines, which no PC has."""
    display: bool = False
    """True for a machine with a display adapter, a VGA in a text mode."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files of fw_cfg, by name (`opt/...`)."""


class Machine:
    """A PC: one x86-64 processor, RAM, a bus with devices, and one virtual clock.

    The machine knows nothing about its software. `machine.boot.loader.load` loads a Multiboot kernel; or write code
    to RAM and call `start`:

        from machine.machine import Machine, MachineConfiguration, Outcome

        machine = Machine(MachineConfiguration(ram_size=1 << 20))
        machine.ram.write(0x1000, bytes.fromhex("b02a e6f4"))  # MOV AL, 42; OUT 0F4H, AL (isa-debug-exit)
        machine.start(0x1000, {})
        assert machine.run(limit_ns=1_000_000) is Outcome.STOPPED
        assert machine.debug_exit.status == 85  # 42 * 2 + 1
        assert machine.clock.now_ns == 2  # two instructions of 1 ns

    States: the machine executes only within `run` and `step`. In between it is stopped before an instruction, and
    everything in it may be inspected and changed. `halted` is true after HLT, until an interrupt wakes the processor;
    `shut_down` is true after a triple fault, which only `restore` to an earlier snapshot undoes.

    Time: `clock.now_ns` is virtual time since reset in ns. It advances by `ns_per_instruction` with each instruction,
    and by sleeps and devices. The same inputs at the same virtual times give the same run; the host's time has no
    influence.

    Attributes: `cpu`, `ram` (by physical address) and `bus`, to which devices can be attached before `start`; `chipset`
    has the devices of a PC, of which `uart`, `post_code`, `debug_exit`, `local_apic` and `scrub_engine` are attributes
    here too. `display` is the display adapter, or None. `recorder` receives every event (`machine.events`).

    The enclave's node is a machine with devices of its own and a `coprocessor` for the guest; a time-travel session
    drives a machine by `step`, `stop_at` and snapshots.

    Args:
        configuration: The size of RAM and all other fixed properties of the machine.
        recorder: The recorder of all events, or None.

    Raises:
        MachineError: The configuration is impossible.
    """

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
        self.display = self.chipset.attach_display() if configuration.display else None
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
        """True if the last `run` ended before an address of `stop_at`."""
        self._parts: tuple[Stateful, ...] = (self.clock, self.journal, self._execution, self.cpu.debug, self.msrs)
        self.chipset.rescheduled = self._arm_deadline

    @property
    def halted(self) -> bool:
        """True if HLT was executed and nothing has woken the processor yet."""
        return self._execution.halted

    @property
    def waits(self) -> bool:
        """True if the processor sleeps, and only an outside event can wake it."""
        chipset = self.chipset
        due = chipset.deadline_ns is not None or chipset.pending() or chipset.nmi_pending
        return self.halted and bool(self.cpu.hook.rflags & FLAG_IF) and not due

    @property
    def mode(self) -> ProcessorMode:
        """The operating mode: `reset`, `real`, `protected`, `compatibility` or `long`."""
        return self._execution.ring_and_mode.mode

    @property
    def coprocessor(self) -> Coprocessor | None:
        """The coprocessor, which replaces one instruction in ring 3, or None."""
        return self._execution.coprocessor

    @coprocessor.setter
    def coprocessor(self, coprocessor: Coprocessor | None) -> None:
        self._execution.coprocessor = coprocessor

    # Start, run and requests

    def start(self, entry: int, registers: dict[str, int]) -> None:
        """Make the processor begin at an address in 32-bit protected mode, with flat segments and without paging.

        Args:
            entry: The address of the first instruction.
            registers: Values by register name, such as `EAX`; other general registers are 0.
        """
        enter_flat_mode(self.cpu, entry)
        for name, value in registers.items():
            self.cpu.write_register(name, value)
        self._execution.reset()
        self.journal.emit(ModeSwitched, "reset", "protected", entry)

    def request_stop(self) -> None:
        """Make `run` return `Outcome.STOPPED` after the current instruction. Devices and observers call it."""
        self._stop_requested = True
        self.clock.stop()

    def request_interrupt(self, vector: int) -> None:
        """Request an external, edge-triggered interrupt from the local APIC.

        Args:
            vector: 16 to 255.

        Raises:
            MachineError: The vector is reserved.
        """
        if not 16 <= vector <= 255:
            raise MachineError(f"vector {vector} is not one a device can raise (16 to 255)")
        self.local_apic.request(vector)

    def request_nmi(self) -> None:
        """Pulse the NMI pin. LINT1 of the local APIC may mask it."""
        self.chipset.raise_nmi()

    @property
    def shut_down(self) -> bool:
        """True if the processor shut down after a triple fault."""
        return self._execution.delivery.shut_down

    def run(self, limit_ns: int | None = None) -> Outcome:
        """Run until something ends the run. Another call continues.

        Ctrl-C stops the machine between two instructions and raises KeyboardInterrupt here; `run` can continue
        afterwards. Raises EmulatorFault if the emulator breaks one of its own rules, and any exception of a device.

        Args:
            limit_ns: Virtual time since reset at which to return `Outcome.LIMIT`, in ns; None for no limit.

        Returns:
            Why the run ended.
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
                if hook.addresses and self._is_at_stop_address():  # the hook does not see this instruction
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
        """Handle deadlines, interrupts and sleep before the processor executes. At `limit_ns`, do nothing."""
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
        """Return a copy of the machine's complete state.

        The machine must not be running. The snapshot does not include the coprocessor's state, so the coprocessor must
        not be interrupted within its instruction.

        Returns:
            A snapshot that `restore` takes.
        """
        return MachineSnapshot(
            self.clock.now_ns,
            self.cpu.save_state(),
            (self._own_state(), *(part.save_state() for part in self._parts)),
            tuple(device.save_state() for device in self.bus.devices),
            self.ram.image(),
        )

    def restore(self, snapshot: MachineSnapshot) -> None:
        """Restore a snapshot of this machine, or of one with the same configuration and devices.

        Args:
            snapshot: The snapshot.
        """
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
        """Execute one step.

        A step takes an interrupt, executes an instruction together with the exception that it raises, runs the
        coprocessor until it is done or interrupted, or sleeps until the next deadline of a device. The last two end at
        `limit_ns` if that comes first; `between_steps` is then false. Addresses of `stop_at` do not stop it.

        Args:
            limit_ns: Virtual time since reset, in ns, later than now; None for no limit.

        Returns:
            None after a step; an outcome if there was nothing to execute.
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
        """Make `run` ignore `stop_at` once, for the instruction at RIP."""
        hook = self.cpu.hook
        hook.passing, hook.passing_address = hook.retired, self.cpu.linear_rip

    def _address_reached(self) -> None:
        """Stop before the instruction at RIP, and execute it when `run` continues."""
        self.pass_this_address()
        self._stop_requested = self.at_stop = True

    def _is_at_stop_address(self) -> bool:
        hook, address = self.cpu.hook, self.cpu.linear_rip
        passed = (hook.retired, address) == (hook.passing, hook.passing_address)
        return not passed and address in hook.address[: hook.addresses]

    @property
    def between_steps(self) -> bool:
        """True if the last step is complete; False if a limit interrupted a sleep or the coprocessor."""
        deadline = self.chipset.deadline_ns
        ticks = deadline is not None and deadline <= self.clock.now_ns
        due = ticks or self.chipset.pending() or self.chipset.nmi_pending
        return due or not self._execution.cut_short

    def stop_at(self, addresses: Iterable[int]) -> None:
        """Make `run` return `Outcome.STOPPED` before instructions at some addresses, with `at_stop` set.

        Args:
            addresses: Linear addresses, at most 16, which replace those of the last call.

        Raises:
            MachineError: There are too many addresses.
        """
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
        """Return the coprocessor's time budget in ns."""
        return _LONGEST_SLICE_NS if deadline is None else min(_LONGEST_SLICE_NS, deadline - self.clock.now_ns)

    def _arm_deadline(self) -> None:
        """Let the processor run until the next deadline, or stop it now if something is pending."""
        pending = self.chipset.pending() and not self.cpu.hook.watch_if
        nmi = self.chipset.nmi_pending and not self._execution.ring_and_mode.nmi_blocked
        stop = self._stop_requested or self.cpu.debug.met or self.clock.stepping or self.ram.stale_code
        if pending or nmi or stop:
            self.clock.stop()
        else:
            self._arm(self._next_deadline())

    def _arm(self, deadline: int | None) -> None:
        self.clock.arm(self._run_end_ns if deadline is None else min(deadline, self._run_end_ns))
