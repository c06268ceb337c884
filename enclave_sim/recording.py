"""Recordings: a header, the events as JSON Lines, and a running SHA-256 over both.

The digest covers what the machine did and nothing of the host: the same inputs give the same digest on every host,
Python and operating system. Line 1 is the header, the last line the trailer with the digest of all lines before it.
A recording is enough to make its run again: what the header names and not every reader has, it carries.
"""

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from enclave_sim.errors import ConfigurationError, EnclaveError
from enclave_sim.events import AnyEvent
from enclave_sim.inputs import AnyInput
from enclave_sim.payload.keys import TrustAnchor
from machine.events import Event, Recorder
from machine.state import State, Stateful

FORMAT = "enclave-sim-recording"
VERSION = 2
_BATCH = 1024
_LONGEST_LINE = 1 << 26
"""In bytes: a header with all the payloads and inputs there can be is shorter."""
_NOWHERE = (0, -1)
"""No limit, and a number of events that there never is."""
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
    payloads: tuple[bytes, ...] = ()
    """The payloads that are not built in, in the order in which `payload_sha256` names them; none twice."""
    trust_anchors: tuple[TrustAnchor, ...] = ()
    """The trust anchors besides the development anchor. They hold public keys only."""
    format: str = FORMAT
    version: int = VERSION


class Trailer(msgspec.Struct, frozen=True, tag_field="kind", tag="trailer", omit_defaults=True):
    """The end of a complete recording."""

    events: int
    sha256: str
    limit_ns: int | None = None
    """Where the run ended because virtual time got there, or None. It counts for the digest like a line."""


class _Format(msgspec.Struct, tag_field="kind", tag="header"):
    """What the header of every version begins with."""

    format: str
    version: int


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
        self._stop = _NOWHERE
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

    def stop_at(self, limit_ns: int) -> None:
        """The run ends here, at this limit, unless more events come."""
        self._stop = (limit_ns, self.events)

    def hexdigest(self) -> str:
        """The digest of everything so far."""
        self._flush()
        return _with_limit(self._hash, self._limit_ns)

    def finish(self) -> None:
        """Write the trailer."""
        trailer = Trailer(self.events, self.hexdigest(), self._limit_ns)
        if self._file is not None:
            self._file.write(self._encoder.encode(trailer) + b"\n")
            self._file.flush()

    def save_state(self) -> State:
        """See `Stateful`. Raises EnclaveError while a file is written, which could not be taken back."""
        if self._file is not None:
            raise EnclaveError("no snapshot can be taken of an enclave whose recording is being written to a file")
        pending = tuple(self._pending)
        return {"hash": self._hash.copy(), "pending": pending, "flushed": self._flushed, "stop": self._stop}

    def load_state(self, state: State) -> None:
        """See `Stateful`."""
        self._hash = state["hash"].copy()
        self._pending[:] = state["pending"]
        self._flushed = state["flushed"]
        self._stop = state["stop"]

    @property
    def _limit_ns(self) -> int | None:
        limit_ns, events = self._stop
        return limit_ns if events == self.events else None

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
        self._stop = _NOWHERE

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
        return self._digest(None).hexdigest()

    def save(self, path: Path) -> None:
        """Write the recording to a file."""
        with path.open("wb") as file:
            self._digest(file).finish()

    def _digest(self, file: BinaryIO | None) -> Digest:
        digest = Digest(self.header, file)
        for event in self.events:
            digest.record(event)
        limit_ns, events = self._stop
        if events == len(self.events):
            digest.stop_at(limit_ns)
        return digest

    def _repr_html_(self) -> str:
        """How a notebook shows it: timeline, phases, summary."""
        from enclave_sim.exports.html import fragment  # noqa: PLC0415 - it imports this module

        return fragment(self.header, self.events)


class RecordingFile(Iterable[AnyEvent]):
    """A recording file, whose events can be had one by one, in constant memory, as often as wanted.

    Raises RecordingError, which names the line, where the file is cut, edited, reordered, foreign or from another
    version: for the header when made, for what follows when it is read. The digest is checked at the end. Raises
    ConfigurationError for a file that is not there or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trailer: Trailer | None = None
        """The last line, once all events have been read."""
        with self._open() as file:
            self.header = self._header(file.readline(_LONGEST_LINE))

    def __iter__(self) -> Generator[AnyEvent, None, None]:
        decoder = msgspec.json.Decoder(AnyEvent | Trailer)
        with self._open() as file:
            line = file.readline(_LONGEST_LINE)
            self._header(line)
            digest, count = hashlib.sha256(line), 0
            while line := file.readline(_LONGEST_LINE):
                try:
                    event: AnyEvent | Trailer = decoder.decode(line)
                except (ValueError, RecursionError) as error:
                    raise self._damaged(count + 2, f"not an event: {error}") from None
                if not line.endswith(b"\n"):
                    raise self._damaged(count + 2, "cut short")
                if isinstance(event, Trailer):
                    self._check_end(event, line, digest, count, file)
                    self.trailer = event
                    return
                if event.seq != count:
                    raise self._damaged(count + 2, f"event {event.seq} where {count} belongs")
                digest.update(line)
                count += 1
                yield event
        raise RecordingError(f"{self.path} is cut short after line {count + 1}: it has no trailer")

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise ConfigurationError(f"cannot read {self.path}: {error.strerror}") from None

    def _header(self, line: bytes) -> Header:
        try:
            found = msgspec.json.decode(line, type=_Format)
            if found.format == FORMAT and found.version == VERSION and line.endswith(b"\n"):
                return msgspec.json.decode(line, type=Header)
        except (ValueError, RecursionError, EnclaveError) as error:
            raise RecordingError(f"{self.path} is not a recording; line 1: {error}") from None
        if found.format != FORMAT:
            raise RecordingError(f"{self.path} is not a recording; line 1: its format is {found.format!r}")
        if found.version != VERSION:
            raise RecordingError(f"{self.path} is a recording of version {found.version}; this program reads {VERSION}")
        raise self._damaged(1, "cut short")

    def _check_end(self, trailer: Trailer, line: bytes, digest: "hashlib._Hash", count: int, file: BinaryIO) -> None:
        if trailer.events != count:
            raise self._damaged(count + 2, f"the trailer counts {trailer.events} events; there are {count}")
        expected = _with_limit(digest, trailer.limit_ns)
        if trailer.sha256 != expected:
            raise self._damaged(
                count + 2, f"a line was changed: the digest of all is {expected}, the trailer says {trailer.sha256}"
            )
        if line != msgspec.json.encode(trailer) + b"\n":  # no digest covers the trailer's own text
            raise self._damaged(count + 2, "the trailer was changed")
        if file.read(1):
            raise self._damaged(count + 3, "something follows the trailer")

    def _damaged(self, line: int, what: str) -> RecordingError:
        return RecordingError(f"{self.path}, line {line}: {what}")


def read_header(path: Path) -> Header:
    """The header of a recording file. Raises RecordingError for anything else."""
    return RecordingFile(path).header


def read_events(path: Path) -> Iterator[AnyEvent]:
    """The events of a recording file, one by one, in constant memory. Raises what `RecordingFile` does."""
    return iter(RecordingFile(path))


def _with_limit(digest: "hashlib._Hash", limit_ns: int | None) -> str:
    if limit_ns is None:
        return digest.hexdigest()
    limited = digest.copy()
    limited.update(b'{"limit_ns":%d}\n' % limit_ns)
    return limited.hexdigest()
