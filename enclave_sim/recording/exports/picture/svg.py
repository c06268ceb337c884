"""A timeline window as an SVG picture. Lanes are distinguished by their titles, not by colour."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from enclave_sim.recording.exports.picture.lanes import Lane, TimeWindow
from enclave_sim.recording.exports.spans import Track
from enclave_sim.recording.text import plural, printable

_WIDTH, _LEFT, _RIGHT = 960, 104, 12
_LANE, _GAP, _TOP = 20, 6, 4
_LETTER = 6.2
_MAX_TICKS = 8
_ROOM = 30
"""Half of a label's width in pixels."""
_UNITS = {"ns": 1, "µs": 10**3, "ms": 10**6, "s": 10**9}
_LANES = {
    Track.PHASES: ("Phases", "#c6dbef"),
    Track.CYCLES: ("Cycles", "#dadaeb"),
    Track.GUEST: ("Guest", "#c7e9c0"),
    Track.RING: ("Ring 3", "#74c476"),
    Track.INTERRUPTS: ("Interrupts", "#fdae6b"),
    Track.HOST_CALLS: ("Host calls", "#9ecae1"),
    Track.SIGNALS: ("Signals", "#3182bd"),
    Track.WAKES: ("Wakes", "#756bb1"),
    Track.SLEEP: ("Sleep", "#d9d9d9"),
    Track.MEMORY: ("Memory", "#969696"),
    Track.INPUTS: ("Inputs", "#e6550d"),
    Track.ANNIHILATION: ("Annihilation", "#fc9272"),
}


class Row(NamedTuple):
    """A lane below those of the run."""

    title: str
    lane: Lane
    colour: str


def draw(window: TimeWindow, title: str, rows: Sequence[Row] = ()) -> str:
    """Draw the picture, as an `svg` element without external references.

    Args:
        window: The run.
        title: The title of the picture.
        rows: More lanes, from top to bottom.

    Returns:
        The element.
    """
    tracks = [track for track in _LANES if track in window.spans or track in window.instants]
    height = _TOP + (len(tracks) + len(rows)) * (_LANE + _GAP) + 22
    left = max([_LEFT, *(round(_LETTER * len(row.title)) + 16 for row in rows)])
    scale = _Scale(window.start_ns, max(window.end_ns, window.start_ns + 1), left)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'style="width:100%;max-width:{_WIDTH}px;background:#fff;font:11px sans-serif" fill="#111">',
        f"<title>{escape(title)}</title>",
        *_axis(scale, height),
    ]
    for number, track in enumerate(tracks):
        name, colour = _LANES[track]
        top = _TOP + number * (_LANE + _GAP)
        lines += _ground(name, scale, top)
        if track in window.spans:
            lines += _spans(window.spans[track], scale, top, colour)
        if track in window.instants:
            lines += _instants(window.instants[track], scale, top)
    for number, row in enumerate(rows, start=len(tracks)):
        top = _TOP + number * (_LANE + _GAP)
        lines += [*_ground(escape(printable(row.title)), scale, top), *_spans(row.lane, scale, top, row.colour)]
    return "\n".join([*lines, "</svg>"])


def _ground(name: str, scale: "_Scale", top: int) -> Iterator[str]:
    yield f'<text x="{scale.left - 8}" y="{top + 14}" text-anchor="end">{name}</text>'
    yield f'<path d="M{scale.left} {top + _LANE}H{_WIDTH - _RIGHT}" stroke="#bbb"/>'


class _Scale:
    """The scale from time to horizontal position."""

    def __init__(self, start_ns: int, end_ns: int, left: int) -> None:
        self.start_ns, self.end_ns = start_ns, end_ns
        self.left = left

    def x(self, at_ns: int) -> float:
        share = (at_ns - self.start_ns) / (self.end_ns - self.start_ns)
        return round(self.left + share * (_WIDTH - self.left - _RIGHT), 2)


def _axis(scale: _Scale, height: int) -> Iterator[str]:
    step, unit_ns, unit = _step(scale.end_ns - scale.start_ns)
    digits = max(len(f"{step / unit_ns:.9f}".rstrip("0").partition(".")[2]), 0)
    for at_ns in range(-(-scale.start_ns // step) * step, scale.end_ns + 1, step):
        x = scale.x(at_ns)
        anchor = "start" if x < scale.left + _ROOM else "end" if x > _WIDTH - _RIGHT - _ROOM else "middle"
        yield f'<path d="M{x} {_TOP}V{height - 18}" stroke="#eee"/>'
        yield f'<text x="{x}" y="{height - 5}" text-anchor="{anchor}">{at_ns / unit_ns:,.{digits}f} {unit}</text>'


def _step(length_ns: int) -> tuple[int, int, str]:
    """Choose the distance of ticks: 1, 2 or 5 times a power of ten in ns. Return it with a unit for the labels."""
    power = 1
    while 5 * power * _MAX_TICKS < length_ns:
        power *= 10
    step = next(factor * power for factor in (1, 2, 5) if factor * power * _MAX_TICKS >= length_ns)
    unit = max((name for name in _UNITS if _UNITS[name] <= length_ns), key=_UNITS.__getitem__)
    return step, _UNITS[unit], unit


def _spans(lane: Lane, scale: _Scale, top: int, colour: str) -> Iterator[str]:
    if lane.dense:
        shares = [min(covered / lane.bins.width_ns, 1) for covered in lane.bins.covered_ns]
        yield _bars(lane, shares, scale, top, f'fill="{colour}" stroke="#333" stroke-width=".5"')
        return
    for span in lane.singly:
        left, right = scale.x(span.begin_ns), scale.x(span.end_ns)
        width = max(round(right - left, 2), 0.5)
        name = escape(printable(span.name))
        yield (
            f'<rect x="{left}" y="{top}" width="{width}" height="{_LANE}" fill="{colour}" stroke="#333" '
            f'stroke-width=".5"><title>{name}: {span.begin_ns:,} to {span.end_ns:,} ns</title></rect>'
        )
        if width > _LETTER * len(span.name) + 6:
            yield f'<text x="{left + 3}" y="{top + 14}">{name}</text>'


def _instants(lane: Lane, scale: _Scale, top: int) -> Iterator[str]:
    if lane.dense:
        most = max(lane.bins.begun)
        shares = [begun / most for begun in lane.bins.begun]
        yield _bars(lane, shares, scale, top, 'fill="#333" fill-opacity=".6"')
        return
    for span in lane.singly:
        name = escape(printable(span.name))
        yield (
            f'<path d="M{scale.x(span.begin_ns)} {top}v{_LANE}" stroke="#111" stroke-width="1.5">'
            f"<title>{name}: {span.begin_ns:,} ns</title></path>"
        )


def _bars(lane: Lane, shares: list[float], scale: _Scale, top: int, paint: str) -> str:
    """Draw one outline for all bars. Their height is the share of covered time, or the relative frequency."""
    path, bins = [], lane.bins
    for index, share in enumerate(shares):
        if share:
            begin = bins.start_ns + index * bins.width_ns
            left, right = scale.x(begin), scale.x(min(begin + bins.width_ns, scale.end_ns))
            rise = round(max(share * _LANE, 0.5), 1)
            path.append(f"M{left} {top + _LANE}v-{rise}H{right}v{rise}z")
    about = f"{plural(lane.count, 'time')}; each bar is {bins.width_ns:,} ns"
    return f'<path d="{"".join(path)}" {paint}><title>{about}</title></path>'
