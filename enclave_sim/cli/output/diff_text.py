"""Diff lines for standard output. The mark at the beginning is sufficient; colour repeats it."""

import os
import sys
from collections.abc import Iterable

_COLOURS = {"- ": "\x1b[31m", "+ ": "\x1b[32m"}
_PLAIN = "\x1b[0m"


def marked_text(lines: Iterable[str]) -> bytes:
    """Encode lines. On a terminal, those that begin with `- ` or `+ ` are coloured unless NO_COLOR is set."""
    colours = _COLOURS if sys.stdout.isatty() and not os.environ.get("NO_COLOR") and _has_colour() else {}
    encoding = sys.stdout.encoding or "utf-8"
    return "".join(_coloured(line, colours.get(line[:2])) for line in lines).encode(encoding, "backslashreplace")


def _coloured(line: str, colour: str | None) -> str:
    return f"{line}\n" if colour is None else f"{colour}{line}{_PLAIN}\n"


def _has_colour() -> bool:
    return os.environ.get("TERM") != "dumb"
