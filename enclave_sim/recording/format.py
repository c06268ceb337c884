"""The format of recordings: a header, the events as JSON Lines, and a trailer with the SHA-256 of all lines before it.

The digest covers what the machine did and nothing of the host: the same inputs give the same digest on every host,
Python and operating system. A recording is enough to make its run again: it embeds what the header names and not every
reader has.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec

from enclave_sim.errors import EnclaveError
from enclave_sim.inputs import AnyInput
from enclave_sim.payload.keys import TrustAnchor
from machine.events import Event, Recorder
from machine.state import State, Stateful

FORMAT = "enclave-sim-recording"
VERSION = 2
_BATCH = 1024
NOWHERE = (0, -1)
"""No limit, and a number of events that there never is."""


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
        self._stop = NOWHERE
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
        return with_limit(self._hash, self._limit_ns)

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


def with_limit(digest: "hashlib._Hash", limit_ns: int | None) -> str:
    """Return the digest of a recording whose lines have this one, and which ended at this limit, if any."""
    if limit_ns is None:
        return digest.hexdigest()
    limited = digest.copy()
    limited.update(b'{"limit_ns":%d}\n' % limit_ns)
    return limited.hexdigest()
