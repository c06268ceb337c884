"""A run with snapshots along its way, so that any position of it can be reached again.

To go back is to restore the nearest snapshot before the goal and to run forward. Snapshots are left behind while
running, about as often as running from one takes `_SPACING_S` on this host, and thinned out when they become many.
Where they lie changes how long a way back takes and nothing else: events that come again are compared with those of
the first time.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple

from enclave_sim.enclave import Enclave, EnclaveSnapshot
from enclave_sim.time_travel.position import NoSuchPosition, Position
from machine.errors import EmulatorFault
from machine.events import Event
from machine.machine import Outcome
from machine.ram import RamImage

_SPACING_S = 0.01
_FIRST_STRIDE_NS, _LEAST_STRIDE_NS, _MOST_STRIDE_NS = 100_000, 1_000, 10_000_000
_MOST_SNAPSHOTS = 512
_FEW_NS = 64
"""So near to the goal one goes step by step."""
_SHORT = 128
"""So many steps are tried before a nearer start is looked for."""


class _Mark(NamedTuple):
    position: Position
    seen: int
    """How many events lie behind it."""
    snapshot: EnclaveSnapshot


class Tap:
    """A recorder that knows every event of the run, and can stop the machine at one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        """All that are known; those ahead of the current position, too."""
        self.wanted: Callable[[Event], bool] | None = None
        self.found: Event | None = None
        self.stop: Callable[[], None]

    def record(self, event: Event) -> None:
        """Take one event."""
        if event.seq == len(self.events):
            self.events.append(event)
        elif self.events[event.seq] != event:
            raise EmulatorFault(f"event {event.seq} was {self.events[event.seq]} and came again as {event}")
        if self.wanted is not None and self.found is None and self.wanted(event):
            self.found = event
            self.stop()


