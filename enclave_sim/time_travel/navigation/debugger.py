"""Breakpoints and watchpoints of a run, and running to them, forwards and backwards."""

from collections.abc import Callable
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel.navigation.breakpoints import (
    Breakpoint,
    Condition,
    Stopped,
    Watching,
    Watchpoint,
    checked_range,
)
from enclave_sim.time_travel.navigation.changes import go_to_change
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.bus.ram import PAGE_SIZE
from machine.processor.step_hook import ADDRESSES

Holds = Callable[[Condition], bool]
"""Returns whether a condition holds at the current position."""


class Debugger:
    """Moves a timeline from one breakpoint or watchpoint to another."""

    def __init__(self, timeline: Timeline[Any]) -> None:
        self._timeline = timeline
        self.breakpoints: list[Breakpoint] = []
        self.watchpoints: list[Watchpoint] = []

    def add_breakpoint(self, address: int, when: Condition | None) -> Breakpoint:
        """See `Travel.add_breakpoint`."""
        made = Breakpoint(address, when)
        if len({one.address for one in (*self.breakpoints, made)}) > ADDRESSES:
            raise ConfigurationError(f"there are {ADDRESSES} breakpoints already, which is the maximum")
        self.breakpoints.append(made)
        return made

    def add_watchpoint(
        self, base: int, size: int, *, linear: bool, reads: bool, writes: bool, when: Condition | None
    ) -> Watchpoint:
        """See `Travel.add_watchpoint`."""
        machine = self._timeline.machine
        if linear:
            found = machine.cpu.memory.look(base)
            if found is None:
                raise ConfigurationError(f"linear address {base:#x} is not mapped at {self._timeline.now}")
            base = found.physical + base % PAGE_SIZE
        made = Watchpoint(checked_range(base, size, machine.ram.size), reads, writes, when)
        self.watchpoints.append(made)
        return made

    def resume(self, holds: Holds, until: Position | None = None) -> Stopped:
        """See `Travel.resume`."""
        timeline, machine = self._timeline, self._timeline.machine
        watching = Watching(machine, self.watchpoints, timeline.interrupt)
        places = {one.address: one for one in self.breakpoints}
        machine.stop_at(places)
        try:
            with watching.installed():
                while True:
                    before = timeline.now
                    timeline.run(until, watching.changed if self.watchpoints else None)
                    watching.changed()
                    hit: Breakpoint | Watchpoint | None = watching.hit
                    if watching.change is not None:
                        with watching.paused():
                            go_to_change(timeline, watching.change)
                    if hit is None and timeline.now != before and not timeline.gives_input_here:
                        hit = places.get(machine.cpu.linear_rip)
                    if hit is not None and (hit.when is None or holds(hit.when)):
                        return Stopped(timeline.now, hit)
                    watching.forget()
                    if timeline.now == before or (until is not None and timeline.now >= until):
                        return Stopped(timeline.now, None)
        finally:
            machine.stop_at([])

    def reverse_resume(self, holds: Holds) -> Stopped:
        """See `Travel.reverse_resume`."""
        timeline = self._timeline
        here = upper = timeline.now
        for start in timeline.starts_before(here):
            timeline.go_to(start)
            last = self._breakpoint_here(holds)  # `resume` does not stop at the breakpoint at which it starts
            while (
                (stop := self.resume(holds, upper)).why is not None and stop.position <= upper and stop.position < here
            ):
                last = stop
            if last is not None:
                timeline.go_to(last.position)
                return last
            upper = start
        timeline.go_to(Position(0))
        return Stopped(timeline.now, None)

    def _breakpoint_here(self, holds: Holds) -> Stopped | None:
        machine = self._timeline.machine
        if self._timeline.gives_input_here:  # it is met after the input
            return None
        for one in self.breakpoints:
            here = one.address == machine.cpu.linear_rip and not machine.halted
            if here and (one.when is None or holds(one.when)):
                return Stopped(self._timeline.now, one)
        return None
