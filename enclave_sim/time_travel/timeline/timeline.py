"""A run with snapshots along its way, so that any position of it can be reached again.

To go back is to restore the nearest snapshot before the goal and to run forward. Snapshots are left behind while
running, about as often as running from one takes `_SPACING_S` on this host, or twice as long as to take one, and
thinned out when they become many. Where they lie changes how long a way back takes and nothing else: events that come
again are compared with those of the first time.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Generic

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.enclave.kernel.source_lines import SourceLine
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.target import S
from enclave_sim.time_travel.timeline.event_monitor import EventMonitor
from enclave_sim.time_travel.timeline.snapshots import KeptSnapshot, Snapshots
from machine.events import Event, Recorder
from machine.machine import Outcome

_SPACING_S = 0.01
_FIRST_STRIDE_NS, _LEAST_STRIDE_NS, _MOST_STRIDE_NS = 100_000, 1_000, 10_000_000
_FEW_NS = 64
"""So near to the goal one goes step by step."""
_SHORT = 128
"""So many steps are tried before a nearer start is looked for."""


class Timeline(Generic[S]):
    """One run, its snapshots, and where it is. `make` gives the subject that is run, recorded by what it gets."""

    def __init__(self, make: Callable[[Recorder], S]) -> None:
        self.monitor = EventMonitor()
        self.subject = make(self.monitor)
        self.machine = self.subject.machine
        self.cancellation = self.subject.cancellation
        """Polled again and again while the run goes on, between two steps or within a stay in the guest or a sleep."""
        self.monitor.stop = self.machine.request_stop
        self._step = 0
        self._interrupted = False
        self._stride_ns = _FIRST_STRIDE_NS
        self._kept = Snapshots()
        self._snapshot_s = 0.0
        """How long the last one took."""
        self._trail: list[Position] = []
        """Consecutive positions: those that the last search for a way back has met."""
        self.end: Position | None = None
        """Where the run ends, once that has been seen."""
        self.leave_snapshot()

    @property
    def now(self) -> Position:
        """The current position."""
        return Position(self.machine.clock.now_ns, self._step)

    @property
    def seen(self) -> int:
        """How many events lie behind the current position."""
        return self.machine.journal.seq

    @property
    def events(self) -> list[Event]:
        """The events before the current position."""
        return self.monitor.events[: self.seen]

    @property
    def program(self) -> Program:
        """What is executed in ring 0."""
        return self.subject.program

    @property
    def line(self) -> SourceLine | None:
        """The line of the kernel's source that the processor is at."""
        return self.program.lines.at(self.machine.cpu.linear_rip)

    @property
    def snapshots(self) -> tuple[Position, ...]:
        """Where there are snapshots, in order."""
        return self._kept.positions

    def starts_before(self, goal: Position) -> Iterator[Position]:
        """Snapshots from which to look for the last of something before a position, the nearest first.

        Each time one goes back over twice as many of them: a restore may cost as much as the run up to it.
        """
        known = [position for position in self.snapshots if position < goal]
        count = 1
        while known:
            yield known[-count:][0]
            del known[-count:]
            count *= 2

    # Forward

    def step(self) -> bool:
        """Go one step further. False at the end of the run. Raises Cancelled."""
        self.cancellation.poll()
        before, step, stays = self.machine.clock.now_ns, self._step, self.subject.in_guest
        while True:
            if not self.subject.step():
                self.end = Position(before, step)
                return False
            if self.subject.between_steps:
                break
        now = self.machine.clock.now_ns
        self._step = step + 1 if now == before else 0
        if stays:
            self.leave_snapshot()  # what comes behind a stay can be reached without it
        return True

    def run(self, limit: Position | None = None, wanted: Callable[[Event], bool] | None = None) -> Event | None:
        """Run until an event is `wanted`, an address is reached that the machine stops at, or to `limit` or the end.

        Returns the event. Leaves snapshots behind. Raises Cancelled.
        """
        self.monitor.wanted, self.monitor.found = wanted, None
        self._interrupted = False
        self.machine.pass_this_address()
        try:
            while self.monitor.found is None and not self._is_at(limit):
                self.cancellation.poll()
                started, here = perf_counter(), self.now
                until_ns = here.at_ns + self._stride_ns
                outcome = self._run_to_ns(until_ns if limit is None else min(until_ns, limit.at_ns))
                if outcome in (Outcome.HALTED, Outcome.SHUTDOWN):
                    self.end = self.now
                    break
                if self.machine.at_stop or self._interrupted:
                    break
                if outcome is Outcome.STOPPED:
                    continue  # an input may have become due
                if limit is not None and self.now.at_ns >= limit.at_ns:
                    self._walk(limit)
                    break
                if limit is None and self.subject.in_guest and not self.subject.between_steps:
                    self.step()
                if self.monitor.found is None:
                    self._adapt(perf_counter() - started)
                    self.leave_snapshot()
        finally:
            self.monitor.wanted = None
        return self.monitor.found

    def interrupt(self) -> None:
        """Let `run` return behind the current instruction."""
        self._interrupted = True
        self.machine.request_stop()

    def _is_at(self, limit: Position | None) -> bool:
        return limit is not None and self.now >= limit

    def _run_to_ns(self, limit_ns: int) -> Outcome:
        before = self.machine.clock.now_ns
        if limit_ns <= before:
            return Outcome.LIMIT
        outcome = self.subject.advance(limit_ns)
        if self.machine.clock.now_ns != before:
            self._step = 0
        return outcome

    def _walk(self, goal: Position) -> None:
        """Go the last steps, which take no time."""
        while self.now < goal:
            if not self.step():
                raise NoSuchPosition(f"the run ends at {self.end}; there is no {goal}")

    def _adapt(self, elapsed_s: float) -> None:
        spacing_s = max(_SPACING_S, 2 * self._snapshot_s)
        if elapsed_s > spacing_s:
            self._stride_ns = max(self._stride_ns // 2, _LEAST_STRIDE_NS)
        elif elapsed_s < spacing_s / 2:
            self._stride_ns = min(self._stride_ns * 2, _MOST_STRIDE_NS)

    # Snapshots

    def leave_snapshot(self) -> None:
        """Take one here, unless there is one."""
        if not self._kept.has(self.now):
            started = perf_counter()
            self._kept.put(KeptSnapshot(self.now, self.seen, self.subject.snapshot()))
            self._snapshot_s = perf_counter() - started

    def _restore_before(self, goal: Position) -> None:
        """The nearest snapshot at or before a position, unless one is between it and the goal already."""
        kept = self._kept.before(goal)
        if not kept.position <= self.now <= goal:
            self._restore(kept)

    def _restore(self, kept: KeptSnapshot) -> None:
        self.subject.restore(kept.snapshot)
        self._step = kept.position.step

    # Anywhere

    def go_to(self, goal: Position) -> None:
        """Be at a position. Raises NoSuchPosition where the run has none such."""
        self._restore_before(goal)
        self.run(goal)
        if self.now != goal:
            raise NoSuchPosition(f"there is no step at {goal}; the next is at {self.now}")

    def go_back(self, here: Position, goal: Position | None, otherwise: str) -> Position:
        """Be at an earlier position that was looked for; `here` again, and raise NoSuchPosition, where it is None."""
        self.go_to(here if goal is None else goal)
        if goal is None:
            raise NoSuchPosition(otherwise)
        return self.now

    def go_to_time(self, at_ns: int) -> None:
        """Be at the first position at or after a time."""
        self._restore_before(Position(at_ns))
        self.run(Position(at_ns))
        if not self.subject.between_steps:
            self.step()

    def go_to_event(self, seq: int) -> None:
        """Be where a known event has just happened."""
        self._restore(self._kept.before_event(seq))
        self.run(wanted=lambda event: event.seq == seq)

    def steps_before(self, goal: Position, count: int) -> list[Position]:
        """The last positions before one, at most about `count` of them, in order; the run is at `goal` afterwards.

        Empty at the beginning of the run.
        """
        known = self._known_before(goal)
        if len(known) >= count:
            return known[-count:]
        trail: list[Position] = []
        for start_ns in self._starts_before(goal):
            self._restore_before(Position(start_ns))
            self.run(Position(start_ns))
            if self._is_before(goal):
                self.leave_snapshot()  # the next way back is likely to end near here
                low = self.now
                trail = self._steps_to(goal) or self._steps_to(goal, self._close_in(low, goal))
                break
        if trail and (self.now == goal or self._next_is(goal)):
            self._trail = [*trail, goal]
        return trail[-count:]

    def _starts_before(self, goal: Position) -> Iterator[int]:
        """Times from which to go on towards the goal, until there is a step before it.

        A stay in the guest, or a sleep, is one step. It began where the last event was, so where there is a VMM that is
        looked at first: what lies within a stay cannot be restored but only run to again.
        """
        earlier = (event.at_ns for event in reversed(self.events) if event.at_ns < goal.at_ns)
        near = max(0, goal.at_ns - _FEW_NS)
        last = next(earlier, 0)
        yield from (last, near) if self.machine.coprocessor is not None else (near, last)
        yield from earlier
        yield 0

    def _steps_to(self, goal: Position, start: Position | None = None) -> list[Position]:
        """All positions from one, or from here, to the goal; empty if they are too many to go through them."""
        if start is not None:
            self.go_to(start)
        trail: list[Position] = []
        while self.now < goal:
            if start is None and len(trail) == _SHORT:
                return []
            trail.append(self.now)
            if self._next_is(goal):
                break
            if not self.step():
                break
        return trail

    def _next_is(self, goal: Position) -> bool:
        """Whether the next step is a stay in the guest that is known to last until the goal: it ends with an event."""
        events = self.monitor.events
        ahead = self.seen < len(events) and events[self.seen].at_ns >= goal.at_ns
        return self.subject.in_guest and ahead and goal.step == 0

    def _known_before(self, goal: Position) -> list[Position]:
        """What the last search has found already."""
        index = bisect_left(self._trail, goal)
        return self._trail[:index] if self._trail[index : index + 1] == [goal] else []

    def _is_before(self, goal: Position) -> bool:
        """Whether there is a step from here on, or from the end of what goes on here, that is before the goal."""
        if self.now < goal and not self.subject.between_steps:
            self.step()
        return self.now < goal and self.subject.between_steps

    def _close_in(self, low: Position, goal: Position) -> Position:
        """A position before the goal, and near to it: by halves, since what lies between may be one long sleep."""
        high_ns = goal.at_ns
        while high_ns - low.at_ns > _FEW_NS:
            self.leave_snapshot()
            middle_ns = (low.at_ns + high_ns) // 2
            self._restore_before(low)
            self.go_to(low)
            self._run_to_ns(middle_ns)
            if self._is_before(goal) and self.now > low:
                low = self.now
            else:
                high_ns = middle_ns
        return low
