"""Steps through a run: one by one, over and out, and by lines of the kernel's source."""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.enclave.kernel.source_lines import SourceLine
from enclave_sim.time_travel.navigation.control_flow import Flow, callers_of, flow_at
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.target import S
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.events import Event, Recorder
from machine.machine import Machine

_LONGEST_LINE = 100_000
_LONGEST_FUNCTION = 10_000
_LOOKED_AT = 256


class Walk(Generic[S]):
    """A run that is gone through step by step."""

    def __init__(self, make: Callable[[Recorder], S]) -> None:
        self._timeline = Timeline(make)

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
        return self._timeline.subject.program

    @property
    def now(self) -> Position:
        """The current position."""
        return self._timeline.now

    @property
    def events(self) -> list[Event]:
        """The events that lie behind the current position."""
        return self._timeline.tap.events[: self._timeline.seen]

    @property
    def line(self) -> SourceLine | None:
        """The line of the kernel's source that the processor is at."""
        return self.program.lines.at(self.machine.cpu.linear_rip)

    # One step

    def step(self, count: int = 1) -> Position:
        """Go on by steps: an instruction, an interrupt taken, a stay in the guest, a sleep. Raises NoSuchPosition."""
        for _ in range(count):
            if not self._timeline.step():
                raise NoSuchPosition(f"the run ends at {self.now}")
        return self.now

    def back(self, count: int = 1) -> Position:
        """Go back by steps. Raises NoSuchPosition where the run begins."""
        here = self.now
        before = self._timeline.steps_before(here, count)
        if len(before) < count and before:
            self._timeline.go_to(before[0])
            return self.back(count - len(before))
        return self._go_back(here, before[-count] if before else None, "nothing comes before the beginning of a run")

    def _go_back(self, here: Position, goal: Position | None, otherwise: str) -> Position:
        if goal is None:
            self._timeline.go_to(here)
            raise NoSuchPosition(otherwise)
        self._timeline.go_to(goal)
        return self.now

    def go_to(self, position: Position) -> Position:
        """Be at a position one has been at. Raises NoSuchPosition where the run has none such."""
        here = self.now
        try:
            self._timeline.go_to(position)
        except NoSuchPosition:
            self._timeline.go_to(here)
            raise
        return self.now

    # Over and out

    def step_over(self) -> Position:
        """As `step`, with all that is called, or repeated, in it. An interrupt on the way is gone through, too."""
        registers = self.machine.cpu.registers
        flow, behind = flow_at(self.machine.cpu)
        ring, depth = registers.cpl, registers.rsp
        self.step()
        while flow is Flow.DEEPER and not (
            self.machine.cpu.linear_rip == behind and registers.rsp >= depth and registers.cpl == ring
        ):
            if not self._run_to_address([behind], None):
                raise NoSuchPosition(f"it does not return before the run ends at {self.now}")
        return self.now

    def step_out(self) -> Position:
        """To behind the return from what is executed here."""
        for _ in range(_LONGEST_FUNCTION):
            if flow_at(self.machine.cpu)[0] is Flow.BACK:
                return self.step()
            self.step_over()
        raise NoSuchPosition(f"no return comes within {_LONGEST_FUNCTION} steps")

    def back_over(self) -> Position:
        """As `back`, with all that was called in it: the inverse of `step_over`."""
        machine = self.machine
        registers, here = machine.cpu.registers, self.now
        behind, depth, ring = machine.cpu.linear_rip, registers.rsp, registers.cpl
        self.back()
        if flow_at(machine.cpu)[0] is not Flow.BACK and not self._is_repeated(behind):
            return self.now
        landed = self.now

        def calls() -> bool:
            flow = flow_at(machine.cpu)
            return flow == (Flow.DEEPER, behind) and registers.rsp == depth and registers.cpl == ring

        found = self._last_at(callers_of(behind), here, calls)
        self._timeline.go_to(found or landed)
        return self.now

    def _is_repeated(self, behind: int) -> bool:
        return flow_at(self.machine.cpu) == (Flow.DEEPER, behind)

    def back_out(self) -> Position:
        """Back to in front of the call, or the INT, by which what is executed here was reached."""
        here = self.now
        for _ in range(_LONGEST_FUNCTION):
            entered = self.machine.cpu.linear_rip
            try:
                self.back_over()
            except NoSuchPosition:
                break
            flow, behind = flow_at(self.machine.cpu)
            if flow is Flow.DEEPER and entered not in (behind, self.machine.cpu.linear_rip):
                return self.now
        return self._go_back(here, None, "nothing here was called")

    # By source line

    def next_line(self, *, into: bool = False) -> Position:
        """To another line of the kernel's source: over calls, unless `into` them. What has no source counts as one."""
        start, depth = self.line, self.machine.cpu.registers.rsp
        for _ in range(_LONGEST_LINE):
            self.step()
            deeper = self.machine.cpu.registers.rsp < depth and not into
            if self.line != start and not (deeper and self._is_ring(0)):
                return self.now
        raise NoSuchPosition(f"no other line comes within {_LONGEST_LINE} steps")

    def previous_line(self) -> Position:
        """Back to the beginning of the last other line, into calls."""
        here, line, goal = self.now, self.line, None
        for position in self._before(here):
            self._timeline.go_to(position)
            if goal is not None and self.line != line:
                break
            if goal is not None or self.line != line:
                goal, line = position, self.line
        return self._go_back(here, goal, "no other line comes before")

    def _before(self, here: Position) -> Iterator[Position]:
        """All positions before one, the last first."""
        while trail := self._timeline.steps_before(here, _LOOKED_AT):
            yield from reversed(trail)
            here = trail[0]
            self._timeline.go_to(here)

    def _is_ring(self, ring: int) -> bool:
        return self.machine.cpu.registers.cpl == ring

    # Addresses

    def _run_to_address(self, places: Iterable[int], limit: Position | None) -> bool:
        """Whether one of the places was reached, before the limit or the end."""
        machine, wanted = self.machine, frozenset(places)
        machine.stop_at(wanted)
        try:
            while limit is None or self.now < limit:
                before = self.now
                self._timeline.run(limit)
                if machine.cpu.linear_rip in wanted and self.now != before:
                    return limit is None or self.now < limit
                if self.now in (self._timeline.end, before):
                    return False
        finally:
            machine.stop_at([])
        return False

    def _last_at(
        self, places: Iterable[int], here: Position, holds: Callable[[], bool] = lambda: True
    ) -> Position | None:
        """The last visit before `here` where `holds`: looked for from snapshot to snapshot, the latest first."""
        wanted = frozenset(places)
        upper = here
        for start in self._timeline.starts_before(here):
            self._timeline.go_to(start)
            machine = self.machine
            met = machine.cpu.linear_rip in wanted and not machine.halted and holds()
            found = start if met else None
            while self._run_to_address(wanted, upper):
                found = self.now if holds() else found
            if found is not None:
                return found
            upper = start
        return None
