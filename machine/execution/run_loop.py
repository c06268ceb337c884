"""The loop that decides how far the processor runs: to the next deadline, interrupt or stop.

It takes due interrupts first. machine/execution/execution.py handles each stop of the processor.
"""

from collections.abc import Callable, Iterable
from enum import Enum

from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.devices.chipset import Chipset
from machine.errors import MachineError
from machine.execution.execution import Execution, Reached
from machine.host_limit import is_limited, is_reached
from machine.processor.cpu import FLAG_IF, Cpu
from machine.processor.observed_flow import flows
from machine.processor.step_hook import ADDRESSES, NEVER, Flow

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


class RunLoop:
    """Runs one processor.

    Args:
        cpu: The processor.
        chipset: Its devices, with their deadlines and interrupts.
        execution: Handles each stop of the processor.
    """

    def __init__(self, cpu: Cpu, chipset: Chipset, execution: Execution) -> None:
        self._cpu = cpu
        self._clock = cpu.clock
        self._chipset = chipset
        self._execution = execution
        self._limit_ns: int | None = None
        self._run_end_ns = 0
        self._stop_requested = False
        self.at_stop = False
        """True if the last run ended before an address of `stop_at`."""
        self._flag_changed: Callable[[bool], None] | None = None
        self._flag = False
        """RFLAGS.IF at the last look."""
        chipset.rescheduled = self._arm_deadline

    def trace_interrupt_flag(self, changed: Callable[[bool], None]) -> None:
        """Call a function after each step that has changed RFLAGS.IF; see `Machine.trace_interrupt_flag`."""
        self._flag_changed, self._flag = changed, bool(self._cpu.rflags & FLAG_IF)
        self._execution.watch_flags()

    def _look_at_flag(self) -> None:
        flag = bool(self._cpu.rflags & FLAG_IF)
        if flag is not self._flag and self._flag_changed is not None:
            self._flag = flag
            self._flag_changed(flag)

    def request_stop(self) -> None:
        """Make `run` return `Outcome.STOPPED` after the current instruction."""
        self._stop_requested = True
        self._clock.stop()

    def forget_stops(self) -> None:
        """Forget a requested stop and a place that was reached, because a snapshot is being restored."""
        self._stop_requested = False
        self._execution.take_reached()
        self._cpu.hook.passing = NEVER

    def run(self, limit_ns: int | None, *, input_follows: bool = True) -> Outcome:
        """Run until something ends the run; see `Machine.run`."""
        self.at_stop = False
        hook, clock, execution = self._cpu.hook, self._clock, self._execution
        self._limit_ns = limit_ns
        limited = is_limited()
        longest_ns = (_LONGEST_LIMITED_RUN if limited else _LONGEST_RUN) * clock.ns_per_instruction
        while True:
            if self._flag_changed is not None:
                self._look_at_flag()
            if execution.reached is not Reached.ANYWHERE and execution.take_reached() is Reached.ADDRESS:
                self._address_reached()
            if self._stop_requested or (limited and is_reached()):
                return self._take_stop()
            before = self._before_execution(limit_ns, input_follows=input_follows)
            if before is not Before.NOTHING and before is not Before.INTERRUPT_WAITS:
                if before is Before.DONE:
                    continue
                return before
            deadline = self._next_deadline()
            at_coprocessor = execution.at_coprocessor
            checked = at_coprocessor or execution.checks_wanted
            # The hook sees neither the coprocessor's instruction nor one that a check refuses.
            if checked and (hook.addresses or hook.flow) and self._is_at_stop():
                self._address_reached()
            elif at_coprocessor:
                execution.run_coprocessor(self._slice(deadline))
            elif checked or (self._flag_changed is not None and not self._cpu.engine.native):
                execution.step()  # the portable hook does not stop before CLI and STI
            else:
                hook.watch_if = before is Before.INTERRUPT_WAITS
                self._run_end_ns = clock.now_ns + longest_ns
                self._arm(deadline)
                execution.run()

    def _before_execution(self, limit_ns: int | None, *, input_follows: bool = True) -> Outcome | Before:
        """Handle deadlines, interrupts and sleep before the processor executes. At `limit_ns`, do nothing."""
        chipset, execution, now = self._chipset, self._execution, self._clock.now_ns
        if execution.delivery.shut_down:
            return Outcome.SHUTDOWN
        deadline = self._next_deadline()
        if deadline is not None and deadline <= now:
            if limit_ns is not None and now >= limit_ns:
                return Outcome.LIMIT
            chipset.tick(now)
            deadline = self._next_deadline()
        if execution.trap_waits:
            execution.take_trap()
            return Before.DONE
        pending = chipset.pending()
        if (pending or chipset.nmi_pending) and execution.take_interrupt(pending=pending):
            return Before.DONE
        if execution.halted:
            wakes = deadline if input_follows else chipset.deadline_ns
            if deadline is None or wakes is None or not self._cpu.hook.rflags & FLAG_IF:
                return Outcome.HALTED
            execution.sleep(max(0, deadline - now))
            return Before.DONE
        return Before.INTERRUPT_WAITS if pending else Before.NOTHING

    def _take_stop(self) -> Outcome:
        requested, self._stop_requested = self._stop_requested, False
        return Outcome.STOPPED if requested else Outcome.HOST_LIMIT

    def step(self, limit_ns: int | None) -> Outcome | None:
        """Execute one step; see `Machine.step`."""
        if self._flag_changed is None:
            return self._step(limit_ns)
        self._look_at_flag()
        outcome = self._step(limit_ns)
        self._look_at_flag()
        return outcome

    def _step(self, limit_ns: int | None) -> Outcome | None:
        hook, registers, execution = self._cpu.hook, self._cpu.registers, self._execution
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
            while here == (hook.retired, registers.rip, registers.rsp) and not execution.ended:
                execution.step()
                if execution.take_reached() is Reached.ADDRESS:
                    self.pass_this_address()
        self._stop_requested = False
        return None

    def pass_this_address(self) -> None:
        """Make `run` ignore `stop_at` once, for the instruction at RIP."""
        self.at_stop = False
        hook = self._cpu.hook
        hook.passing, hook.passing_address = hook.retired, self._cpu.linear_rip

    def _address_reached(self) -> None:
        """Stop before the instruction at RIP, and execute it when `run` continues."""
        self.pass_this_address()
        self._stop_requested = self.at_stop = True

    def _is_at_stop(self) -> bool:
        cpu, hook = self._cpu, self._cpu.hook
        if not (hook.addresses or hook.flow):
            return False
        address = cpu.linear_rip
        if (hook.retired, address) == (hook.passing, hook.passing_address):
            return False
        if address in hook.address[: hook.addresses]:
            return True
        return bool(hook.flow) and flows(hook, address, cpu.code.instruction_at(address), self._general)

    def _general(self, number: int) -> int:
        return int(getattr(self._cpu.registers, GENERAL_REGISTERS[number]))

    @property
    def between_steps(self) -> bool:
        """True if the last step is complete; False if a limit interrupted a sleep or the coprocessor."""
        deadline = self._chipset.deadline_ns
        ticks = deadline is not None and deadline <= self._clock.now_ns
        due = ticks or self._chipset.pending() or self._chipset.nmi_pending
        halted = self._execution.halted and not self._cpu.hook.rflags & FLAG_IF  # IF was cleared during the sleep
        return due or halted or not self._execution.cut_short

    def stop_at(
        self,
        addresses: Iterable[int] = (),
        *,
        outside: range | None = None,
        calls_above: int | None = None,
        unless: tuple[str, int] | None = None,
    ) -> None:
        """Make `run` stop before some instructions; see `Machine.stop_at`."""
        wanted = sorted(set(addresses))
        if len(wanted) > ADDRESSES:
            raise MachineError(f"{len(wanted)} addresses to stop at; at most {ADDRESSES} can be watched at once")
        self._cpu.hook.addresses = len(wanted)
        for index, address in enumerate(wanted):
            self._cpu.hook.address[index] = address
        inside = range(0) if outside is None else outside
        hook = self._cpu.hook
        hook.inside, hook.inside_size, hook.floor = inside.start, len(inside), calls_above or 0
        register, hook.value = unless or (GENERAL_REGISTERS[0], 0)
        hook.number = GENERAL_REGISTERS.index(register)
        hook.flow = (
            (outside is not None and Flow.OUTSIDE)
            | (calls_above is not None and Flow.CALLS)
            | (unless is not None and Flow.CHANGED)
        )

    # Deadlines

    def _next_deadline(self) -> int | None:
        limit, deadline = self._limit_ns, self._chipset.deadline_ns
        if limit is None or deadline is None:
            return deadline if limit is None else limit
        return min(limit, deadline)

    def _slice(self, deadline: int | None) -> int:
        """Return the coprocessor's time budget in ns."""
        return _LONGEST_SLICE_NS if deadline is None else min(_LONGEST_SLICE_NS, deadline - self._clock.now_ns)

    def _arm_deadline(self) -> None:
        """Let the processor run until the next deadline, or stop it now if something is pending."""
        pending = self._chipset.pending() and not self._cpu.hook.watch_if
        nmi = self._chipset.nmi_pending and not self._execution.ring_and_mode.nmi_blocked
        stop = self._stop_requested or self._cpu.debug.met or self._clock.stepping or self._cpu.ram.stale_code
        if pending or nmi or stop:
            self._clock.stop()
        else:
            self._arm(self._next_deadline())

    def _arm(self, deadline: int | None) -> None:
        self._clock.arm(self._run_end_ns if deadline is None else min(deadline, self._run_end_ns))
