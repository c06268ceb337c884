"""The command line's recorder, which shows progress."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from enclave_sim import events
from enclave_sim.cli.output.progress import ProgressLine
from enclave_sim.recording.text import plural
from enclave_sim.specification import HostFunction
from machine.events import Event, RingTransition


class Watch:
    """A recorder that keeps a few counts and, after the first second, shows them on `terminal` in one line."""

    def __init__(self, cycles: int, terminal: TextIO | None) -> None:
        self.status_words: set[int] = set()
        """The answers of `get_status` so far. A signal with one of these values is shown as a status word."""
        self._cycles = cycles
        self._line = ProgressLine(terminal)
        self._cycle = self._preemptions = self._host_calls = self._signals = 0

    def record(self, event: Event) -> None:
        """Count one event."""
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
        if self._line.is_due:
            self._draw(event.at_ns)

    @contextmanager
    def running(self) -> Iterator[None]:
        """A scope for a run. The line is erased at its end."""
        try:
            yield
        finally:
            self._line.erase()

    def _draw(self, now_ns: int) -> None:
        counts = (
            f"{now_ns / 1e9:.3f} s of virtual time",
            f"cycle {self._cycle:,} of {self._cycles:,}",
            plural(self._preemptions, "preemption"),
            plural(self._host_calls, "host call"),
            plural(self._signals, "signal"),
        )
        self._line.draw(" | ".join(counts))
