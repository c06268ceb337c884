"""A strip along the known part of the run: rings, phases, cycles, host calls, annihilation, and the current position.

Every event has the same width, so that both a short boot and a long computation are visible.
"""

from bisect import bisect_left

from enclave_sim.events import PhaseCompleted
from enclave_sim.inspector.model.event_log import EventLog
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Meaning, Row, Target, View, row
from enclave_sim.specification import Phase
from machine.events import RingTransition

_RINGS = (("-", Meaning.RING_0), ("=", Meaning.RING_3))
"""Fill and meaning of a column in ring 0, and in another ring."""
_MARKS = (
    *(("phase_completed", "its number"), ("annihilation_began", "A"), ("cycle_began", "C")),
    *(("host_called", "h"), ("mode_switched", "m")),
)
"""Events with a mark, the most important ones first."""
_MORE = " .."
"""The end of a strip whose run is not completely known."""
LEGEND = "- ring 0   = ring 3   1-4 phase reached   C cycle   h host call   A annihilation   m mode"


def strip_view(moment: Moment, width: int) -> View:
    """Return a row for each of `width` columns, with one character; `here` is the column of the current position."""
    log, is_whole = moment.whole_log
    columns = max(1, width if is_whole else width - len(_MORE))
    key = log, len(log.events), columns
    if moment.strip is None or moment.strip[0] != key:  # it changes while the run is explored, and not with every step
        moment.strip = key, tuple(_column(log, index, columns) for index in range(columns))
    rows = list(moment.strip[1])
    here = max(0, moment.seen - 1) * columns // len(log.events)
    rows[here] = row(rows[here].text, Meaning.HERE, rows[here].target)
    more = () if is_whole else (row(one, Meaning.DIM, rows[-1].target) for one in _MORE)
    return View((*rows, *more), here)


def _column(log: EventLog, index: int, columns: int) -> Row:
    """Return a column: its ring at the end, and its most important event, or else the one that extends into it."""
    count = len(log.events)
    first, end = -(-index * count // columns), -(-(index + 1) * count // columns)
    changes = log.of_kind("ring_transition", end)
    last = log.events[changes[-1]] if changes else None
    in_ring_0 = not isinstance(last, RingTransition) or last.to_ring == 0
    fill, meaning = _RINGS[0 if in_ring_0 else 1]
    seq, mark = _mark(log, first, end) or (first if first < end else max(first - 1, 0), fill)
    return row(mark, meaning, Target(event=seq))


def _mark(log: EventLog, first: int, end: int) -> tuple[int, str] | None:
    """Return the number and the mark of the most important event in a range."""
    for kind, mark in _MARKS:
        places = log.of_kind(kind, end)
        at = bisect_left(places, first)
        if at < len(places):
            event = log.events[places[at]]
            return places[at], str(Phase[event.phase].value) if isinstance(event, PhaseCompleted) else mark
    return None
