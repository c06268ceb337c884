"""The search for the last write to a range of physical memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from enclave_sim.events import name_of_kind
from enclave_sim.time_travel.navigation.breakpoints import WatchedAccess, Watching, Watchpoint, checked_range
from enclave_sim.time_travel.navigation.changes import go_to_change
from enclave_sim.time_travel.navigation.wasm.stores import store_of_guest
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.bus.writer import PAGE_WALK
from machine.events import Event


@dataclass(frozen=True, slots=True)
class Write:
    """The last write to some bytes, or to a register, before a position."""

    position: Position
    """The position after the write."""
    rip: int | None
    """The RIP of the instruction that wrote; None for another writer."""
    by: str
    """The writer: function and source line, a guest's function and offset, a device, or what the processor did."""

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
                rip = last.access.rip if last.access is not None else None
                return Write(last.position, rip, _writer(timeline, last))
            upper = start
        return None
    finally:
        timeline.go_to(here)


@dataclass(frozen=True, slots=True)
class _Noticed:
    """A write, as it was observed. Finding a guest's store takes long, and is done only for the last write."""

    position: Position
    access: WatchedAccess | None
    """The access; None if only the change was noticed."""
    executed: int
    """The RIP of the last instruction executed: that which a device obeyed."""
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
                guest_store = None
                if watching.change is not None:
                    guest_store = timeline.subject.guest_store(watched.where)
                    with watching.paused():
                        go_to_change(timeline, watching.change)
                noticed = event or (timeline.monitor.events[timeline.seen - 1] if timeline.seen else None)
                executed = timeline.machine.cpu.hook.last
                last = _Noticed(timeline.now, watching.access, executed, noticed, guest_store)
            elif timeline.now == before:
                break
            watching.forget()
    return last


def _writer(timeline: Timeline[Any], last: _Noticed) -> str:
    """Describe the writer."""
    if last.access is None:
        guest = last.guest_store() if last.guest_store is not None else None
        if last.guest_store is None:
            return f"{PAGE_WALK}, at {place(timeline, last.executed)}"
        return guest or f"an unknown writer, at event {name_of_kind(last.event)}" if last.event else "an unknown writer"
    if last.access.rip is not None:
        return store_of_guest(timeline, last.position, last.access.rip) or place(timeline, last.access.rip)
    by = last.access.by
    assert by is not None
    return f"{by}, at {place(timeline, last.executed)}" if by.kind == "device" else f"{by}"


def place(timeline: Timeline[Any], rip: int) -> str:
    """Return the symbol, or the address if there is none, and the source line."""
    where = timeline.program.symbol(rip) or f"code at {rip:#x} that is not the kernel's"
    return f"{where} ({timeline.program.lines.at(rip) or 'no source'})"
