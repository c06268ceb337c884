"""Coverage as one HTML page: a table of the files, then their sources, without external references or scripts."""

from collections.abc import Iterator
from html import escape

from enclave_sim.coverage.report import Branch, Count, CoverageReport, FileCoverage
from enclave_sim.recording.text import printable

_NOTHING_FROM_OUTSIDE = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body { color: #111; background: #fff; font: 14px sans-serif; max-width: 75rem; margin: 1rem auto; padding: 0 1rem; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .1em 1.2em .1em 0; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
h2 { font-size: 1.1em; margin: 2em 0 .3em; border-bottom: 1px solid #999; }
pre { font: 12px/1.35 monospace; margin: 0; }
pre span { display: block; white-space: pre-wrap; padding-left: .5em; border-left: .4em solid transparent; }
.hit { border-left-color: #2a7; }
.missed { background: #fdd; border-left-color: #c22; }
.half { background: #ffc; border-left-color: #b80; }
i { color: #777; font-style: normal; }
"""


def html(report: CoverageReport) -> str:
    """Return a report as a page.

    Args:
        report: The report.

    Returns:
        The page. Lines of which nothing was executed are red; lines with a branch that always went one way are yellow.
    """
    title = f"Coverage of {escape(printable(report.name))}"
    body = "\n".join([f"<h1>{title}</h1>", *_totals(report), *_table(report), *_sources(report)])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta http-equiv="Content-Security-Policy" content="{_NOTHING_FROM_OUTSIDE}" />
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _totals(report: CoverageReport) -> Iterator[str]:
    counts = {
        "lines": report.lines,
        "branches": report.branches,
        "edges": report.edges,
        "functions": report.functions,
        "instructions": report.instructions,
    }
    yield "<table>"
    for name, count in counts.items():
        yield f"<tr><th>{name}</th>{_cells(count)}</tr>"
    yield "</table>"


def _table(report: CoverageReport) -> Iterator[str]:
    yield "<h2>Files</h2>\n<table>"
    yield '<tr><th>file</th><th colspan="2">lines</th><th colspan="2">branches</th></tr>'
    for number, file in enumerate(report.files):
        link = f'<a href="#f{number}">{escape(printable(file.name))}</a>'
        yield f"<tr><td>{link}</td>{_cells(file.line_count)}{_cells(file.branch_count)}</tr>"
    yield "</table>"


def _cells(count: Count) -> str:
    share = f"{100 * count.covered / count.total:.1f} %" if count.total else ""
    return f'<td class="number">{count.covered:,} of {count.total:,}</td><td class="number">{share}</td>'


def _sources(report: CoverageReport) -> Iterator[str]:
    for number, file in enumerate(report.files):
        yield f'<h2 id="f{number}">{escape(printable(file.name))}</h2>'
        if not file.text:
            missed = ", ".join(map(str, file.missed)) or "none"
            yield f"<p>The source is not on this computer. Lines not executed: {missed}</p>"
            continue
        yield f"<pre>{''.join(_lines(file))}</pre>"


def _lines(file: FileCoverage) -> Iterator[str]:
    width = len(str(len(file.text)))
    for number, words in enumerate(file.text, 1):
        hit, branches = file.lines.get(number), file.branches.get(number, ())
        one_way = hit and any(one.taken != one.passed for one in branches)
        kind = "" if hit is None else ' class="missed"' if not hit else ' class="half"' if one_way else ' class="hit"'
        said = f"  <i>{_said(branches)}</i>" if branches else ""
        yield f"<span{kind}><i>{number:>{width}}</i> {escape(printable(words.expandtabs(4)))}{said}</span>"


def _said(branches: tuple[Branch, ...]) -> str:
    """Return what the branches of a line did: + for both ways, t for taken, n for not taken, - for not reached."""
    letters = {(True, True): "+", (True, False): "t", (False, True): "n", (False, False): "-"}
    return "[" + "".join(letters[one.taken, one.passed] for one in branches) + "]"
