"""The observer of a run on the command line: it shows progress.

It reads the wall clock, and nothing of that reaches the machine.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import TextIO

from enclave_sim import events
from enclave_sim.cli.text import plural
from enclave_sim.specification import HostFunction
from machine.events import Event, RingTransition

_FIRST_AFTER_S = 1.0
_INTERVAL_S = 0.1
_ERASE = "\r\x1b[K"


class Watch:
    """A recorder that keeps a few counts and, from the first second on, draws one line of them on `terminal`."""

    def __init__(self, cycles: int, terminal: TextIO | None) -> None:
        self.status_words: set[int] = set()
        """What `get_status` has answered so far, by which a status word among the signals is known."""
        self._cycles = cycles
        self._terminal = terminal
        self._cycle = self._preemptions = self._host_calls = self._signals = 0
        self._next_draw = perf_counter() + _FIRST_AFTER_S
        self._drawn = False

    def record(self, event: Event) -> None:
        """Take one event."""
        kind = type(event)
        if kind is RingTransition:
            if event.from_ring == 3 and event.cause == "external_interrupt":  # type: ignore[attr-defined]
                self._preemptions += 1
        elif kind is events.HostReturned:
            self._host_calls += 1
            if event.number == HostFunction.GET_STATUS:  # type: ignore[attr-defined]
                self.status_words.add(event.result)  # type: ignore[attr-defined]
        elif kind is events.SignalEmitted:
            self._signals += 1
        elif kind is events.CycleBegan:
            self._cycle = event.cycle + 1  # type: ignore[attr-defined]
        if self._terminal is not None and perf_counter() >= self._next_draw:
            self._draw(self._terminal, event.at_ns)

    @contextmanager
    def running(self) -> Iterator[None]:
        """While a run lasts: a line may be drawn, and is gone at the end."""
        try:
            yield
        finally:
            self._erase()

    def _draw(self, terminal: TextIO, now_ns: int) -> None:
        counts = (
            f"{now_ns / 1e9:.3f} s of virtual time",
            f"cycle {self._cycle:,} of {self._cycles:,}",
            plural(self._preemptions, "preemption"),
            plural(self._host_calls, "host call"),
            plural(self._signals, "signal"),
        )
        line = " | ".join(counts)[: shutil.get_terminal_size().columns - 1]
        with suppress(OSError):  # a terminal that is gone must not end the run
            terminal.write(f"{_ERASE}{line}")
            terminal.flush()
        self._drawn = True
        self._next_draw = perf_counter() + _INTERVAL_S

    def _erase(self) -> None:
        if self._drawn and self._terminal is not None:
            with suppress(OSError):
                self._terminal.write(_ERASE)
                self._terminal.flush()


def terminal_of(stream: TextIO) -> TextIO | None:
    """The stream, if it is a terminal on which a line can be drawn again."""
    return stream if stream.isatty() and os.environ.get("TERM") != "dumb" else None
