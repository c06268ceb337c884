"""The note of every command but `run` about a payload that was rejected: what the command shows is a run without it."""

from collections.abc import Iterable

import click

from enclave_sim.events import PayloadRejected
from enclave_sim.recording.text import one_line
from machine.events import Event

REJECTED = "a payload failed a check and was never run"
"""The outcome `PAYLOAD_REJECTED` in words."""


class Rejections:
    """A recorder that keeps the rejections."""

    def __init__(self) -> None:
        self._found: list[PayloadRejected] = []

    def record(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, PayloadRejected):
            self._found.append(event)

    def note(self) -> None:
        """Say on standard error what was wrong with the payloads, if any was rejected."""
        for event in self._found:
            note_rejection(f"{event.check}: {event.message}")


def note_rejections(events: Iterable[Event]) -> None:
    """Say on standard error what was wrong with the payloads, if any was rejected."""
    found = Rejections()
    for event in events:
        found.record(event)
    found.note()


def note_rejection(detail: str) -> None:
    """Say on standard error that a payload was rejected, and why."""
    click.echo(f"note: {REJECTED}: {one_line(detail)}", err=True)
