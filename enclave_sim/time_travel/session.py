"""Steps of every size through a run, forwards and backwards."""

from collections.abc import Callable
from typing import Any, get_args

import firmware
from enclave_sim import events
from enclave_sim.enclave import Enclave
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees.last_writer import symbol_at
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.source_lines import SourceLine, source_line
from enclave_sim.time_travel.stops import Breakpoint, Condition, Stop, Watching, Watchpoint, Write, checked_range
from enclave_sim.time_travel.timeline import Timeline
from machine.events import Event
from machine.ram import PAGE_SIZE
from machine.step_hook import ADDRESSES

_LONGEST_LINE = 100_000
_KINDS = {kind.__struct_config__.tag: kind for kind in get_args(events.AnyEvent)}


class Session:
    """A run that is gone through. The arguments are those of `Enclave`.

    `enclave` may be looked at freely, and must not be run by others.
    """

    def __init__(self, payload: Any = "beacon", **options: Any) -> None:
        self._timeline = Timeline(payload, **options)
        self.breakpoints: list[Breakpoint] = []
        self.watchpoints: list[Watchpoint] = []
        """What `resume` stops at; take out what is no longer wanted."""

    @property
    def enclave(self) -> Enclave:
        """The enclave as it is at the current position."""
        return self._timeline.enclave

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
        return source_line(self.enclave.machine.cpu.rip)

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

    # To something

    def run_to(
        self,
        *,
        event: str | None = None,
        address: int | None = None,
        symbol: str | None = None,
        at_ns: int | None = None,
        when: Callable[[Any], bool] = lambda _event: True,
    ) -> Position:
        """Go on to the next event of a kind for which `when` holds, to an address or symbol, or to a time.

        Raises NoSuchPosition, and is at the end then, where there is none ahead; ConfigurationError unless exactly one
        goal is given.
        """
        _one_of(event=event, address=address, symbol=symbol, at_ns=at_ns)
        if at_ns is not None:
            self._timeline.run(Position(at_ns))
            return self._reached(self.now.at_ns >= at_ns, f"time {at_ns} ns")
        if event is not None:
            kind = _kind(event)
            found = self._timeline.run(wanted=lambda e: isinstance(e, kind) and when(e))
            return self._reached(found is not None, f"event {event}")
        place = _address(address, symbol)
        reached = self._run_to_address(place, None)
        return self._reached(reached, f"{place:#x}")

    def reverse_to(
        self,
        *,
        event: str | None = None,
        address: int | None = None,
        symbol: str | None = None,
        at_ns: int | None = None,
        when: Callable[[Any], bool] = lambda _event: True,
    ) -> Position:
        """Go back to the last such moment before the current one. See `run_to`; one stays where there is none."""
        _one_of(event=event, address=address, symbol=symbol, at_ns=at_ns)
        here = self.now
        if at_ns is not None:
            if at_ns >= here.at_ns:
                raise NoSuchPosition(f"time {at_ns} ns does not lie before {here}")
            self._timeline.go_to_time(at_ns)
            return self.now
        if event is not None:
            kind = _kind(event)
            for past in reversed(self.events):
                if isinstance(past, kind) and when(past):
                    self._timeline.go_to_event(past.seq)
                    if self.now < here:
                        return self.now
            return self._go_back(here, None, f"no event {event} lies before {here}")
        place = _address(address, symbol)
        return self._go_back(here, self._last_at(place, here), f"{place:#x} is not executed before {here}")

    def _reached(self, reached: bool, what: str) -> Position:
        if not reached:
            raise NoSuchPosition(f"there is no {what} before the run ends at {self.now}")
        return self.now

    def _run_to_address(self, place: int, limit: Position | None) -> bool:
        """Whether the place was reached, before the limit or the end."""
        machine = self.enclave.machine
        machine.stop_at([place])
        try:
            while limit is None or self.now < limit:
                before = self.now
                self._timeline.run(limit)
                if machine.cpu.linear_rip == place and self.now != before:
                    return limit is None or self.now < limit
                if self.now in (self._timeline.end, before):
                    return False
        finally:
            machine.stop_at([])
        return False

    def _last_at(self, place: int, here: Position) -> Position | None:
        """The last visit before `here`: looked for from snapshot to snapshot, the latest first."""
        upper = here
        for start in reversed([p for p in self._timeline.snapshots if p < here]):
            self._timeline.go_to(start)
            found = start if self.enclave.machine.cpu.linear_rip == place else None
            while self._run_to_address(place, upper):
                found = self.now
            if found is not None:
                return found
            upper = start
        return None

    # Breakpoints and watchpoints

    def add_breakpoint(
        self, address: int | None = None, *, symbol: str | None = None, when: Condition | None = None
    ) -> Breakpoint:
        """Let `resume` stop in front of an instruction. Raises ConfigurationError for more than 16 addresses."""
        _one_of(address=address, symbol=symbol)
        made = Breakpoint(_address(address, symbol), when)
        if len({one.address for one in (*self.breakpoints, made)}) > ADDRESSES:
            raise ConfigurationError(f"there are {ADDRESSES} breakpoints already, and no more are possible")
        self.breakpoints.append(made)
        return made

    def add_watchpoint(
        self,
        base: int,
        size: int = 1,
        *,
        linear: bool = False,
        reads: bool = False,
        writes: bool = True,
        when: Condition | None = None,
    ) -> Watchpoint:
        """Let `resume` stop behind an access to physical memory, or to what a `linear` address is mapped to now.

        Raises ConfigurationError for what is not in RAM, or not mapped.
        """
        machine = self.enclave.machine
        if linear:
            found = machine.cpu.memory.look(base)
            if found is None:
                raise ConfigurationError(f"linear address {base:#x} is not mapped at {self.now}")
            base = found.physical + base % PAGE_SIZE
        made = Watchpoint(checked_range(base, size, machine.ram.size), reads, writes, when)
        self.watchpoints.append(made)
        return made

    def resume(self, until: Position | None = None) -> Stop:
        """Go on to the next breakpoint or watchpoint, to `until`, or to the end of the run."""
        machine, watching = self.enclave.machine, Watching(self._timeline, self.watchpoints)
        places = {one.address: one for one in self.breakpoints}
        machine.stop_at(places)
        try:
            with watching.installed():
                while True:
                    before = self.now
                    self._timeline.run(until, watching.changed if self.watchpoints else None)
                    watching.changed()
                    hit: Breakpoint | Watchpoint | None = watching.hit
                    if hit is None and self.now != before:
                        hit = places.get(machine.cpu.linear_rip)
                    if hit is not None and (hit.when is None or hit.when(self)):
                        return Stop(self.now, hit)
                    watching.forget()
                    if self.now == before or (until is not None and self.now >= until):
                        return Stop(self.now, None)
        finally:
            machine.stop_at([])

    def reverse_resume(self) -> Stop:
        """Go back to the last stop before here; to the beginning of the run where there is none."""
        here = upper = self.now
        for start in reversed([p for p in self._timeline.snapshots if p < here]):
            self._timeline.go_to(start)
            last = None
            while (stop := self.resume(upper)).why is not None and stop.position < upper:
                last = stop
            if last is not None:
                self._timeline.go_to(last.position)
                return last
            upper = start
        self._timeline.go_to(Position(0))
        return Stop(self.now, None)

    def last_write(self, base: int, size: int = 1) -> Write | None:
        """Who changed or wrote these bytes of physical memory last, before here; None where nobody did."""
        here = upper = self.now
        kept = self.breakpoints, self.watchpoints
        where = checked_range(base, size, self.enclave.machine.ram.size)
        self.breakpoints, self.watchpoints = [], [Watchpoint(where, reads=False, writes=True)]
        try:
            for start in reversed([p for p in self._timeline.snapshots if p < here]):
                self._timeline.go_to(start)
                last = self._last_write_until(upper)
                if last is not None:
                    return last
                upper = start
            return None
        finally:
            self.breakpoints, self.watchpoints = kept
            self._timeline.go_to(here)

    def _last_write_until(self, upper: Position) -> Write | None:
        watching = Watching(self._timeline, self.watchpoints)
        last = None
        with watching.installed():
            while self.now < upper:
                before = self.now
                self._timeline.run(upper, watching.changed)
                watching.changed()
                if watching.hit is not None and self.now <= upper:
                    rip = watching.rip
                    by = self._nobody() if rip is None else f"{symbol_at(rip)} ({source_line(rip) or 'no source'})"
                    last = Write(self.now, rip, by)
                elif self.now == before:
                    break
                watching.forget()
        return last

    def _nobody(self) -> str:
        """Who it was, if it was no instruction: what has just happened tells."""
        last = self.events[-1] if self.events else None
        return f"no instruction, at event {last.__struct_config__.tag}" if last is not None else "no instruction"

    # By what happens

    def next_transition(self) -> Position:
        """To the next change of the ring."""
        return self.run_to(event="ring_transition")

    def previous_transition(self) -> Position:
        """Back to the last change of the ring."""
        return self.reverse_to(event="ring_transition")

    def next_host_call(self) -> Position:
        """To the next host call of the guest."""
        return self.run_to(event="host_called")

    def previous_host_call(self) -> Position:
        """Back to the last host call of the guest."""
        return self.reverse_to(event="host_called")

    def next_phase(self) -> Position:
        """To where the next phase is completed."""
        return self.run_to(event="phase_completed")

    def previous_phase(self) -> Position:
        """Back to where the last phase was completed."""
        return self.reverse_to(event="phase_completed")

    # By source line

    def next_line(self, *, into: bool = False) -> Position:
        """To another line of the kernel's source: over calls, unless `into` them. What has no source counts as one."""
        start, depth = self.line, self.enclave.machine.cpu.registers.rsp
        for _ in range(_LONGEST_LINE):
            self.step()
            deeper = self.enclave.machine.cpu.registers.rsp < depth and not into
            if self.line != start and not (deeper and self._is_ring(0)):
                return self.now
        raise NoSuchPosition(f"no other line comes within {_LONGEST_LINE} steps")

    def previous_line(self) -> Position:
        """Back to the beginning of the last other line, into calls."""
        here, start, count = self.now, self.line, 256
        while True:
            trail = self._timeline.steps_before(here, count)
            goal = None
            for position in reversed(trail):
                self._timeline.go_to(position)
                if self.line != start and goal is None:
                    start = self.line
                    goal = position
                elif goal is not None and self.line != start:
                    return self._go_back(here, goal, "")
                elif goal is not None:
                    goal = position
            return self._go_back(here, goal, "no other line comes before")

    def _is_ring(self, ring: int) -> bool:
        return self.enclave.machine.cpu.registers.cpl == ring


def _one_of(**goals: Any) -> None:
    given = [name for name, goal in goals.items() if goal is not None]
    if len(given) != 1:
        raise ConfigurationError(f"one goal is needed, of {', '.join(goals)}; given are {', '.join(given) or 'none'}")


def _kind(name: str) -> type[Event]:
    if name not in _KINDS:
        raise ConfigurationError(f"there is no event {name!r}; there are {', '.join(sorted(_KINDS))}")
    kind: type[Event] = _KINDS[name]
    return kind


def _address(address: int | None, symbol: str | None) -> int:
    if address is not None:
        return address
    symbols = firmware.symbols()
    if symbol not in symbols:
        raise ConfigurationError(f"the kernel has no symbol {symbol!r}")
    return symbols[symbol]
