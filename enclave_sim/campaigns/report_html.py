"""The report of a campaign as one HTML page that needs no other file: tables, and plots as SVG."""

from collections.abc import Iterable, Iterator
from html import escape

from enclave_sim.campaigns.outcomes import Outcome
from enclave_sim.campaigns.report import CampaignReport
from enclave_sim.campaigns.store import Store
from enclave_sim.memory_map import regions
from enclave_sim.recording.html_elements import STYLE, table

_COLOURS = {
    Outcome.EMULATOR_LIMIT: "#bbbbbb",
    Outcome.NOT_ACTIVATED: "#e4e4e4",
    Outcome.GUARANTEE_BROKEN: "#aa3377",
    Outcome.KERNEL_DIED: "#cc6677",
    Outcome.HANG: "#ddcc77",
    Outcome.DETECTED_LATE: "#ee8866",
    Outcome.DETECTED: "#4477aa",
    Outcome.CORRUPTION: "#882255",
    Outcome.MASKED: "#44aa99",
}
"""Colours that people with any colour vision tell apart."""
_WIDTH, _BAR, _LABEL, _BINS, _COLUMNS = 560, 18, 300, 48, 64
_FAILURES = tuple(one.value for one in Outcome if one.failure)


def page(store: Store, report: CampaignReport) -> str:
    """Return the page of a campaign.

    Args:
        store: Its store.
        report: Its report.

    Returns:
        HTML.
    """
    body = "\n".join(_body(store, report))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Campaign</title>\n'
        f"<style>{STYLE}\n.aether svg text {{ font: 12px sans-serif; }}</style>\n</head>\n"
        f'<body class="aether">\n<h1>Fault-injection campaign</h1>\n{body}\n</body>\n</html>\n'
    )


def _body(store: Store, report: CampaignReport) -> Iterator[str]:
    low, high = report.failures_interval
    summary = [
        ("runs", f"{report.done:,} of {report.planned:,}"),
        ("faults at moments", f"{report.population:,}"),
        ("failures, extrapolated", f"{report.failures:,.0f} ({low:,.0f} to {high:,.0f})"),
        ("confidence of each stratum", f"{report.confidence:.0%}"),
        *((f"broken: {one.guarantee}", f"{one.runs:,} runs") for one in report.guarantees),
    ]
    yield from table("Summary", (), summary)
    yield from _legend()
    yield from _bars("Outcomes by stratum", [(s.name, {o.outcome: o.runs for o in s.outcomes}) for s in report.strata])
    for title, column in (("Outcomes by what was hit", "region"), ("Outcomes by phase", "phase")):
        yield from _bars(title, _grouped(store, column))
    yield from _over_time(store)
    yield from _memory(store)
    yield from _lines(store)
    headings = ("stratum", "outcome", "runs", "share", "Wilson", "Clopper-Pearson", "extrapolated")
    rows = [
        (
            *(stratum.name, one.outcome, one.runs, f"{one.share:.4%}", _interval(one.wilson)),
            *(_interval(one.clopper_pearson), f"{one.extrapolated:,.0f}"),
        )
        for stratum in report.strata
        for one in stratum.outcomes
    ]
    yield from table("Shares, with intervals", headings, rows)
    examples = store.query(
        "SELECT outcome, guarantees, stratum || '/' || min(number), place, fault, detail FROM runs"
        " GROUP BY outcome, guarantees ORDER BY outcome, guarantees"
    )
    yield from table(
        "First example of each outcome: enclave-sim campaign show FILE RUN",
        ("outcome", "guarantees", "run", "place", "fault", "detail"),
        [tuple(str(cell) for cell in row) for row in examples],
    )


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.4%} to {ends[1]:.4%}"


def _grouped(store: Store, column: str) -> list[tuple[str, dict[str, int]]]:
    found: dict[str, dict[str, int]] = {}
    for name, outcome, runs in store.query(
        f"SELECT {column}, outcome, count(*) FROM runs GROUP BY {column}, outcome ORDER BY {column}"
    ):
        found.setdefault(str(name) or "none", {})[str(outcome)] = int(runs or 0)
    return list(found.items())


def _legend() -> Iterator[str]:
    boxes = (f'<tspan fill="{_COLOURS[one]}">&#9632;</tspan> {escape(one.value)} &#160; ' for one in Outcome)
    yield f'<svg width="100%" height="40" viewBox="0 0 860 40"><text x="0" y="14">{"".join(list(boxes)[:5])}</text>'
    rest = (f'<tspan fill="{_COLOURS[one]}">&#9632;</tspan> {escape(one.value)} &#160; ' for one in list(Outcome)[5:])
    yield f'<text x="0" y="32">{"".join(rest)}</text></svg>'


