"""Lines of a difference for standard output. The marks at their front say all; colour repeats it."""

import os
import sys
from collections.abc import Iterable

_COLOURS = {"- ": "\x1b[31m", "+ ": "\x1b[32m"}
_PLAIN = "\x1b[0m"


def marked_text(lines: Iterable[str]) -> bytes:
    """Lines, encoded; those that begin with `- ` or `+ ` in colour if that is a terminal without NO_COLOR."""
    colours = _COLOURS if sys.stdout.isatty() and not os.environ.get("NO_COLOR") and _is_able() else {}
    encoding = sys.stdout.encoding or "utf-8"
    return "".join(_coloured(line, colours.get(line[:2])) for line in lines).encode(encoding, "backslashreplace")


def _coloured(line: str, colour: str | None) -> str:
    return f"{line}\n" if colour is None else f"{colour}{line}{_PLAIN}\n"


def _is_able() -> bool:
    return os.environ.get("TERM") != "dumb"
