"""The last steps before a position. Their positions are not recorded: they are found by running up to it again."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline

_NEAR_NS = 64
"""A search ends this close to the goal; the rest is stepped."""
_SHORT = 128
"""The number of steps tried from one start before a closer start is tried."""


class PreviousSteps:
    """Finds the positions of a timeline that precede another one."""

    def __init__(self, timeline: Timeline[Any]) -> None:
        self._timeline = timeline
        self._trail: list[Position] = []
        """Consecutive positions, from the last search."""
        self._future = timeline.futures
        """The future of the run in which they were found."""

    def before(self, goal: Position, count: int) -> list[Position]:
        """Find the last positions before `goal`; the run is at `goal` afterwards.

        Args:
            goal: A position of the run.
            count: The number to find; fewer are returned if one search finds no more.

        Returns:
            The positions, in order; empty at the beginning of the run.
        """
        known = self._known_before(goal)
        if len(known) >= count:
            return known[-count:]
        timeline = self._timeline
        trail: list[Position] = []
        for start_ns in self._starts_before(goal):
            timeline.restore_before(Position(start_ns))
            timeline.run(Position(start_ns))
            if self._is_before(goal):
                timeline.leave_snapshot()  # the next search is likely to end near here
                low = timeline.now
                trail = self._steps_to(goal) or self._steps_to(goal, self._close_in(low, goal))
                break
        if trail and (timeline.now == goal or self._next_is(goal)):
            self._trail = [*trail, goal]
        return trail[-count:]

    def _starts_before(self, goal: Position) -> Iterator[int]:
        """Yield virtual times (ns) from which to run towards the goal, until there is a step in between.

        A stay in the guest, or a sleep, is one step. It began at the last event, so with a VMM the last event comes
        first: a position within a stay cannot be restored, only reached by running to it again.

        Yields:
            Times before the goal, the likeliest first, and finally 0.
        """
        timeline = self._timeline
        earlier = (event.at_ns for event in reversed(timeline.events) if event.at_ns < goal.at_ns)
        near = max(0, goal.at_ns - _NEAR_NS)
        last = next(earlier, 0)
        yield from (last, near) if timeline.machine.coprocessor is not None else (near, last)
        yield from earlier
        yield 0

    def _steps_to(self, goal: Position, start: Position | None = None) -> list[Position]:
        """Step from `start`, or from here, to the goal. Return the positions on the way; none if there are too many."""
        timeline = self._timeline
        if start is not None:
            timeline.go_to(start)
        trail: list[Position] = []
        while timeline.now < goal:
            if start is None and len(trail) == _SHORT:
                return []
            trail.append(timeline.now)
            if self._next_is(goal):
                break
            if not timeline.step():
                break
        return trail

    def _next_is(self, goal: Position) -> bool:
        """Return whether the next step is a stay in the guest that ends at the goal, with an event."""
        timeline = self._timeline
        events = timeline.monitor.events
        ahead = timeline.seen < len(events) and events[timeline.seen].at_ns >= goal.at_ns
        return timeline.subject.in_guest and ahead and goal.step == 0

    def _known_before(self, goal: Position) -> list[Position]:
        """Return the positions before the goal from the last search."""
        if self._future != self._timeline.futures:
            self._trail, self._future = [], self._timeline.futures
        index = bisect_left(self._trail, goal)
        return self._trail[:index] if self._trail[index : index + 1] == [goal] else []

    def _is_before(self, goal: Position) -> bool:
        """Return whether a step begins before the goal: here, or after the step in progress, which it completes."""
        timeline = self._timeline
        if timeline.now < goal and not timeline.subject.between_steps:
            timeline.step()
        return timeline.now < goal and timeline.subject.between_steps

    def _close_in(self, low: Position, goal: Position) -> Position:
        """Find a position shortly before the goal, by bisection, because there may be one long sleep in between."""
        timeline = self._timeline
        high_ns = goal.at_ns
        while high_ns - low.at_ns > _NEAR_NS:
            timeline.leave_snapshot()
            middle_ns = (low.at_ns + high_ns) // 2
            timeline.restore_before(low)
            timeline.go_to(low)
            timeline.advance_to(middle_ns)
            if self._is_before(goal) and timeline.now > low:
                low = timeline.now
            else:
                high_ns = middle_ns
        return low
