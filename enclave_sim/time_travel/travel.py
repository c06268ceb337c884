"""A run that can be executed in both directions: all that can be done with it, whatever is run.

How it is done is in the parts, which share one timeline: `navigation/` has stepping, the search for something that is
named, breakpoints and watchpoints, and the search for the last write.
"""

from collections.abc import Callable
from typing import Any, Generic

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.enclave.kernel.source_lines import SourceLine
from enclave_sim.time_travel.navigation.breakpoints import Breakpoint, Condition, Stopped, Watchpoint
from enclave_sim.time_travel.navigation.debugger import Debugger
from enclave_sim.time_travel.navigation.last_write import Write, find_last_write
from enclave_sim.time_travel.navigation.search import Search, one_of
from enclave_sim.time_travel.navigation.stepping import Stepping
from enclave_sim.time_travel.navigation.visits import Visits
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.target import S
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.events import Event, Recorder
from machine.machine import Machine


class Travel(Generic[S]):
    """One run. `make` gives the subject that is run, recorded by what it gets.

    Whatever moves the run raises NoSuchPosition where there is no such position, and Cancelled once its token was
    cancelled. It returns the position it has come to.
    """

    def __init__(self, make: Callable[[Recorder], S]) -> None:
        self._timeline = Timeline(make)
        visits = Visits(self._timeline)
        self._stepping = Stepping(self._timeline, visits)
        self._search = Search(self._timeline, visits)
        self._debugger = Debugger(self._timeline)

    # What there is

    @property
    def subject(self) -> S:
        """What is run, as it is at the current position. It may be looked at freely, and must not be run by others."""
        return self._timeline.subject

    @property
    def cancellation(self) -> Cancellation:
        """The token of the subject: what cancels it ends whatever is done here, with Cancelled."""
        return self._timeline.cancellation

    @property
    def machine(self) -> Machine:
        """The machine as it is at the current position."""
        return self._timeline.machine

    @property
    def program(self) -> Program:
        """What is executed in ring 0."""
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
    def line(self) -> SourceLine | None:
        """The line of the kernel's source that the processor is at."""
        return self._timeline.line

    def go_to(self, position: Position) -> Position:
        """Be at a position where the run has been. Stays where it is if the run has no such position."""
        here = self.now
        try:
            self._timeline.go_to(position)
        except NoSuchPosition:
            self._timeline.go_to(here)
            raise
        return self.now

    # Steps

    def step(self, count: int = 1) -> Position:
        """Execute steps: an instruction, an interrupt taken, a stay in the guest, a sleep."""
        return self._stepping.step(count)

    def back(self, count: int = 1) -> Position:
        """Go back by steps."""
        return self._stepping.back(count)

    def step_over(self) -> Position:
        """Step over all that is called, or repeated, by the instruction, and over interrupts on the way."""
        return self._stepping.step_over()

    def back_over(self) -> Position:
        """Undo `step_over`."""
        return self._stepping.back_over()

    def step_out(self) -> Position:
        """Return from the function or handler that is executed here."""
        return self._stepping.step_out()

    def back_out(self) -> Position:
        """Go back to before the call, or the INT, by which what is executed here was reached."""
        return self._stepping.back_out()

    def next_line(self, *, into: bool = False) -> Position:
        """Step to another line of the kernel's source: over calls, unless `into`. Code without source is one line."""
        return self._stepping.next_line(into=into)

    def previous_line(self) -> Position:
        """Go back to the beginning of the last other line, into calls."""
        return self._stepping.previous_line()

    # To what is named

    def run_to(
        self,
        *,
        event: str | None = None,
        address: int | None = None,
        symbol: str | None = None,
        at_ns: int | None = None,
        when: Callable[[Any], bool] = lambda _event: True,
    ) -> Position:
        """Run to something; to the end, and NoSuchPosition is raised, where there is no such thing ahead.

        Args:
            event: The next event of this kind for which `when` holds.
            address: The next execution of the instruction at this linear address.
            symbol: The same, by a symbol of the kernel.
            at_ns: The first position at or after this virtual time.
            when: Called with an event of that kind.

        Raises:
            ConfigurationError: Unless exactly one goal is given, or for an unknown kind or symbol.
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
        """Go back to the last such position before the current one; stays where there is none. See `run_to`."""
        return self._search.reverse_to(event=event, address=address, symbol=symbol, at_ns=at_ns, when=when)

    def next_transition(self) -> Position:
        """Run to the next change of the ring."""
        return self.run_to(event="ring_transition")

    def previous_transition(self) -> Position:
        """Go back to the last change of the ring."""
        return self.reverse_to(event="ring_transition")

    def next_host_call(self) -> Position:
        """Run to the next host call of the guest."""
        return self.run_to(event="host_called")

    def previous_host_call(self) -> Position:
        """Go back to the last host call of the guest."""
        return self.reverse_to(event="host_called")

    def next_phase(self) -> Position:
        """Run to where the next phase reaches its target state."""
        return self.run_to(event="phase_completed")

    def previous_phase(self) -> Position:
        """Go back to where the last phase reached its target state."""
        return self.reverse_to(event="phase_completed")

    # Breakpoints and watchpoints

    @property
    def breakpoints(self) -> list[Breakpoint]:
        """What `resume` stops at; take out what is no longer wanted."""
        return self._debugger.breakpoints

    @breakpoints.setter
    def breakpoints(self, points: list[Breakpoint]) -> None:
        self._debugger.breakpoints = points

    @property
    def watchpoints(self) -> list[Watchpoint]:
        """What `resume` stops at, too."""
        return self._debugger.watchpoints

    @watchpoints.setter
    def watchpoints(self, points: list[Watchpoint]) -> None:
        self._debugger.watchpoints = points

    def add_breakpoint(
        self, address: int | None = None, *, symbol: str | None = None, when: Condition | None = None
    ) -> Breakpoint:
        """Let `resume` stop before an instruction. Raises ConfigurationError for more than 16 addresses."""
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
        """Let `resume` stop after an access to physical memory, or to what a `linear` address is mapped to now.

        Raises ConfigurationError for what is not in RAM, or not mapped.
        """
        return self._debugger.add_watchpoint(base, size, linear=linear, reads=reads, writes=writes, when=when)

    def resume(self, until: Position | None = None) -> Stopped:
        """Run to the next breakpoint or watchpoint, to `until`, or to the end of the run."""
        return self._debugger.resume(self._holds, until)

    def reverse_resume(self) -> Stopped:
        """Go back to the last breakpoint or watchpoint before here; to the beginning where there is none."""
        return self._debugger.reverse_resume(self._holds)

    def last_write(self, base: int, size: int = 1) -> Write | None:
        """Find who changed or wrote these bytes of physical memory last, before here; None where nobody did."""
        return find_last_write(self._timeline, base, size)

    def _holds(self, condition: Condition) -> bool:
        return condition(self)