def _bars(title: str, rows: Iterable[tuple[str, dict[str, int]]]) -> Iterator[str]:
    """Yield a stacked bar of outcomes for each row."""
    rows = [(name, counts) for name, counts in rows if counts]
    height = _BAR * len(rows) + 4
    yield f"<h2>{escape(title)}</h2>"
    yield f'<svg width="100%" viewBox="0 0 {_LABEL + _WIDTH} {height}" role="img">'
    for number, (name, counts) in enumerate(rows):
        y, x, total = number * _BAR, float(_LABEL), sum(counts.values())
        yield f'<text x="{_LABEL - 6}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
        for outcome in Outcome:
            runs = counts.get(outcome.value, 0)
            if runs:
                width = _WIDTH * runs / total
                tip = f"{escape(name)}: {escape(outcome.value)}, {runs:,} of {total:,}"
                yield (
                    f'<rect x="{x:.2f}" y="{y + 2}" width="{width:.2f}" height="{_BAR - 4}"'
                    f' fill="{_COLOURS[outcome]}"><title>{tip}</title></rect>'
                )
                x += width
    yield "</svg>"


def _over_time(store: Store) -> Iterator[str]:
    """Yield a histogram over virtual time: the height of a column are its runs."""
    ((first, last),) = store.query("SELECT min(at_ns), max(at_ns) FROM runs")
    if not isinstance(first, int) or not isinstance(last, int):
        return
    step = max(1, -(-(last - first + 1) // _BINS))
    bins: dict[int, dict[str, int]] = {}
    for number, outcome, runs in store.query(
        "SELECT (at_ns - ?) / ?, outcome, count(*) FROM runs WHERE at_ns IS NOT NULL GROUP BY 1, 2", first, step
    ):
        bins.setdefault(int(number or 0), {})[str(outcome)] = int(runs or 0)
    most, height, width = max(sum(one.values()) for one in bins.values()), 160, (_LABEL + _WIDTH) / _BINS
    yield "<h2>Outcomes over virtual time</h2>"
    yield f'<svg width="100%" viewBox="0 0 {_LABEL + _WIDTH} {height + 20}" role="img">'
    for number, counts in sorted(bins.items()):
        y = float(height)
        for kind in reversed(Outcome):
            runs_of = counts.get(kind.value, 0)
            if runs_of:
                part = height * runs_of / most
                y -= part
                tip = f"from {first + number * step:,} ns: {escape(kind.value)}, {runs_of:,}"
                yield (
                    f'<rect x="{number * width:.2f}" y="{y:.2f}" width="{width - 1:.2f}" height="{part:.2f}"'
                    f' fill="{_COLOURS[kind]}"><title>{tip}</title></rect>'
                )
    yield f'<text x="0" y="{height + 15}">{first:,} ns</text>'
    yield f'<text x="{_LABEL + _WIDTH}" y="{height + 15}" text-anchor="end">{last:,} ns</text></svg>'


def _memory(store: Store) -> Iterator[str]:
    """Yield the vulnerability map of memory: each region in columns, the redder the larger the share of failures."""
    rows = store.query(
        "SELECT address, outcome, count(*) FROM runs WHERE address IS NOT NULL GROUP BY address, outcome"
    )
    if not rows:
        return
    hit = [one for one in regions() if any(one.base <= int(row[0] or 0) < one.end for row in rows)]
    yield "<h2>Vulnerability of memory</h2>"
    yield f'<svg width="100%" viewBox="0 0 {_LABEL + _WIDTH} {_BAR * len(hit) + 4}" role="img">'
    for line, one in enumerate(hit):
        cells: dict[int, list[int]] = {}
        for address, outcome, runs in rows:
            if one.base <= int(address or 0) < one.end:
                cell = cells.setdefault((int(address or 0) - one.base) * _COLUMNS // one.size, [0, 0])
                cell[0] += int(runs or 0)
                cell[1] += int(runs or 0) if outcome in _FAILURES else 0
        yield f'<text x="{_LABEL - 6}" y="{line * _BAR + 13}" text-anchor="end">{one.name}</text>'
        width = _WIDTH / _COLUMNS
        for number, (runs_here, failures) in sorted(cells.items()):
            share = failures / runs_here
            at = one.base + number * one.size // _COLUMNS
            tip = f"{one.name}, {at:#x}: {failures:,} failures in {runs_here:,} runs"
            colour = f"rgb({228 - int(58 * share)},{228 - int(177 * share)},{228 - int(109 * share)})"
            yield (
                f'<rect x="{_LABEL + number * width:.2f}" y="{line * _BAR + 2}" width="{width:.2f}"'
                f' height="{_BAR - 4}" fill="{colour}"><title>{tip}</title></rect>'
            )
    yield "</svg>"


def _lines(store: Store) -> Iterator[str]:
    """Yield the source lines of the kernel before which faults led to failures."""
    marks = ", ".join("?" * len(_FAILURES))
    rows = store.query(
        f"SELECT line, sum(outcome IN ({marks})), count(*) FROM runs WHERE line != ''"
        " GROUP BY line HAVING sum(outcome IN (" + marks + ")) > 0 ORDER BY 2 DESC, 1",
        *_FAILURES,
        *_FAILURES,
    )
    cells = [(str(line), int(failures or 0), int(runs or 0)) for line, failures, runs in rows]
    yield from table("Source lines of the kernel at which faults led to failures", ("line", "failures", "runs"), cells)
