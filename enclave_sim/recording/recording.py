"""A recording in memory, which can be queried, saved and displayed."""

from pathlib import Path
from typing import Any, TypeVar

from enclave_sim.recording.format import Digest, Header, limit_at
from enclave_sim.recording.text import plural
from enclave_sim.recording.writer import RecordingWriter
from machine.events import Event
from machine.state import Stateful

_Kind = TypeVar("_Kind", bound=Event)


class Recording(Stateful):
    """The events of a run in memory.

        from pathlib import Path
        from enclave_sim import Enclave
        from enclave_sim.events import SignalEmitted
        from enclave_sim.recording import Recording

        enclave = Enclave("counter", cycles=3)
        enclave.run()
        enclave.recording.save(Path("counter.jsonl"))
        signals = Recording.load(Path("counter.jsonl")).of_kind(SignalEmitted)

    `header` describes the run. The list `events` grows while the enclave runs; a loaded recording is complete.
    `RecordingFile` reads a file in constant memory, and `RecordingWriter` writes one during the run.
    `enclave_sim.recording.select` filters events, and `enclave_sim.time_travel` repeats the run of a recording.

    Args:
        header: Everything that determines the run.
    """

    STATE = ("header", "events", "_stop")

    def __init__(self, header: Header) -> None:
        self.header = header
        self.events: list[Event] = []
        self._stop: tuple[int, int] | None = None

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Read a complete recording file.

        Args:
            path: The file.

        Returns:
            The recording.

        Raises:
            RecordingError: The file is damaged, foreign or of another version.
            ConfigurationError: It cannot be read.
        """
        from enclave_sim.recording.reader import RecordingFile  # noqa: PLC0415 - most recordings are of this process

        file = RecordingFile(path)
        recording = cls(file.header)
        recording.events.extend(file.all_events())
        if file.trailer is not None and file.trailer.limit_ns is not None:
            recording.stop_at(file.trailer.limit_ns)
        return recording

    def record(self, event: Event) -> None:
        """Take one event.

        Args:
            event: The event, which follows those taken before.
        """
        self.events.append(event)

    def stop_at(self, limit_ns: int) -> None:
        """Note that the run ends here, unless more events follow.

        Args:
            limit_ns: The limit of virtual time that was reached, in ns.
        """
        self._stop = (limit_ns, len(self.events))

    def of_kind(self, kind: type[_Kind]) -> list[_Kind]:
        """Select the events of one type.

        Args:
            kind: The type, such as `enclave_sim.events.SignalEmitted`.

        Returns:
            The events, in order.
        """
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def digest(self) -> str:
        """The recording's SHA-256 in hex, as the trailer of its file states it."""
        digest = Digest(self.header)
        self._repeat(digest)
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the recording to a file. A failure leaves no file.

        Args:
            path: The file, which is replaced if it exists.

        Raises:
            ConfigurationError: It cannot be written.
        """
        with RecordingWriter.open(path, self.header) as writer:
            self._repeat(writer)

    def _repeat(self, recorder: Digest | RecordingWriter) -> None:
        for event in self.events:
            recorder.record(event)
        limit_ns = limit_at(self._stop, len(self.events))
        if limit_ns is not None:
            recorder.stop_at(limit_ns)

    def to_arrow(self) -> Any:
        """Convert the recording to a table with the columns of a Parquet file, for data frames.

        Returns:
            A `pyarrow.Table`; `to_pandas()`, and `polars.from_arrow`, make a data frame of it.

        Raises:
            ConfigurationError: pyarrow is not installed.
        """
        from enclave_sim.recording.exports.formats import Format  # noqa: PLC0415 - few export

        return Format.PARQUET.module().table(self.header, self.events)

    def __repr__(self) -> str:
        last_ns = self.events[-1].at_ns if self.events else 0
        return f"<Recording: {plural(len(self.events), 'event')}, the last at {last_ns:,} ns>"

    def _repr_html_(self) -> str:
        """Return the view in a notebook: timeline, phases, summary."""
        from enclave_sim.recording.exports.html import fragment  # noqa: PLC0415 - it imports this module

        return fragment(self.header, self.events)
