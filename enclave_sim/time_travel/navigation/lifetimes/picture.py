"""The picture of lifetimes: places over time, below the phases, cycles and rings of the run."""

from collections.abc import Iterable

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.recording.exports.picture.lanes import Lane, Span, TimeWindow
from enclave_sim.recording.exports.picture.svg import Row, draw
from enclave_sim.recording.exports.spans import MarkReader, Track
from enclave_sim.time_travel.navigation.lifetimes.answers import Kind, Lifetime, Lifetimes
from enclave_sim.time_travel.navigation.lifetimes.rows import where_is
from machine.events import Event

_ABOVE = frozenset([Track.PHASES, Track.CYCLES, Track.RING, Track.SLEEP, Track.ANNIHILATION])
_COLOURS = {Kind.COPY: "#de2d26", Kind.DERIVED: "#fdae6b", Kind.POSSIBLE: "#bdbdbd"}


def picture(found: Lifetimes, events: Iterable[Event], program: Program, ram_bytes: int) -> str:
    """Draw lifetimes as an SVG picture without external references.

    Args:
        found: The lifetimes.
        events: The events of the run.
        program: Knows the regions of memory.
        ram_bytes: The size of RAM.

    Returns:
        The picture.
    """
    window, reader = TimeWindow(0), MarkReader()
    for event in events:
        for mark in reader.read(event):
            if mark.track in _ABOVE:
                window.take(mark)
    window.close(found.end.at_ns)
    groups: dict[tuple[str, Kind], list[Lifetime]] = {}
    for one in found.lifetimes:
        groups.setdefault((where_is(one.place, program, ram_bytes), one.kind), []).append(one)
    rows = [
        Row(f"{where} ({kind.value})", _lane(members, found.end.at_ns), _COLOURS[kind])
        for (where, kind), members in groups.items()
    ]
    return draw(window, f"Lifetimes of {found.name}", rows)


def _lane(members: Iterable[Lifetime], end_ns: int) -> Lane:
    """Return the spans in which any of some lifetimes goes on."""
    lane = Lane(0)
    spans: list[Span] = []
    for one in members:
        until = end_ns if one.until is None else one.until.at_ns
        last = spans[-1] if spans else None
        if last is not None and one.since.at_ns <= last.end_ns:
            spans[-1] = last._replace(end_ns=max(last.end_ns, until))
        else:
            spans.append(Span(one.since.at_ns, until, str(one.made_by)))
    for span in spans:
        lane.add(span)
    return lane
