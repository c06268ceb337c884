"""Recordings as a readable report: one HTML file, including pictures, without external references or scripts.

If there are too many events to show individually, a density is shown, so that the report stays small.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from enclave_sim.recording.exports.picture.figures import Figures
from enclave_sim.recording.exports.picture.svg import draw
from enclave_sim.recording.format import Header
from enclave_sim.recording.html_elements import STYLE, Cell, element, table, text
from enclave_sim.recording.text import binary_size, plural
from enclave_sim.specification import Phase, Step
from machine.events import Event

_SIGNALS_SHOWN = 16
_NOTHING_FROM_OUTSIDE = "default-src 'none'; style-src 'unsafe-inline'"
_UNITS_EXPLAINED = "Times are virtual, from reset on. 1 s is 1,000 ms, 1,000,000 µs or 1,000,000,000 ns."
_LATENCY = "from the deadline to the handler's first instruction"


def write(header: Header, events: Iterable[Event], file: BinaryIO) -> None:
    """Write the recording's report."""
    figures = Figures(header, events)
    body = "\n".join([*_overview(figures), *_details(figures)])
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta http-equiv="Content-Security-Policy" content="{_NOTHING_FROM_OUTSIDE}" />
<title>{_title(figures)}</title>
<style>{STYLE}</style>
</head>
<body>
<div class="aether">
{body}
</div>
</body>
</html>
"""
    file.write(page.encode())


def fragment(header: Header, events: Iterable[Event]) -> str:
    """Return summary, timeline and phases as an element to embed in a page such as a notebook."""
    figures = Figures(header, events)
    body = "\n".join(_overview(figures))
    return f'<div class="aether">\n<style>{STYLE}</style>\n{body}\n</div>'


def notebook_view(title: str, rows: Iterable[tuple[str, str]], header: Header, events_so_far: Sequence[Event]) -> str:
    """Return a table of names and values, then the recording so far, as an element to embed in a notebook."""
    return element(title, rows, *([fragment(header, events_so_far)] if events_so_far else []))


def _title(figures: Figures) -> str:
    return text(f"Aether Enclave: {figures.outcome}" if figures.of_an_enclave else "The boot of a kernel")


def _overview(figures: Figures) -> Iterator[str]:
    yield from _summary(figures)
    yield from _timeline(figures)
    if figures.of_an_enclave:
        yield from _phases(figures)


def _summary(figures: Figures) -> Iterator[str]:
    header = figures.header
    yield f"<h1>{_title(figures)}</h1>"
    rows: list[tuple[Cell, ...]] = _enclave_rows(figures) if figures.of_an_enclave else []
    rows += [
        ("last event at", f"{figures.virtual_ns:,} ns"),
        ("events", f"{figures.events:,}"),
        ("digest of the events", figures.digest),
        ("firmware SHA-256" if figures.of_an_enclave else "image SHA-256", header.firmware_sha256),
        *(("payload SHA-256", sha256) for sha256 in header.payload_sha256),
    ]
    yield from table("Summary", (), rows)


def _enclave_rows(figures: Figures) -> list[tuple[Cell, ...]]:
    summary = figures.summary
    return [
        ("outcome", figures.outcome),
        *([("detail", summary.detail)] if summary.detail else []),
        ("cycles begun", f"{summary.cycles:,} of {figures.header.configuration.get('cycles', '?')}"),
        ("host calls", f"{summary.host_calls:,}"),
        ("preemptions", f"{summary.preemptions:,}"),
        ("signals", f"{len(summary.signals):,}"),
        ("wake latency", _latency(figures)),
        ("scrubs", _scrubs_in_words(figures)),
        ("residue", _residue(figures)),
    ]


def _latency(figures: Figures) -> str:
    found = figures.latencies_ns
    if not found:
        return "no wake had a deadline"
    low, high = min(found), max(found)
    return f"{low:,} to {high:,} ns in {plural(found.total(), 'wake')}, spread {high - low:,} ns; {_LATENCY}"


def _scrubs_in_words(figures: Figures) -> str:
    times = sum(region.times for region in figures.scrubs.values())
    not_zero = sum(region.not_zero for region in figures.scrubs.values())
    return f"{times:,}, " + (f"{not_zero:,} NOT FOUND ZERO" if not_zero else "each read back and found zero")


def _residue(figures: Figures) -> str:
    if figures.residue is None:
        return "not looked for: the recording ends before the enclave is dormant"
    scanned = binary_size(figures.residue.scanned_bytes)
    return f"{plural(figures.residue.residue_bytes, 'byte')} in {scanned} of RAM"


def _timeline(figures: Figures) -> Iterator[str]:
    timeline = figures.timeline
    yield "<h2>Timeline</h2>"
    yield f"<p>{_UNITS_EXPLAINED}</p>"
    yield draw(timeline.whole, "The whole run, in virtual time")
    if timeline.boot.end_ns < timeline.whole.end_ns:
        yield "<h2>Boot, until ring 3 is entered</h2>"
        yield draw(timeline.boot, "The boot")
    if timeline.guest is not None and timeline.guest.end_ns > timeline.guest.start_ns and figures.of_an_enclave:
        yield "<h2>The first cycle, from where ring 3 is entered</h2>"
        yield draw(timeline.guest, "The first cycle")
    if timeline.host_calls is not None and figures.of_an_enclave:
        yield "<h2>The first host calls</h2>"
        yield draw(timeline.host_calls, "The first host calls")
    if timeline.annihilation is not None:
        yield "<h2>Annihilation</h2>"
        yield draw(timeline.annihilation, "The annihilation")


def _phases(figures: Figures) -> Iterator[str]:
    reached = {phase.name: phase for phase in figures.summary.phases}
    rows: list[tuple[Cell, ...]] = []
    for phase in Phase:
        found = reached.get(phase.name)
        if found is None:
            rows.append((f"{phase:02d} {phase.name}", phase.target_state, "not entered", "", ""))
        elif found.reached_at_ns is None:
            rows.append((f"{phase:02d} {phase.name}", phase.target_state, found.at_ns, "not reached", ""))
        else:
            took = found.reached_at_ns - found.at_ns
            rows.append((f"{phase:02d} {phase.name}", phase.target_state, found.at_ns, found.reached_at_ns, took))
    yield from table("Phases", ("phase", "target state", "entered, ns", "reached, ns", "took, ns"), rows)


def _details(figures: Figures) -> Iterator[str]:
    summary, configuration = figures.summary, figures.header.configuration
    yield from table(
        "Ring transitions",
        ("from", "to", "cause", "count"),
        [(f"ring {a}", f"ring {b}", why, n) for (a, b, why), n in sorted(summary.transitions.items())],
    )
    yield from table(
        "Interrupts and exceptions",
        ("vector", "source", "count"),
        [(f"{vector:#04x}", source, n) for (vector, source), n in sorted(figures.interrupts.items())],
    )
    if figures.of_an_enclave:
        yield from _enclave_details(figures)
    yield from table("Configuration", (), [(name, json.dumps(value)) for name, value in configuration.items()])
    yield from table("Events by kind", ("kind", "count"), sorted(figures.kinds.items()))


def _enclave_details(figures: Figures) -> Iterator[str]:
    summary = figures.summary
    steps = {step.step: step.at_ns for step in summary.annihilation}
    scrubs = sorted(figures.scrubs.items())
    signals = [(n, f"{value:#010x}", value) for n, value in enumerate(summary.signals[:_SIGNALS_SHOWN], 1)]
    yield from table("Host calls", ("function", "count"), sorted(figures.host_calls.items()))
    yield from table("Signals", ("", "hex", "decimal"), signals, len(summary.signals))
    yield from table("Wakes", ("source", "count"), sorted(figures.wakes.items()))
    latencies = sorted(figures.latencies_ns.items())
    yield from table("Wake latencies", (f"{_LATENCY}, ns", "wakes"), latencies)
    yield from table(
        "Scrubs by region",
        ("region", "times", "bytes", "not found zero"),
        [(name, region.times, region.total_bytes, region.not_zero) for name, region in scrubs],
    )
    yield from table("Scrubs by cause", ("cause", "times"), sorted(figures.scrub_causes.items()))
    if summary.outcome is not None:
        rows = [(step.name, steps.get(step.name, "not done"), step.meaning) for step in Step]
        yield from table("Steps of annihilation", ("step", "at, ns", "meaning"), rows)
