"""Pieces of Markdown that are made from plain text."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\<>*_\[\]|$#])")


def escaped(text: str) -> str:
    """Return text in which only single backquotes keep their meaning."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _SPECIAL.sub(r"\\\1", part) for part in parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell or ' ' for cell in line)} |\n" for line in lines)


def code(text: str) -> str:
    """Return text as code in a cell of a table, in which a bar would end the cell."""
    return "`" + text.replace("|", "\\|") + "`" if text else ""
