"""Steps of a run, recorded one by one: what was executed, and what was written."""

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from enclave_sim.time_travel.navigation.provenance.places import MEMORY, Place
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.bus.writer import Writer
from machine.events import Event, InterruptDelivered
from machine.execution.deferred_signals import SignalsHeld

_FIRST, _MOST = 64, 4096
"""Steps, or ns, by which a record is extended backwards: twice as many each time, up to a limit."""
_ALL = range(1 << 52)


@dataclass(frozen=True, slots=True)
class Store:
    """A write to physical memory."""

    by: Writer | None
    """The writer; None for an instruction."""
    place: Place


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run."""

    before: Position
    after: Position
    rip: int
    """The linear address of the instruction before which the step began."""
    code: bytes
    """The code there."""
    long: bool
    """In 64-bit mode."""
    in_guest: bool
    """A stay in a guest on the coprocessor."""
    executed: bool
    """The instruction was executed."""
    delivered: bool
    """An interrupt or exception was delivered, after the instruction if that was executed."""
    seen: int
    """The number of events before it."""
    seen_after: int
    """The number of events after it."""
    stores: tuple[Store, ...]
    reads: tuple[Place, ...]
    """The memory that instructions read."""
    changed: frozenset[str]
    """The general registers that have another value after it."""


class Steps:
    """Records the steps of a timeline, and keeps what it has recorded."""

    def __init__(self, timeline: Timeline[Any]) -> None:
        self._timeline = timeline
        self._runs: list[list[Step]] = []
        """Consecutive steps, without a gap in each list."""
        self._future = timeline.futures

    def before(self, goal: Position, most: int) -> Iterator[Step]:
        """Yield the steps that precede a position, the last one first. The timeline moves.

        Args:
            goal: The position.
            most: The number of steps at most.

        Yields:
            The steps; fewer than `most` at the beginning of the run.
        """
        if self._future != self._timeline.futures:
            self._runs, self._future = [], self._timeline.futures
        count, span = 0, _FIRST
        while count < most and goal > Position(0):
            run = self._ending_at(goal)
            if run is None:
                run = self._record(goal, span)
                span = min(2 * span, _MOST)
                if run is None:
                    return
            for step in reversed(run[: bisect_left(run, goal, key=_before)]):
                yield step
                count += 1
                if count == most:
                    return
                goal = step.before

    def _ending_at(self, goal: Position) -> list[Step] | None:
        """Return the recorded steps that include the one that ends at a position."""
        for run in self._runs:
            if run[0].after <= goal <= run[-1].after:
                return run
        return None

    def _record(self, goal: Position, span: int) -> list[Step] | None:
        """Record the steps of about the last `span` ns before a position, which may be one long step."""
        timeline = self._timeline
        for start_ns in self._starts_before(goal, span):
            timeline.restore_before(Position(start_ns))
            timeline.run(Position(start_ns))
            if not timeline.subject.between_steps and timeline.now < goal:
                timeline.step()
            if timeline.subject.between_steps and timeline.now < goal:
                timeline.leave_snapshot()
                found = list(self._steps_to(goal))
                if found:
                    self._runs.append(found)
                    return found
        return None

    def _starts_before(self, goal: Position, span: int) -> Iterator[int]:
        """Yield virtual times from which to run towards a position; see `PreviousSteps`."""
        timeline = self._timeline
        yield max(0, goal.at_ns - span)
        known = timeline.monitor.events
        at_ns = None
        for event in reversed(known[: bisect_left(known, goal.at_ns, key=_at_ns)]):
            if event.at_ns != at_ns:
                at_ns = event.at_ns
                yield at_ns
        yield 0

    def _steps_to(self, goal: Position) -> Iterator[Step]:
        timeline, machine = self._timeline, self._timeline.machine
        cpu, subject = machine.cpu, self._timeline.subject
        registers, hook = cpu.registers, cpu.hook
        with SignalsHeld(), self._accesses() as (stores, reads):
            while timeline.now < goal:
                before, rip, retired = timeline.now, registers.linear_rip, hook.retired
                values, seen = registers.general_registers, timeline.seen
                in_guest, long = subject.in_guest, registers.in_64_bit_code
                code = b"" if machine.halted else cpu.code.at(rip)
                if not timeline.step():
                    return
                new: list[Event] = timeline.monitor.events[seen : timeline.seen]
                delivered = any(isinstance(event, InterruptDelivered) for event in new)
                executed = hook.retired > retired and hook.last == rip
                after = registers.general_registers
                changed = frozenset() if values == after else _differing(values, after)
                yield Step(
                    *(before, timeline.now, rip, code, long, in_guest, executed, delivered),
                    *(seen, timeline.seen, tuple(stores), tuple(reads), changed),
                )
                stores.clear()
                reads.clear()

    @contextmanager
    def _accesses(self) -> Iterator[tuple[list[Store], list[Place]]]:
        """A scope in which writes to memory, and reads by instructions, are collected."""
        machine = self._timeline.machine
        found: list[Store] = []
        reads: list[Place] = []

        def accessed(writes: bool, address: int, size: int) -> None:
            place = Place(MEMORY, address, size)
            if writes:
                found.append(Store(None, place))
            else:
                reads.append(place)

        def written(by: Writer, base: int, size: int) -> None:
            found.append(Store(by, Place(MEMORY, base, size)))

        removals = machine.cpu.watch_memory(_ALL, accessed), machine.ram.watch(range(machine.ram.size), written)
        try:
            yield found, reads
        finally:
            for remove in removals:
                remove()


def _before(step: Step) -> Position:
    return step.before


def _at_ns(event: Event) -> int:
    return event.at_ns


def _differing(before: tuple[int, ...], after: tuple[int, ...]) -> frozenset[str]:
    from machine.architecture.processor_state import GENERAL_REGISTERS  # noqa: PLC0415

    return frozenset(name for name, old, new in zip(GENERAL_REGISTERS, before, after, strict=True) if old != new)
