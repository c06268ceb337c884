"""The machine: a PC with one processor, RAM, a bus with devices and one virtual clock."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from machine.bus.bus import Bus
from machine.bus.ram import Ram
from machine.devices.chipset import Chipset
from machine.errors import MachineError
from machine.events import ModeSwitched, ProcessorMode, Recorder
from machine.execution.coprocessor import Coprocessor
from machine.execution.deferred_signals import SignalsHeld
from machine.execution.execution import Execution
from machine.execution.run_loop import Outcome, RunLoop
from machine.instructions.system.msrs import Msrs
from machine.journal import Journal
from machine.processor.code_coverage import CodeCoverage
from machine.processor.cpu import FLAG_IF, Cpu
from machine.processor.reset import enter_flat_mode
from machine.snapshot import MachineSnapshot
from machine.state import State, Stateful

__all__ = ("Machine", "MachineConfiguration", "Outcome")


class MachineConfiguration(msgspec.Struct, frozen=True):
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
    files: Mapping[str, bytes] = msgspec.field(default_factory=dict)
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
        self._loop = RunLoop(self.cpu, self.chipset, self._execution)
        self._parts: tuple[Stateful, ...] = (self.clock, self.journal, self._execution, self.cpu.debug, self.msrs)

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
        self._loop.request_stop()

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

    def run(self, limit_ns: int | None = None, *, input_follows: bool = True) -> Outcome:
        """Run until something ends the run. Another call continues.

        Ctrl-C stops the machine between two instructions and raises KeyboardInterrupt here; `run` can continue
        afterwards. Raises EmulatorFault if the emulator breaks one of its own rules, and any exception of a device.

        Args:
            limit_ns: Virtual time since reset at which to return `Outcome.LIMIT`, in ns; None for no limit.
            input_follows: False if the caller requests no interrupt at the limit or later. A processor that sleeps, and
                that no device can wake, then ends the run (`Outcome.HALTED`) instead of sleeping to the limit.

        Returns:
            Why the run ended.
        """
        with SignalsHeld(notify=self.request_stop):
            return self._loop.run(limit_ns, input_follows=input_follows)

    def trace_interrupt_flag(self, changed: Callable[[bool], None]) -> None:
        """Trace RFLAGS.IF from now on. What the machine executes, and when, does not change.

        The machine stops at each CLI, STI and POPF, so a program that consists of them runs slower. Snapshots of other
        machines must not be restored from then on.

        Args:
            changed: Called with the new value after each step that has changed it, however that happened, and before
                the machine executes anything else. The machine may be inspected, not changed.
        """
        self._loop.trace_interrupt_flag(changed)

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
        self._loop.forget_stops()
        self.chipset.refresh()

    def _own_state(self) -> State:
        return {"nmi_pending": self.chipset.nmi_pending, "accesses": self.bus.accesses}

    # Observers

    def cover(self, where: range | None) -> CodeCoverage | None:
        """Note from now on which code is executed. What the machine executes, and when, does not change.

        It may run up to a fifth slower.

        Args:
            where: Linear addresses; None not to. What was noted before is not continued.

        Returns:
            What is noted, which grows while the machine runs; None if `where` is None.

        Raises:
            MachineError: The range is empty or too large.
        """
        coverage = None if where is None else CodeCoverage(where)
        self.cpu.cover(coverage)
        return coverage

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
            return self._loop.step(limit_ns)

    def pass_this_address(self) -> None:
        """Make `run` ignore `stop_at` for the instruction at RIP, this once."""
        self._loop.pass_this_address()

    @property
    def at_stop(self) -> bool:
        """True if the last `run` ended before an address of `stop_at`."""
        return self._loop.at_stop

    @property
    def between_steps(self) -> bool:
        """True if the last step is complete; False if a limit interrupted a sleep or the coprocessor."""
        return self._loop.between_steps

    def stop_at(
        self,
        addresses: Iterable[int] = (),
        *,
        outside: range | None = None,
        calls_above: int | None = None,
        unless: tuple[str, int] | None = None,
    ) -> None:
        """Make `run` return `Outcome.STOPPED` before some instructions, with `at_stop` set.

        What it says replaces what the last call said.

        Args:
            addresses: Linear addresses, at most 16.
            outside: Stop before an instruction outside these linear addresses; None not to.
            calls_above: Stop before CALL and INT n where RSP is above this, and before RET and IRET where it is not
                below this; None not to.
            unless: Stop before an instruction at which a general register (`rax` to `r15`) has another value than this;
                None not to.

        Raises:
            MachineError: There are too many addresses.
        """
        self._loop.stop_at(addresses, outside=outside, calls_above=calls_above, unless=unless)
