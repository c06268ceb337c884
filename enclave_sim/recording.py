"""Recordings: a header, the events as JSON Lines, and a running SHA-256 over both.

The digest covers what the machine did and nothing of the host: the same inputs give the same digest on every host,
Python and operating system. Line 1 is the header, the last line the trailer with the digest of all lines before it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from enclave_sim.errors import EnclaveError
from enclave_sim.events import AnyEvent
from enclave_sim.inputs import AnyInput
from machine.events import Event, Recorder
from machine.state import State, Stateful

FORMAT = "enclave-sim-recording"
VERSION = 1
_BATCH = 1024
_Kind = TypeVar("_Kind", bound=Event)


class RecordingError(EnclaveError):
    """A recording is damaged, foreign, or from another version."""


class Header(msgspec.Struct, frozen=True, tag_field="kind", tag="header"):
    """What a run is made from: enough to make it again."""

    configuration: dict[str, Any]
    firmware_sha256: str
    payload_sha256: tuple[str, ...]
    inputs: tuple[AnyInput, ...] = ()
    """Scheduled inputs of the run, by time."""
    format: str = FORMAT
    version: int = VERSION


class Trailer(msgspec.Struct, frozen=True, tag_field="kind", tag="trailer"):
    """The end of a complete recording."""

    events: int
    sha256: str


class Digest(Stateful):
    """Encodes events and hashes them; writes them too, if given a file. Memory stays bounded."""

    def __init__(self, header: Header, file: BinaryIO | None = None) -> None:
        self._encoder = msgspec.json.Encoder()
        self._file = file
        self.begin(header)

    def begin(self, header: Header, events: Sequence[Event] = ()) -> None:
        """Start again, with a header and the first events."""
        self._hash = hashlib.sha256()
        self._pending = list(events)
        self._flushed = 0
        self._write(self._encoder.encode(header) + b"\n")

    def record(self, event: Event) -> None:
        """Take one event. They are encoded many at a time, which costs a fraction."""
        self._pending.append(event)
        if len(self._pending) >= _BATCH:
            self._flush()

    @property
    def events(self) -> int:
        """How many events were taken."""
        return self._flushed + len(self._pending)

    def hexdigest(self) -> str:
        """The digest of everything so far."""
        self._flush()
        return self._hash.hexdigest()

    def finish(self) -> None:
        """Write the trailer."""
        trailer = Trailer(self.events, self.hexdigest())
        if self._file is not None:
            self._file.write(self._encoder.encode(trailer) + b"\n")
            self._file.flush()

    def save_state(self) -> State:
        """See `Stateful`. Raises EnclaveError while a file is written, which could not be taken back."""
        if self._file is not None:
            raise EnclaveError("no snapshot can be taken of an enclave whose recording is being written to a file")
        return {"hash": self._hash.copy(), "pending": tuple(self._pending), "flushed": self._flushed}

    def load_state(self, state: State) -> None:
        """See `Stateful`."""
        self._hash = state["hash"].copy()
        self._pending[:] = state["pending"]
        self._flushed = state["flushed"]

    def _flush(self) -> None:
        self._write(self._encoder.encode_lines(self._pending))
        self._flushed += len(self._pending)
        self._pending.clear()

    def _write(self, lines: bytes) -> None:
        self._hash.update(lines)
        if self._file is not None:
            self._file.write(lines)


class Tee:
    """Hands each event to several recorders, in order."""

    def __init__(self, recorders: Sequence[Recorder]) -> None:
        self._records = tuple(recorder.record for recorder in recorders)

    def record(self, event: Event) -> None:
        """Take one event."""
        for record in self._records:
            record(event)


class Recording(Stateful):
    """The events of a run in memory."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.events: list[Event] = []

    def record(self, event: Event) -> None:
        """Take one event."""
        self.events.append(event)

    def of_kind(self, kind: type[_Kind]) -> list[_Kind]:
        """The events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def digest(self) -> str:
        """The recording's SHA-256, as a file of it would state."""
        digest = Digest(self.header)
        for event in self.events:
            digest.record(event)
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the recording to a file."""
        with path.open("wb") as file:
            digest = Digest(self.header, file)
            for event in self.events:
                digest.record(event)
            digest.finish()

    def _repr_html_(self) -> str:
        """How a notebook shows it: timeline, phases, summary."""
        from enclave_sim.exports.html import fragment  # noqa: PLC0415 - it imports this module

        return fragment(self.header, self.events)


def read_header(path: Path) -> Header:
    """The header of a recording file. Raises RecordingError for anything else."""
    with path.open("rb") as file:
        return _check_header(path, file.readline())


def _check_header(path: Path, line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except ValueError as error:
        raise RecordingError(f"{path} is not a recording: {error}") from None
    if header.format != FORMAT or header.version != VERSION:
        raise RecordingError(f"{path} is a recording of version {header.version}; this program reads {VERSION}")
    return header


def read_events(path: Path) -> Iterator[AnyEvent]:
    """The events of a recording file, one by one, in constant memory.

    Raises RecordingError where the file is cut, edited or reordered; the digest is checked at its end.
    """
    decoder = msgspec.json.Decoder(AnyEvent | Trailer)
    digest = hashlib.sha256()
    count = 0
    with path.open("rb") as file:
        first = file.readline()
        _check_header(path, first)
        digest.update(first)
        for number, line in enumerate(file, start=2):
            try:
                event: AnyEvent | Trailer = decoder.decode(line)
            except ValueError as error:
                raise RecordingError(f"{path}, line {number}: not an event: {error}") from None
            if isinstance(event, Trailer):
                if event.events != count or event.sha256 != digest.hexdigest():
                    raise RecordingError(f"{path} was changed: its digest does not match its lines")
                if file.read(1):
                    raise RecordingError(f"{path}, line {number + 1}: something follows the trailer")
                return
            if event.seq != count:
                raise RecordingError(f"{path}, line {number}: event {event.seq} where {count} belongs")
            digest.update(line)
            count += 1
            yield event
    raise RecordingError(f"{path} is cut short: it has no trailer")
