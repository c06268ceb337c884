"""A run with snapshots along it, so that any position can be reached again.

To go back, restore the nearest snapshot before the goal and run forward. A run takes snapshots as it proceeds,
`_SPACING_S` of host time apart, or twice the time that taking one needs, if that is longer. They are thinned out when
there are many. Their positions affect only the time to go back: repeated events are compared with their first
occurrence.
"""

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Generic, NamedTuple

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.enclave.kernel.source_lines import SourceLine
from enclave_sim.errors import ConfigurationError, EnclaveError
from enclave_sim.events import KernelStopped, ResidueScanned
from enclave_sim.inputs import AnyInput
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.target import S
from enclave_sim.time_travel.timeline.event_monitor import EventMonitor
from enclave_sim.time_travel.timeline.snapshots import KeptSnapshot, Snapshots
from machine.events import Event, Recorder
from machine.machine import Outcome

_SPACING_S = 0.01
_FIRST_STRIDE_NS, _MIN_STRIDE_NS, _MAX_STRIDE_NS = 100_000, 1_000, 10_000_000


class Given(NamedTuple):
    """An input given during the run, and the position at which it takes effect."""

    position: Position
    what: AnyInput


class Timeline(Generic[S]):
    """One run, its snapshots, and its current position.

    Args:
        make: Makes the subject to run; called once, with the recorder that it must use.
        recorded: The events that the run must have, those of a recording; None for any.
    """

    def __init__(self, make: Callable[[Recorder], S], recorded: Sequence[Event] | None = None) -> None:
        self.monitor = EventMonitor(recorded)
        self.subject = make(self.monitor)
        self.machine = self.subject.machine
        self.cancellation = self.subject.cancellation
        """Polled repeatedly during the run, between steps and within a stay in the guest or a sleep."""
        self.monitor.stop = self.machine.request_stop
        self._interrupted = False
        self._given: list[Given] = []
        self.futures = 1
        """The number of futures that the run has had: each input given makes another one."""
        self._stride_ns = _FIRST_STRIDE_NS
        self._kept = Snapshots()
        self._snapshot_s = 0.0
        """Host time taken by the last snapshot, in seconds."""
        self._unkept_s = 0.0
        """Host time for which the run has gone on since the last snapshot, in short runs that take none themselves."""
        self.end: Position | None = None
        """The end of the run, once reached."""
        self.leave_snapshot()

    @property
    def now(self) -> Position:
        """The current position."""
        clock = self.machine.clock
        return Position(clock.now_ns, clock.timeless_steps)

    @property
    def seen(self) -> int:
        """The number of events before the current position."""
        return self.machine.journal.seq

    @property
    def events(self) -> list[Event]:
        """The events before the current position."""
        return self.monitor.events[: self.seen]

    @property
    def program(self) -> Program:
        """The kernel that is executed in ring 0."""
        return self.subject.program

    @property
    def line(self) -> SourceLine | None:
        """The current line of the kernel's source."""
        return self.program.lines.at(self.machine.cpu.linear_rip)

    @property
    def snapshots(self) -> tuple[Position, ...]:
        """The positions of the snapshots, in order."""
        return self._kept.positions

    def starts_before(self, goal: Position) -> Iterator[Position]:
        """Yield snapshots from which to search for the last of something before a position.

        Each is twice as many snapshots back as the previous one, because a restore may take as long as the run up to
        it.

        Yields:
            Positions of snapshots before `goal`, the nearest first.
        """
        known = [position for position in self.snapshots if position < goal]
        count = 1
        while known:
            yield known[-count:][0]
            del known[-count:]
            count *= 2

    # Forward

    def step(self) -> bool:
        """Execute one step. Return False at the end of the run. Raises Cancelled."""
        self.cancellation.poll()
        given = self._given_before(None)
        if given is not None and given.position == self.now:
            self.subject.take(given.what)
            return True
        before, stays = self.now, self.subject.in_guest
        while True:
            if not self.subject.step():
                concludes = self._conclude()
                self._end()
                return concludes
            if self.subject.between_steps:
                break
        if self.now == before:
            self.machine.clock.timeless_steps += 1
        self._conclude_dormant()
        if stays:
            self.leave_snapshot()  # so that positions after a stay can be reached without re-executing it
        return True

    def run(self, limit: Position | None = None, wanted: Callable[[Event], bool] | None = None) -> Event | None:
        """Run to an event, to an address at which the machine stops, to `limit`, or to the end. Takes snapshots.

        Args:
            limit: The position to stop at; None to run to the end.
            wanted: Returns True for the event to stop at; None to stop at no event.

        Returns:
            The event, if one ended it.

        Raises:
            NoSuchPosition: The run ends among the steps at the time of `limit`.
            Cancelled: The token was cancelled.
        """
        self.monitor.wanted, self.monitor.found = wanted, None
        self._interrupted = False
        self.machine.pass_this_address()
        begun = perf_counter()
        try:
            while self.monitor.found is None and not self._is_at(limit):
                self.cancellation.poll()
                started, here = perf_counter(), self.now
                until_ns = here.at_ns + self._stride_ns
                outcome = self.advance_to(until_ns if limit is None else min(until_ns, limit.at_ns))
                if outcome in (Outcome.HALTED, Outcome.SHUTDOWN):
                    if self.monitor.found is None and not self._is_at(limit):
                        self._conclude()
                        self._end()
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
        self._unkept_s += perf_counter() - begun
        if self._unkept_s > self._spacing_s:
            self.leave_snapshot()
        return self.monitor.found

    def _end(self) -> None:
        """Note the end of the run. Raises RecordingError if a recording has further events."""
        self.end = self.now
        self.monitor.end()

    def _conclude_dormant(self) -> None:
        """Make a subject that has just ended record that: it belongs to the last step."""
        if self.subject.is_over and not self._is_concluded:
            self.subject.conclude()

    def _conclude(self) -> bool:
        """Make a subject whose end was not seen before record that, in a step of its own. Return False if it has."""
        if self._is_concluded or not self.subject.conclude():
            return False
        self.machine.clock.timeless_steps += 1
        return True

    def take(self, one: AnyInput) -> None:
        """Let an input take effect here. It is part of the run from now on, and later events are discarded.

        Raises:
            ConfigurationError: This is within a step, or at the end of the run. Nothing has changed then.
            EnclaveError: The input is impossible here. Nothing has changed then.
        """
        here = self.now
        if not self.subject.between_steps or here == self.end or self.subject.ended:
            why = "the run is over" if self.subject.between_steps else "a sleep or a stay in the guest is going on"
            raise ConfigurationError(f"no input can be given at {here}: {why}")
        future, comparison = self.monitor.events[self.seen :], self.monitor.comparison
        del self.monitor.events[self.seen :]
        self.monitor.comparison = None
        try:
            self.subject.take(one)
        except EnclaveError:
            self.monitor.events += future
            self.monitor.comparison = comparison
            raise
        self._given = [*(given for given in self._given if given.position < here), Given(here, one)]
        self._kept.forget_after(here)
        self.end = None
        self.futures += 1

    @property
    def gives_input_here(self) -> bool:
        """True if the next step takes an input that was given here."""
        given = self._given_before(None)
        return given is not None and given.position == self.now

    def _given_before(self, limit: Position | None) -> Given | None:
        """Return the next input that was given, if its position is before a limit."""
        ahead = (one for one in self._given if one.position >= self.now)
        return next((one for one in ahead if limit is None or one.position < limit), None)

    @property
    def _is_concluded(self) -> bool:
        return self.seen > 0 and isinstance(self.monitor.events[self.seen - 1], ResidueScanned | KernelStopped)

    def interrupt(self) -> None:
        """Make `run` return after the current instruction."""
        self._interrupted = True
        self.machine.request_stop()

    def _is_at(self, limit: Position | None) -> bool:
        return limit is not None and self.now >= limit

    def advance_to(self, limit_ns: int) -> Outcome:
        """Run to a virtual time (ns), or until the machine stops earlier. Does nothing if that time has passed."""
        given = self._given_before(Position(limit_ns))
        stop_ns = limit_ns if given is None else given.position.at_ns
        outcome = Outcome.LIMIT
        if stop_ns > self.machine.clock.now_ns:
            outcome = self.subject.advance(stop_ns)
            self._conclude_dormant()
        if given is None or self.machine.at_stop or self.machine.clock.now_ns < stop_ns:
            return outcome
        self._walk(given.position)
        self.step()
        return Outcome.STOPPED

    def _walk(self, goal: Position) -> None:
        """Execute the last steps, which take no time."""
        while self.now < goal:
            if not self.step():
                raise NoSuchPosition(f"the run ends at {self.end}; there is no {goal}")

    @property
    def _spacing_s(self) -> float:
        """The host time between two snapshots, in seconds."""
        return max(_SPACING_S, 2 * self._snapshot_s)

    def _adapt(self, elapsed_s: float) -> None:
        spacing_s = self._spacing_s
        if elapsed_s > spacing_s:
            self._stride_ns = max(self._stride_ns // 2, _MIN_STRIDE_NS)
        elif elapsed_s < spacing_s / 2:
            self._stride_ns = min(self._stride_ns * 2, _MAX_STRIDE_NS)

    # Snapshots

    def leave_snapshot(self) -> None:
        """Take a snapshot here, unless there is one."""
        if not self._kept.has(self.now):
            started = perf_counter()
            self._kept.put(KeptSnapshot(self.now, self.seen, self.subject.snapshot()))
            self._snapshot_s = perf_counter() - started
        self._unkept_s = 0.0

    def restore_before(self, goal: Position) -> None:
        """Restore the nearest snapshot at or before a position, unless the run is between the two already."""
        kept = self._kept.before(goal)
        if not kept.position <= self.now <= goal:
            self.subject.restore(kept.snapshot)

    # Anywhere

    def go_to(self, goal: Position) -> None:
        """Go to a position. Raises NoSuchPosition where the run has no such step, and is then past it."""
        self.restore_before(goal)
        self.run(goal)
        if self.now != goal:
            raise NoSuchPosition(f"there is no step at {goal}; the next is at {self.now}")

    def go_back(self, here: Position, goal: Position | None, otherwise: str) -> Position:
        """Go back to the position that a search has found.

        Args:
            here: The position at which the search began.
            goal: What it found. If that is None, the run returns to `here`.
            otherwise: The message of the exception.

        Returns:
            The goal.

        Raises:
            NoSuchPosition: The search found nothing.
        """
        self.go_to(here if goal is None else goal)
        if goal is None:
            raise NoSuchPosition(otherwise)
        return self.now

    def go_to_time(self, at_ns: int) -> None:
        """Go to the first position at or after a virtual time (ns)."""
        self.restore_before(Position(at_ns))
        self.run(Position(at_ns))
        if not self.subject.between_steps:
            self.step()

    def go_to_event(self, seq: int) -> None:
        """Go to the position at which a known event has just happened; of those before the run, the beginning."""
        kept = self._kept.before_event(seq)
        self.subject.restore(kept.snapshot)
        if kept.seen <= seq:
            self.run(wanted=lambda event: event.seq == seq)
