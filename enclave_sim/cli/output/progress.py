"""A progress line on a terminal, shown after the first second and erased at the end.

It reads the wall clock, which never affects a machine.
"""

import os
import shutil
from contextlib import suppress
from time import perf_counter
from typing import TextIO

_FIRST_AFTER_S = 1.0
_INTERVAL_S = 0.1
_ERASE = "\r\x1b[K"


class ProgressLine:
    """The line on `terminal`; without one, nothing is drawn. A closed terminal raises no error."""

    def __init__(self, terminal: TextIO | None) -> None:
        self._terminal = terminal
        self._next_draw = perf_counter() + _FIRST_AFTER_S
        self._drawn = False

    @property
    def is_due(self) -> bool:
        """True if it is time to draw."""
        return self._terminal is not None and perf_counter() >= self._next_draw

    def draw(self, text: str) -> None:
        """Replace the text, cut to the terminal's width."""
        self._write(_ERASE + text[: shutil.get_terminal_size().columns - 1])
        self._drawn = True
        self._next_draw = perf_counter() + _INTERVAL_S

    def erase(self) -> None:
        """Erase the line."""
        if self._drawn:
            self._write(_ERASE)

    def _write(self, text: str) -> None:
        if self._terminal is not None:
            with suppress(OSError):
                self._terminal.write(text)
                self._terminal.flush()


def terminal_of(stream: TextIO) -> TextIO | None:
    """Return the stream if it is a terminal that can redraw a line, or None."""
    return stream if stream.isatty() and os.environ.get("TERM") != "dumb" else None
