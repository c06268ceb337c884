"""A run that is gone through: all that can be done with it, whatever is run."""

from collections.abc import Callable

from enclave_sim.errors import ConfigurationError
from enclave_sim.events import name_of_kind
from enclave_sim.time_travel.navigation.breakpoints import (
    Breakpoint,
    Condition,
    Stop,
    Watching,
    Watchpoint,
    Write,
    checked_range,
)
from enclave_sim.time_travel.navigation.search import Search, one_of
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.target import S
from machine.events import Event, Recorder
from machine.ram import PAGE_SIZE
from machine.step_hook import ADDRESSES


class Travel(Search[S]):
    """A run that is gone through. `make` gives the subject that is run, recorded by what it gets."""

    def __init__(self, make: Callable[[Recorder], S]) -> None:
        super().__init__(make)
        self.breakpoints: list[Breakpoint] = []
        self.watchpoints: list[Watchpoint] = []
        """What `resume` stops at; take out what is no longer wanted."""

    def add_breakpoint(
        self, address: int | None = None, *, symbol: str | None = None, when: Condition | None = None
    ) -> Breakpoint:
        """Let `resume` stop in front of an instruction. Raises ConfigurationError for more than 16 addresses."""
        one_of(address=address, symbol=symbol)
        made = Breakpoint(self._address_of(address, symbol), when)
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
        machine = self.machine
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
        machine = self.machine
        watching = Watching(machine, self.watchpoints, self._timeline.interrupt)
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
        for start in self._timeline.starts_before(here):
            self._timeline.go_to(start)
            last = self._breakpoint_here()  # a run that starts at one goes on
            while (stop := self.resume(upper)).why is not None and stop.position <= upper and stop.position < here:
                last = stop
            if last is not None:
                self._timeline.go_to(last.position)
                return last
            upper = start
        self._timeline.go_to(Position(0))
        return Stop(self.now, None)

    def _breakpoint_here(self) -> Stop | None:
        machine = self.machine
        for one in self.breakpoints:
            here = one.address == machine.cpu.linear_rip and not machine.halted
            if here and (one.when is None or one.when(self)):
                return Stop(self.now, one)
        return None

    def last_write(self, base: int, size: int = 1) -> Write | None:
        """Who changed or wrote these bytes of physical memory last, before here; None where nobody did."""
        here = upper = self.now
        kept = self.breakpoints, self.watchpoints
        where = checked_range(base, size, self.machine.ram.size)
        self.breakpoints, self.watchpoints = [], [Watchpoint(where, reads=False, writes=True)]
        try:
            for start in self._timeline.starts_before(here):
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
        watching = Watching(self.machine, self.watchpoints, self._timeline.interrupt)
        last = None
        with watching.installed():
            while self.now < upper:
                before = self.now
                event = self._timeline.run(upper, watching.changed)
                watching.changed()
                if watching.hit is not None and self.now <= upper:
                    rip = watching.rip
                    last = Write(self.now, rip, self._nobody(event) if rip is None else self._somebody(rip))
                elif self.now == before:
                    break
                watching.forget()
        return last

    def _somebody(self, rip: int) -> str:
        where = self.program.symbol(rip) or "code that is not the kernel's"
        return f"{where} ({self.program.lines.at(rip) or 'no source'})"

    def _nobody(self, event: Event | None) -> str:
        """Who it was, if it was no instruction: the event at which it was noticed tells, or what happened last."""
        last = event or (self.events[-1] if self.events else None)
        return f"no instruction, at event {name_of_kind(last)}" if last is not None else "no instruction"
