"""The parts of terminal pages: glyphs, tables, and the encoding for standard output.

Import it only to draw something: rich takes 50 ms to load.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that the terminal can show."""

    tick: str
    cross: str
    arrow: str
    bar: str
    empty: str
    hole: str
    line: str
    ellipsis: str


UNICODE = Glyphs("\u2713", "\u2717", "\u2192", "\u2588", "\u00b7", "\u254c\u254c", "\u2500", "\u2026")
ASCII = Glyphs("ok", "no", "->", "#", ".", "--", "-", "...")


_WHOLE = 1 << 16
"""Columns that are always left empty."""


def draw(build: Callable[[int, bool], RenderableType], *, whole_lines: bool = False) -> bytes:
    """Draw a page, encoded for standard output, in colour on a terminal unless NO_COLOR is set.

    Args:
        build: Makes the page, given the width in columns and True if the encoding is Unicode.
        whole_lines: Do not wrap lines if standard output is not a terminal, so that `grep` finds whole messages.

    Returns:
        The page, without trailing spaces if standard output is not a terminal.
    """
    output = Console()
    encoding = output.encoding
    page = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace", newline="\n")
    width = _WHOLE if whole_lines and not output.is_terminal else output.width
    console = Console(
        file=page, width=width, force_terminal=output.is_terminal, highlight=False, markup=False, emoji=False
    )
    console.print(build(console.width, encoding.startswith("utf")))
    drawn = page.buffer.getvalue()
    return drawn if output.is_terminal else b"".join(line.rstrip() + b"\n" for line in drawn.splitlines())


def facts_table() -> Table:
    """Return an empty table of labels and texts."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def headed_table(*headers: str) -> Table:
    """Return an empty table without lines. A column whose header begins with `>` is right-aligned."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for header in headers:
        justify: JustifyMethod = "right" if header.startswith(">") else "left"
        table.add_column(header.removeprefix(">"), justify=justify, overflow="fold")
    return table