class Timeline:
    """One enclave, its snapshots, and where it is. The arguments are those of `Enclave`."""

    def __init__(self, payload: Any, **options: Any) -> None:
        self.tap = Tap()
        self.enclave = Enclave(payload, recorder=self.tap, record=False, **options)
        self.tap.stop = self.enclave.machine.request_stop
        self._step = 0
        self._interrupted = False
        self._stride_ns = _FIRST_STRIDE_NS
        self._snapshots: list[_Mark] = []
        self._trail: list[Position] = []
        """Consecutive positions: those that the last search for a way back has met."""
        self.end: Position | None = None
        """Where the run ends, once that has been seen."""
        self.attend: Callable[[], None] = _nothing
        """Called again and again while the run goes on. What it raises ends that, perhaps within a stay or a sleep."""
        self.leave_snapshot()

    @property
    def now(self) -> Position:
        """The current position."""
        return Position(self.enclave.machine.clock.now_ns, self._step)

    @property
    def seen(self) -> int:
        """How many events lie behind the current position."""
        return self.enclave.machine.journal.seq

    @property
    def snapshots(self) -> tuple[Position, ...]:
        """Where there are snapshots, in order."""
        return tuple(mark.position for mark in self._snapshots)

    # Forward

    def step(self) -> bool:
        """Go one step further. False at the end of the run."""
        self.attend()
        before, step = self.enclave.machine.clock.now_ns, self._step
        while True:
            if not self.enclave.step():
                self.end = Position(before, step)
                return False
            if self.enclave.between_steps:
                break
        now = self.enclave.machine.clock.now_ns
        self._step = step + 1 if now == before else 0
        return True

    def run(self, limit: Position | None = None, wanted: Callable[[Event], bool] | None = None) -> Event | None:
        """Run until an event is `wanted`, an address is reached that the machine stops at, or to `limit` or the end.

        Returns the event. Leaves snapshots behind.
        """
        self.tap.wanted, self.tap.found = wanted, None
        self._interrupted = False
        try:
            while self.tap.found is None and not self._is_at(limit):
                self.attend()
                started, here = perf_counter(), self.now
                until_ns = here.at_ns + self._stride_ns
                outcome = self._run_to_ns(until_ns if limit is None else min(until_ns, limit.at_ns))
                if outcome in (Outcome.HALTED, Outcome.SHUTDOWN):
                    self.end = self.now
                    break
                if self.enclave.machine.at_stop or self._interrupted:
                    break
                if outcome is Outcome.STOPPED:
                    continue  # an input may have become due
                if limit is not None and self.now.at_ns >= limit.at_ns:
                    self._walk(limit)
                    break
                if limit is None and self.enclave.in_guest and not self.enclave.between_steps:
                    self.step()  # what comes behind a stay can be reached without it
                if self.tap.found is None:
                    self._adapt(perf_counter() - started)
                    self.leave_snapshot()
        finally:
            self.tap.wanted = None
        return self.tap.found

    def interrupt(self) -> None:
        """Let `run` return behind the current instruction."""
        self._interrupted = True
        self.enclave.machine.request_stop()

    def _is_at(self, limit: Position | None) -> bool:
        return limit is not None and self.now >= limit

    def _run_to_ns(self, limit_ns: int) -> Outcome:
        before = self.enclave.machine.clock.now_ns
        if limit_ns <= before:
            return Outcome.LIMIT
        outcome = self.enclave.advance(limit_ns)
        if self.enclave.machine.clock.now_ns != before:
            self._step = 0
        return outcome

    def _walk(self, goal: Position) -> None:
        """Go the last steps, which take no time."""
        while self.now < goal:
            if not self.step():
                raise NoSuchPosition(f"the run ends at {self.end}; there is no {goal}")

    def _adapt(self, elapsed_s: float) -> None:
        if elapsed_s > _SPACING_S:
            self._stride_ns = max(self._stride_ns // 2, _LEAST_STRIDE_NS)
        elif elapsed_s < _SPACING_S / 2:
            self._stride_ns = min(self._stride_ns * 2, _MOST_STRIDE_NS)

    # Snapshots

    def leave_snapshot(self) -> None:
        """Take one here, unless there is one."""
        here = self.now
        index = bisect_right(self.snapshots, here)
        if index and self._snapshots[index - 1].position == here:
            return
        snapshot = self.enclave.snapshot()
        if index:
            snapshot = _sharing(snapshot, self._snapshots[index - 1].snapshot)
        self._snapshots.insert(index, _Mark(here, self.seen, snapshot))
        if len(self._snapshots) > _MOST_SNAPSHOTS:
            del self._snapshots[1:-1:2]

    def _restore_before(self, goal: Position) -> None:
        """The nearest snapshot at or before a position, unless one is between it and the goal already."""
        index = bisect_right(self.snapshots, goal) - 1
        if self._snapshots[index].position <= self.now <= goal:
            return
        self._restore(index)

    def _restore(self, index: int) -> None:
        mark = self._snapshots[index]
        self.enclave.restore(mark.snapshot)
        self._step = mark.position.step

    # Anywhere

    def go_to(self, goal: Position) -> None:
        """Be at a position. Raises NoSuchPosition where the run has none such."""
        self._restore_before(goal)
        self.run(goal)
        if self.now != goal:
            raise NoSuchPosition(f"there is no step at {goal}; the next is at {self.now}")

    def go_to_time(self, at_ns: int) -> None:
        """Be at the first position at or after a time."""
        self._restore_before(Position(at_ns))
        self.run(Position(at_ns))
        if not self.enclave.between_steps:
            self.step()

    def go_to_event(self, seq: int) -> None:
        """Be where a known event has just happened."""
        self._restore(bisect_right([mark.seen for mark in self._snapshots], seq) - 1)
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
        earlier = (event.at_ns for event in reversed(self.tap.events[: self.seen]) if event.at_ns < goal.at_ns)
        near = max(0, goal.at_ns - _FEW_NS)
        last = next(earlier, 0)
        yield from (last, near) if self.enclave.machine.coprocessor is not None else (near, last)
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
        events = self.tap.events
        ahead = self.seen < len(events) and events[self.seen].at_ns >= goal.at_ns
        return self.enclave.in_guest and ahead and goal.step == 0

    def _known_before(self, goal: Position) -> list[Position]:
        """What the last search has found already."""
        index = bisect_left(self._trail, goal)
        return self._trail[:index] if self._trail[index : index + 1] == [goal] else []

    def _is_before(self, goal: Position) -> bool:
        """Whether there is a step from here on, or from the end of what goes on here, that is before the goal."""
        if self.now < goal and not self.enclave.between_steps:
            self.step()
        return self.now < goal and self.enclave.between_steps

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


def _nothing() -> None:
    pass


def _sharing(snapshot: EnclaveSnapshot, other: EnclaveSnapshot) -> EnclaveSnapshot:
    """A snapshot that holds no second copy of what is the same in another."""
    known = dict(other.machine.ram.runs)
    runs = tuple((base, known[base] if known.get(base) == data else data) for base, data in snapshot.machine.ram.runs)
    return replace(snapshot, machine=replace(snapshot.machine, ram=RamImage(runs)))
