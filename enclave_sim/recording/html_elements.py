"""Elements of HTML pages: tables under headings, and escaped text."""

from collections.abc import Iterable, Iterator
from html import escape

from enclave_sim.recording.text import printable

_ROWS_SHOWN, _LETTERS_SHOWN = 40, 300
STYLE = """
.aether { color: #111; background: #fff; font: 14px sans-serif; max-width: 60rem; margin: 0 auto; }
.aether h2 { font-size: 1.1em; margin: 1.2em 0 .3em; border-bottom: 1px solid #999; }
.aether table { border-collapse: collapse; margin: 0; }
.aether th, .aether td { text-align: left; vertical-align: top; padding: .15em 1.2em .15em 0;
  overflow-wrap: anywhere; background: #fff; color: #111; }
.aether th { font-weight: normal; color: #555; }
.aether td.number { text-align: right; font-variant-numeric: tabular-nums; }
.aether .bad { font-weight: bold; text-decoration: underline; }
"""
"""The style of all pages and elements."""
Cell = str | int


def element(title: str, rows: Iterable[tuple[str, str]], *more: str) -> str:
    """Return a small table under a heading, as an element to be put into a page such as a notebook.

    Args:
        title: The heading.
        rows: Names and values.
        *more: Elements that follow.
    """
    body = "\n".join([*table(title, (), rows), *more])
    return f'<div class="aether">\n<style>{STYLE}</style>\n{body}\n</div>'


def table(
    title: str, headings: tuple[str, ...], rows: Iterable[tuple[Cell, ...]], total: int | None = None
) -> Iterator[str]:
    """Yield a table under a heading, limited to the first rows. `total` is the number of rows if some are left out."""
    rows = list(rows)
    shown = rows[:_ROWS_SHOWN]
    hidden = (len(rows) if total is None else total) - len(shown)
    yield f"<h2>{text(title)}</h2>"
    if not rows:
        yield "<p>none</p>"
        return
    yield "<table>"
    if headings:
        yield f"<tr>{''.join(f'<th>{text(heading)}</th>' for heading in headings)}</tr>"
    for row in shown:
        yield f"<tr>{''.join(_cell(cell, first=not headings and place == 0) for place, cell in enumerate(row))}</tr>"
    yield "</table>"
    if hidden > 0:
        yield f"<p>and {hidden:,} more</p>"


def _cell(value: Cell, *, first: bool) -> str:
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<th>{text(value)}</th>" if first else f"<td>{text(value)}</td>"


def text(said: str) -> str:
    """Return text from a recording, which a payload may control, escaped, printable and of limited length."""
    return escape(printable(said if len(said) <= _LETTERS_SHOWN else f"{said[:_LETTERS_SHOWN]} ..."))
