"""The search for the last change of a general register."""

from collections.abc import Callable
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel.navigation.last_write import Write, place
from enclave_sim.time_travel.navigation.previous_steps import PreviousSteps
from enclave_sim.time_travel.navigation.visits import Visits
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.bus.writer import INPUT, INTERRUPT_DELIVERY
from machine.events import InterruptDelivered

_STEPS = 64
"""Steps that are searched before snapshots are: a register has often been written just before."""


class RegisterWrites:
    """Finds writes to general registers in a timeline."""

    def __init__(self, timeline: Timeline[Any], visits: Visits) -> None:
        self._timeline = timeline
        self._visits = visits
        self._previous = PreviousSteps(timeline)

    def last(self, name: str, holds: Callable[[], bool]) -> Write | None:
        """See `Travel.last_register_write`."""
        if name not in GENERAL_REGISTERS:
            raise ConfigurationError(f"{name!r} is not a general register; there are {', '.join(GENERAL_REGISTERS)}")
        timeline = self._timeline
        here = upper = timeline.now
        try:
            near = self._previous.before(here, _STEPS)
            for start in (*near[:1], *timeline.starts_before(near[0] if near else here)):
                timeline.go_to(start)
                found = self._last_until(name, upper, holds)
                if found is not None:
                    return self._described(name, found)
                upper = start
            return None
        finally:
            timeline.go_to(here)

    def _last_until(self, name: str, upper: Position, holds: Callable[[], bool]) -> Position | None:
        """Find the last position at which the register was just found changed, from here up to another position."""
        timeline, found = self._timeline, None
        value = self._value(name)
        while self._visits.run_to_next(limit=upper, unless=(name, value)):
            value = self._value(name)
            if holds():
                found = timeline.now
        timeline.go_to(upper)
        return upper if self._value(name) != value and holds() else found

    def _described(self, name: str, found: Position) -> Write:
        """Describe the step that changed it: the last one, unless an input or interrupt came between it and here."""
        timeline = self._timeline
        timeline.go_to(found)
        value, after = self._value(name), found
        for before in reversed(self._previous.before(found, _STEPS)):
            timeline.go_to(before)
            if self._value(name) != value:
                break
            after = before
        in_guest, rip, seen = timeline.subject.in_guest, timeline.machine.cpu.linear_rip, timeline.seen
        timeline.go_to(after)
        if any(isinstance(event, InterruptDelivered) for event in timeline.events[seen:]):
            return Write(after, None, f"{INTERRUPT_DELIVERY}")
        if in_guest:
            return Write(after, None, "the guest engine, which returned from the gate")
        if timeline.machine.cpu.hook.last != rip:
            return Write(after, None, f"{INPUT}")
        return Write(after, rip, place(timeline, rip))

    def _value(self, name: str) -> int:
        value: int = getattr(self._timeline.machine.cpu.registers, name)
        return value
