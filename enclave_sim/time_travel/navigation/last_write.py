"""The search for the last write to a range of physical memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from enclave_sim.events import name_of_kind
from enclave_sim.time_travel.navigation.breakpoints import Watching, Watchpoint, checked_range
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.events import Event


@dataclass(frozen=True, slots=True)
class Write:
    """The last write to some bytes before a position."""

    position: Position
    """The position after the write."""
    rip: int | None
    """The RIP of the instruction that wrote; None if it was no instruction."""
    by: str
    """The writer: function and source line or instruction, or the event at which the change was noticed."""

    def __str__(self) -> str:
        return f"last written at {self.position} by {self.by}"


def find_last_write(timeline: Timeline[Any], base: int, size: int) -> Write | None:
    """See `Travel.last_write`."""
    here = upper = timeline.now
    watched = Watchpoint(checked_range(base, size, timeline.machine.ram.size), reads=False, writes=True)
    try:
        for start in timeline.starts_before(here):
            timeline.go_to(start)
            last = _last_until(timeline, watched, upper)
            if last is not None:
                guest = last.guest_store() if last.guest_store is not None else None
                return Write(last.position, last.rip, guest or _writer(timeline, last))
            upper = start
        return None
    finally:
        timeline.go_to(here)


@dataclass(frozen=True, slots=True)
class _Noticed:
    """A write, as it was observed. Finding a guest's store takes long, and is done only for the last write."""

    position: Position
    rip: int | None
    event: Event | None
    guest_store: Callable[[], str | None] | None


def _last_until(timeline: Timeline[Any], watched: Watchpoint, upper: Position) -> _Noticed | None:
    watching = Watching(timeline.machine, [watched], timeline.interrupt)
    last = None
    with watching.installed():
        while timeline.now < upper:
            before = timeline.now
            event = timeline.run(upper, watching.changed)
            watching.changed()
            if watching.hit is not None and timeline.now <= upper:
                noticed = event or (timeline.monitor.events[timeline.seen - 1] if timeline.seen else None)
                guest_store = timeline.subject.guest_store(watched.where) if watching.rip is None else None
                last = _Noticed(timeline.now, watching.rip, noticed, guest_store)
            elif timeline.now == before:
                break
            watching.forget()
    return last


def _writer(timeline: Timeline[Any], last: _Noticed) -> str:
    """Describe the writer: an instruction, or the event at which the change was noticed."""
    rip, event = last.rip, last.event
    if rip is not None:
        where = timeline.program.symbol(rip) or "code that is not the kernel's"
        return f"{where} ({timeline.program.lines.at(rip) or 'no source'})"
    return f"no instruction, at event {name_of_kind(event)}" if event is not None else "no instruction"
