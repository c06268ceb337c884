"""Steps through a run: single steps, over and out, and by lines of the kernel's source."""

from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel.navigation.control_flow import Flow, callers_of, flow_at
from enclave_sim.time_travel.navigation.open_calls import Call, OpenCalls, returns_from_interrupt
from enclave_sim.time_travel.navigation.previous_steps import PreviousSteps
from enclave_sim.time_travel.navigation.visits import Visits
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.timeline.timeline import Timeline

_STEP_BY_STEP = 256
"""Steps among which a previous line is looked for one by one, before the search runs from line to line."""


class Stepping:
    """Moves a timeline by steps. Each method is documented in `Travel`."""

    def __init__(self, timeline: Timeline[Any], visits: Visits) -> None:
        self._timeline = timeline
        self._visits = visits
        self._previous = PreviousSteps(timeline)
        self._cpu = timeline.machine.cpu

    # One step

    def step(self, count: int = 1) -> Position:
        """See `Travel.step`."""
        _require_count(count)
        for _ in range(count):
            if not self._timeline.step():
                raise NoSuchPosition(f"the run ends at {self._timeline.now}")
        return self._timeline.now

    def back(self, count: int = 1) -> Position:
        """See `Travel.back`."""
        _require_count(count)
        while count:
            here = self._timeline.now
            before = self._previous.before(here, count)
            goal = before[-min(count, len(before))] if before else None
            self._timeline.go_back(here, goal, "nothing comes before the beginning of a run")
            count -= len(before)
        return self._timeline.now

    # Over and out

    def step_over(self) -> Position:
        """See `Travel.step_over`."""
        registers = self._cpu.registers
        flow, after = flow_at(self._cpu)
        ring, depth = registers.cpl, registers.rsp
        self.step()
        while flow is Flow.DEEPER and not (
            self._cpu.linear_rip == after and registers.rsp >= depth and registers.cpl == ring
        ):
            if not self._visits.run_to_next([after]):
                raise NoSuchPosition(f"it does not return before the run ends at {self._timeline.now}")
        return self._timeline.now

    def step_out(self) -> Position:
        """See `Travel.step_out`."""
        registers, calls = self._cpu.registers, OpenCalls(self._timeline)
        ring, floor = registers.cpl, registers.rsp
        while not (calls.meet() and registers.cpl == ring):
            if not self._visits.run_to_next(calls_above=floor):
                raise NoSuchPosition(f"it does not return before the run ends at {self._timeline.now}")
        return self.step()

    def back_over(self) -> Position:
        """See `Travel.back_over`."""
        cpu, here = self._cpu, self._timeline.now
        registers = cpu.registers
        after, depth, ring = cpu.linear_rip, registers.rsp, registers.cpl
        self.back()
        flow = flow_at(cpu)
        if flow[0] is not Flow.BACK and flow != (Flow.DEEPER, after):  # neither a return nor a repetition
            return self._timeline.now
        landed = self._timeline.now

        def calls() -> bool:
            return flow_at(cpu) == (Flow.DEEPER, after) and registers.rsp == depth and registers.cpl == ring

        found = self._visits.find_last(callers_of(after), here, calls)
        self._timeline.go_to(found or landed)
        return self._timeline.now

    def back_out(self) -> Position:
        """See `Travel.back_out`."""
        timeline, registers = self._timeline, self._cpu.registers
        here, floor = timeline.now, registers.rsp
        for start in timeline.starts_before(here):
            timeline.go_to(start)
            calls = OpenCalls(timeline)
            if registers.rsp > floor:
                calls.meet()
            while self._visits.run_to_next(limit=here, calls_above=floor):
                calls.meet()
            timeline.go_to(here)
            calls.follow_events()
            entered = calls.innermost
            if isinstance(entered, Call):
                timeline.go_to(entered.position)
                return timeline.now
            if entered is not None:
                timeline.go_to_event(entered.seq)
                return self.back()
        return timeline.go_back(here, None, "nothing here was called")

    # By source line

    def next_line(self, *, into: bool = False) -> Position:
        """See `Travel.next_line`."""
        timeline, lines = self._timeline, self._timeline.program.lines
        start, calls = timeline.line, OpenCalls(timeline)
        while True:
            if into or flow_at(self._cpu)[0] is not Flow.DEEPER:
                self.step()
            else:
                self.step_over()
            if timeline.line == start and flow_at(self._cpu)[0] is Flow.STRAIGHT:
                self._visits.run_to_next(outside=lines.around(self._cpu.linear_rip), calls_above=0)
            calls.follow_events()
            if calls.interrupted and not into:
                self._leave(calls)
            if timeline.line != start:
                return timeline.now

    def _leave(self, calls: OpenCalls) -> None:
        """Run to the return of an interrupt."""
        while calls.interrupted:
            self._timeline.run(wanted=returns_from_interrupt)
            if self._timeline.now == self._timeline.end:
                raise NoSuchPosition(f"no other line comes before the run ends at {self._timeline.now}")
            calls.follow_events()

    def previous_line(self) -> Position:
        """See `Travel.previous_line`."""
        timeline, here = self._timeline, self._timeline.now
        line, goal = timeline.line, None
        trail = self._previous.before(here, _STEP_BY_STEP)
        for position in reversed(trail):
            timeline.go_to(position)
            if goal is not None and timeline.line != line:
                timeline.go_to(goal)
                return goal
            if goal is not None or timeline.line != line:
                goal, line = position, timeline.line
        return timeline.go_back(here, self._line_before(here), "no other line comes before")

    def _line_before(self, here: Position) -> Position | None:
        """Find the beginning of the line executed before the one at a position, by running from line to line."""
        timeline, lines = self._timeline, self._timeline.program.lines
        for start in timeline.starts_before(here):
            timeline.go_to(start)
            begins = [(timeline.line, start)]
            while self._visits.run_to_next(limit=here, outside=lines.around(self._cpu.linear_rip)):
                if timeline.line != begins[-1][0]:
                    begins = [*begins[-2:], (timeline.line, timeline.now)]
            timeline.go_to(here)
            if timeline.line != begins[-1][0]:
                begins.append((timeline.line, here))
            if len(begins) > 2 or (len(begins) == 2 and start == Position(0)):
                return begins[-2][1]
        return None


def _require_count(count: int) -> None:
    if count < 0:
        raise ConfigurationError(f"a count of steps is {count}; it must be 0 or more")
