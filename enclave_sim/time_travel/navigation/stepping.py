"""Steps through a run: single steps, over and out, and by lines of the kernel's source."""

from collections.abc import Iterator
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel.navigation.control_flow import Flow, callers_of, flow_at
from enclave_sim.time_travel.navigation.previous_steps import PreviousSteps
from enclave_sim.time_travel.navigation.visits import Visits
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.timeline.timeline import Timeline

_LONGEST_LINE = 100_000
_LONGEST_FUNCTION = 10_000
_SEARCHED_AT_ONCE = 256


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
        for _ in range(_LONGEST_FUNCTION):
            if flow_at(self._cpu)[0] is Flow.BACK:
                return self.step()
            self.step_over()
        raise NoSuchPosition(f"no return comes within {_LONGEST_FUNCTION} steps")

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
        here = self._timeline.now
        for _ in range(_LONGEST_FUNCTION):
            entered = self._cpu.linear_rip
            try:
                self.back_over()
            except NoSuchPosition:
                break
            flow, after = flow_at(self._cpu)
            if flow is Flow.DEEPER and entered not in (after, self._cpu.linear_rip):
                return self._timeline.now
        return self._timeline.go_back(here, None, "nothing here was called")

    # By source line

    def next_line(self, *, into: bool = False) -> Position:
        """See `Travel.next_line`."""
        registers = self._cpu.registers
        start, depth = self._timeline.line, registers.rsp
        for _ in range(_LONGEST_LINE):
            self.step()
            deeper = registers.rsp < depth and not into
            if self._timeline.line != start and not (deeper and registers.cpl == 0):
                return self._timeline.now
        raise NoSuchPosition(f"no other line comes within {_LONGEST_LINE} steps")

    def previous_line(self) -> Position:
        """See `Travel.previous_line`."""
        here, line, goal = self._timeline.now, self._timeline.line, None
        for position in self._before(here):
            self._timeline.go_to(position)
            if goal is not None and self._timeline.line != line:
                break
            if goal is not None or self._timeline.line != line:
                goal, line = position, self._timeline.line
        return self._timeline.go_back(here, goal, "no other line comes before")

    def _before(self, here: Position) -> Iterator[Position]:
        """Yield all positions before `here`, the last first."""
        while trail := self._previous.before(here, _SEARCHED_AT_ONCE):
            yield from reversed(trail)
            here = trail[0]
            self._timeline.go_to(here)


def _require_count(count: int) -> None:
    if count < 0:
        raise ConfigurationError(f"a count of steps is {count}; it must be 0 or more")
