"""Motions through a run, in both directions: steps, searches, breakpoints and watchpoints.

They share one timeline; `navigation/` has their parts.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.enclave.kernel.source_lines import SourceLine
from enclave_sim.inputs import AnyInput
from enclave_sim.time_travel.navigation.breakpoints import Breakpoint, Condition, Stopped, Watchpoint
from enclave_sim.time_travel.navigation.debugger import Debugger
from enclave_sim.time_travel.navigation.search import Search, one_of
from enclave_sim.time_travel.navigation.stepping import Stepping
from enclave_sim.time_travel.navigation.visits import Visits
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.target import S
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.events import Event, Recorder
from machine.machine import Machine


class Movement(Generic[S]):
    """A run, a position in it, and the motions to other positions. `Travel` also answers questions.

    Every motion returns the position reached. It raises NoSuchPosition if the run has no such position, and Cancelled
    once the token was cancelled; the run is then at the last position it reached.

    Args:
        make: Makes the subject to run; called once, with the recorder that it must use.
        recorded: The events that the run must have, those of a recording; None for any. Any motion raises
            RecordingError where the run differs.
    """

    def __init__(self, make: Callable[[Recorder], S], recorded: Sequence[Event] | None = None) -> None:
        self._timeline = Timeline(make, recorded)
        self._visits = Visits(self._timeline)
        self._stepping = Stepping(self._timeline, self._visits)
        self._search = Search(self._timeline, self._visits)
        self._debugger = Debugger(self._timeline)

    # State at the current position

    @property
    def subject(self) -> S:
        """The subject at the current position. Inspect it freely; only this object may run it."""
        return self._timeline.subject

    @property
    def cancellation(self) -> Cancellation:
        """The token of the subject. Cancelling it ends any motion with Cancelled."""
        return self._timeline.cancellation

    @property
    def machine(self) -> Machine:
        """The machine at the current position."""
        return self._timeline.machine

    @property
    def program(self) -> Program:
        """The kernel in ring 0: its symbols, source lines and regions."""
        return self._timeline.program

    @property
    def now(self) -> Position:
        """The current position."""
        return self._timeline.now

    @property
    def events(self) -> list[Event]:
        """The events before the current position."""
        return self._timeline.events

    @property
    def known(self) -> list[Event]:
        """All events seen so far, including those after the current position. The list only grows."""
        return self._timeline.monitor.events

    @property
    def line(self) -> SourceLine | None:
        """The current line of the kernel's source, or None."""
        return self._timeline.line

    def go_to(self, position: Position) -> Position:
        """Go to a position.

        Args:
            position: A position that this run has had, or will have.

        Returns:
            The position.

        Raises:
            NoSuchPosition: The run has no such position. It does not move.
        """
        here = self.now
        try:
            self._timeline.go_to(position)
        except NoSuchPosition:
            self._timeline.go_to(here)
            raise
        return self.now

    def take(self, one: AnyInput) -> Position:
        """Let an input take effect here, as a step that takes no time. It is part of the run from now on.

        All that this object knew about later positions is discarded: the run now continues differently. A recording
        of its events can be replayed.

        Args:
            one: The input; its own time does not count. A bare kernel takes only writes to memory and registers.

        Returns:
            The position after it.

        Raises:
            EnclaveError: The input is impossible here; or a step is in progress, or the run is over.
        """
        self._timeline.take(one)
        return self.now

    # Steps

    def step(self, count: int = 1) -> Position:
        """Execute steps: an instruction, an interrupt taken, an input, a stay in the guest, or a sleep.

        Args:
            count: The number of steps.

        Returns:
            The position after the last one.

        Raises:
            NoSuchPosition: The run ends first; it is then at its end.
            ConfigurationError: The count is negative.
        """
        return self._stepping.step(count)

    def back(self, count: int = 1) -> Position:
        """Go back by steps.

        Args:
            count: The number of steps.

        Returns:
            The position `count` steps earlier.

        Raises:
            NoSuchPosition: The run has fewer steps before this position. It is then at its beginning.
            ConfigurationError: The count is negative.
        """
        return self._stepping.back(count)

    def step_over(self) -> Position:
        """Step over the instruction, including its calls and repetitions, and over interrupts on the way.

        Returns:
            The position after the instruction, in the same function.

        Raises:
            NoSuchPosition: The run ends before the call returns; it is then at its end.
        """
        return self._stepping.step_over()

    def back_over(self) -> Position:
        """Undo `step_over`: go back over the preceding instruction, including its calls.

        Returns:
            The position before that instruction.

        Raises:
            NoSuchPosition: This is the beginning of the run.
        """
        return self._stepping.back_over()

    def step_out(self) -> Position:
        """Run to the return of the current function or handler.

        Returns:
            The position after the RET or IRET.

        Raises:
            NoSuchPosition: The run ends first; it is then at its end.
        """
        return self._stepping.step_out()

    def back_out(self) -> Position:
        """Go back to before the CALL or INT that reached the current function or handler.

        Returns:
            The position before the CALL or INT.

        Raises:
            NoSuchPosition: The current code was not called. The run does not move.
        """
        return self._stepping.back_out()

    def next_line(self, *, into: bool = False) -> Position:
        """Step to another line of the kernel's source. Code without source counts as one line.

        Args:
            into: Step into calls instead of over them.

        Returns:
            The position at the beginning of the line.

        Raises:
            NoSuchPosition: The run ends first; it is then at its end.
        """
        return self._stepping.next_line(into=into)

    def previous_line(self) -> Position:
        """Go back to the beginning of the previously executed line, which may be in a called function.

        Returns:
            The position at the beginning of the line.

        Raises:
            NoSuchPosition: No other line was executed before. The run does not move.
        """
        return self._stepping.previous_line()

    # Searches

    def run_to(
        self,
        *,
        event: str | None = None,
        address: int | None = None,
        symbol: str | None = None,
        at_ns: int | None = None,
        when: Callable[[Any], bool] = lambda _event: True,
    ) -> Position:
        """Run to the next event, address, symbol or time. Give exactly one of them.

        Args:
            event: An event of this kind for which `when` holds.
            address: The execution of the instruction at this linear address.
            symbol: The same, at a symbol of the kernel.
            at_ns: The first position at or after this virtual time (ns).
            when: Called with each event of that kind; it returns whether to stop there.

        Returns:
            The position: just after the event, before the instruction, or at the time.

        Raises:
            NoSuchPosition: It does not occur before the end of the run, where the run then is.
            ConfigurationError: None or several goals are given, or the kind or symbol is unknown.
        """
        return self._search.run_to(event=event, address=address, symbol=symbol, at_ns=at_ns, when=when)

    def reverse_to(
        self,
        *,
        event: str | None = None,
        address: int | None = None,
        symbol: str | None = None,
        at_ns: int | None = None,
        when: Callable[[Any], bool] = lambda _event: True,
    ) -> Position:
        """Go back to the last event, address, symbol or time before the current position. Give exactly one of them.

        Args:
            event: An event of this kind for which `when` holds.
            address: The execution of the instruction at this linear address.
            symbol: The same, at a symbol of the kernel.
            at_ns: The first position at or after this virtual time (ns).
            when: Called with events of that kind; it returns whether to stop there.

        Returns:
            The position: just after the event, before the instruction, or at the time.

        Raises:
            NoSuchPosition: The run has none before the current position, where it stays.
            ConfigurationError: None or several goals are given, or the kind or symbol is unknown.
        """
        return self._search.reverse_to(event=event, address=address, symbol=symbol, at_ns=at_ns, when=when)

    def next_transition(self) -> Position:
        """Run to the next ring transition. Return and raise as `run_to`."""
        return self._search.run_to_kind("ring_transition", "further ring transition")

    def previous_transition(self) -> Position:
        """Go back to the last ring transition. Return and raise as `reverse_to`."""
        return self._search.reverse_to_kind("ring_transition", "ring transition")

    def next_host_call(self) -> Position:
        """Run to the guest's next host call. Return and raise as `run_to`."""
        return self._search.run_to_kind("host_called", "further host call")

    def previous_host_call(self) -> Position:
        """Go back to the guest's last host call. Return and raise as `reverse_to`."""
        return self._search.reverse_to_kind("host_called", "host call")

    def next_phase(self) -> Position:
        """Run until the next phase reaches its target state. Return and raise as `run_to`."""
        return self._search.run_to_kind("phase_completed", "further boot phase")

    def previous_phase(self) -> Position:
        """Go back to the moment when the last phase reached its target state. Return and raise as `reverse_to`."""
        return self._search.reverse_to_kind("phase_completed", "boot phase")

    # Breakpoints and watchpoints

    @property
    def breakpoints(self) -> list[Breakpoint]:
        """The breakpoints at which `resume` stops. Remove one from the list to delete it."""
        return self._debugger.breakpoints

    @breakpoints.setter
    def breakpoints(self, points: list[Breakpoint]) -> None:
        self._debugger.breakpoints = points

    @property
    def watchpoints(self) -> list[Watchpoint]:
        """The watchpoints at which `resume` stops. Remove one from the list to delete it."""
        return self._debugger.watchpoints

    @watchpoints.setter
    def watchpoints(self, points: list[Watchpoint]) -> None:
        self._debugger.watchpoints = points

    def add_breakpoint(
        self, address: int | None = None, *, symbol: str | None = None, when: Condition | None = None
    ) -> Breakpoint:
        """Make `resume` stop before an instruction, given its address or symbol.

        Args:
            address: A linear address.
            symbol: A symbol of the kernel.
            when: Called with this object at each hit; it returns whether to stop.

        Returns:
            The breakpoint, now in `breakpoints`.

        Raises:
            ConfigurationError: There are already breakpoints at 16 addresses, or the symbol is unknown.
        """
        one_of(address=address, symbol=symbol)
        return self._debugger.add_breakpoint(self._search.address_of(address, symbol), when)

    def add_watchpoint(
        self,
        base: int,
        size: int = 1,
        *,
        linear: bool = False,
        reads: bool = False,
        writes: bool = True,
        when: Condition | None = None,
    ) -> Watchpoint:
        """Make `resume` stop after an access to a range of physical memory.

        Args:
            base: The first byte: a physical address.
            size: The number of bytes.
            linear: `base` is a linear address; the memory to which it is now mapped is watched.
            reads: Stop after reads.
            writes: Stop after writes.
            when: Called with this object at each hit; it returns whether to stop.

        Returns:
            The watchpoint, now in `watchpoints`.

        Raises:
            ConfigurationError: The range is not in RAM, or the linear address is not mapped.
        """
        return self._debugger.add_watchpoint(base, size, linear=linear, reads=reads, writes=writes, when=when)

    def resume(self, until: Position | None = None) -> Stopped:
        """Run to the next breakpoint or watchpoint, to a limit, or to the end of the run.

        Args:
            until: The position to stop at; None to run to the end.

        Returns:
            The position reached, and the point that was hit, if any.
        """
        return self._debugger.resume(self._holds, until)

    def reverse_resume(self) -> Stopped:
        """Go back to the last breakpoint or watchpoint, or to the beginning. Return and raise as `resume`."""
        return self._debugger.reverse_resume(self._holds)

    def _holds(self, condition: Condition) -> bool:
        return condition(self)
