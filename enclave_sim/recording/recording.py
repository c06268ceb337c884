"""A recording in memory, to be queried, saved and shown."""

from pathlib import Path
from typing import TypeVar

from enclave_sim.recording.format import NOWHERE, Digest, Header
from enclave_sim.recording.reader import RecordingFile
from enclave_sim.recording.writer import RecordingWriter
from machine.events import Event
from machine.state import Stateful

_Kind = TypeVar("_Kind", bound=Event)


class Recording(Stateful):
    """The events of a run in memory."""

    STATE = ("header", "events", "_stop")

    def __init__(self, header: Header) -> None:
        self.header = header
        self.events: list[Event] = []
        self._stop = NOWHERE

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Read all of a file. Raises what `RecordingFile` does."""
        file = RecordingFile(path)
        recording = cls(file.header)
        recording.events.extend(file)
        if file.trailer is not None and file.trailer.limit_ns is not None:
            recording.stop_at(file.trailer.limit_ns)
        return recording

    def record(self, event: Event) -> None:
        """Take one event."""
        self.events.append(event)

    def stop_at(self, limit_ns: int) -> None:
        """The run ends here, at this limit, unless more events come."""
        self._stop = (limit_ns, len(self.events))

    def of_kind(self, kind: type[_Kind]) -> list[_Kind]:
        """The events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def digest(self) -> str:
        """The recording's SHA-256, as a file of it would state."""
        digest = Digest(self.header)
        self._repeat(digest)
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the recording to a file. Raises ConfigurationError, and leaves no part of it, where that fails."""
        with RecordingWriter.open(path, self.header) as writer:
            self._repeat(writer)

    def _repeat(self, recorder: Digest | RecordingWriter) -> None:
        for event in self.events:
            recorder.record(event)
        limit_ns, events = self._stop
        if events == len(self.events):
            recorder.stop_at(limit_ns)

    def _repr_html_(self) -> str:
        """How a notebook shows it: timeline, phases, summary."""
        from enclave_sim.recording.exports.html import fragment  # noqa: PLC0415 - it imports this module

        return fragment(self.header, self.events)
