"""The format of recordings: a header, the events as JSON Lines, and a trailer with the SHA-256 of all lines before it.

The digest covers the machine's events and nothing about the host: the same inputs give the same digest on every host,
Python and operating system. A recording suffices to repeat its run: it embeds everything named in the header that some
readers do not have.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from enclave_sim.errors import EnclaveError
from enclave_sim.files.reading import read_start
from enclave_sim.inputs import AnyInput
from enclave_sim.payload.keys import TrustAnchor
from machine.events import Event, Recorder
from machine.state import State, Stateful

FORMAT = "enclave-sim-recording"
VERSION = 2
BEGINNING = b'{"kind":"header"'
"""The first bytes of every recording."""
BATCH = 1024
"""Number of events encoded at a time."""
_ENCODER = msgspec.json.Encoder()


class RecordingError(EnclaveError):
    """A recording is damaged, foreign, or of another version."""


class Header(msgspec.Struct, frozen=True, tag_field="kind", tag="header"):
    """Everything that determines a run: sufficient to repeat it."""

    configuration: dict[str, Any]
    """The options, by name; see `EnclaveConfiguration.describe`."""
    firmware_sha256: str
    """SHA-256 of the kernel's file, in hex."""
    payload_sha256: tuple[str, ...]
    """SHA-256 of each payload, in hex."""
    inputs: tuple[AnyInput, ...] = ()
    """Scheduled inputs of the run, by time."""
    payloads: tuple[bytes, ...] = ()
    """The payloads that are not built in, each once, in the order of `payload_sha256`."""
    trust_anchors: tuple[TrustAnchor, ...] = ()
    """The trust anchors other than the development anchor. They contain only public keys."""
    format: str = FORMAT
    version: int = VERSION


class Trailer(msgspec.Struct, frozen=True, tag_field="kind", tag="trailer", omit_defaults=True):
    """The end of a complete recording."""

    events: int
    """Number of events before the trailer."""
    sha256: str
    """The digest, in hex."""
    limit_ns: int | None = None
    """The limit of virtual time at which the run ended, in ns, or None. The digest includes it like a line."""
    interrupted: bool = False
    """The run was interrupted, as by Ctrl-C or a host limit: these are its first events."""


class Digest(Stateful):
    """A recorder that computes the digest of a recording without writing it, in bounded memory.

    Args:
        header: The header of the recording.
    """

    STATE = ("_pending", "_hashed", "_stop")
    WIRING = ("_hash",)

    def __init__(self, header: Header) -> None:
        self.begin(header)

    def begin(self, header: Header, events: Sequence[Event] = ()) -> None:
        """Restart.

        Args:
            header: The header of the recording.
            events: The first events.
        """
        self._hash = hashlib.sha256(encode_line(header))
        self._pending = list(events)
        self._hashed = 0
        self._stop: tuple[int, int] | None = None
        """A limit of virtual time, and the number of events before it."""

    def record(self, event: Event) -> None:
        """Take one event. Events are encoded in batches, which is much faster than one by one.

        Args:
            event: The event.
        """
        self._pending.append(event)
        if len(self._pending) >= BATCH:
            self._flush()

    def take_lines(self, lines: bytes, events: int) -> None:
        """Take encoded events.

        Args:
            lines: Their lines.
            events: The number of lines.
        """
        self._flush()
        self._hash.update(lines)
        self._hashed += events

    @property
    def events(self) -> int:
        """Number of events taken."""
        return self._hashed + len(self._pending)

    def stop_at(self, limit_ns: int) -> None:
        """Note that the run ends here, unless more events follow.

        Args:
            limit_ns: The limit of virtual time that was reached, in ns.
        """
        self._stop = (limit_ns, self.events)

    def hexdigest(self) -> str:
        """Compute the digest of all events so far.

        Returns:
            The SHA-256 in hex.
        """
        self._flush()
        return with_limit(self._hash, self._limit_ns)

    def trailer(self) -> Trailer:
        """Make the trailer of a recording that ends here.

        Returns:
            The trailer.
        """
        return Trailer(self.events, self.hexdigest(), self._limit_ns)

    def save_state(self) -> State:
        """See `Stateful`."""
        return super().save_state() | {"_hash": self._hash.copy()}

    def load_state(self, state: State) -> None:
        """See `Stateful`."""
        super().load_state(state)
        self._hash = state["_hash"].copy()

    @property
    def _limit_ns(self) -> int | None:
        return limit_at(self._stop, self.events)

    def _flush(self) -> None:
        if self._pending:
            self._hash.update(encode_lines(self._pending))
            self._hashed += len(self._pending)
            self._pending.clear()


Receiver = Callable[[Any], None]
"""A function that takes an event."""


class Tee:
    """Passes each event to several recorders, in order.

    A recorder that ignores most types of events may have a method `receiver`, which returns the function that takes
    the events of a type, or None.
    """

    def __init__(self, recorders: Sequence[Recorder]) -> None:
        self._recorders = tuple(recorders)
        self._receivers: dict[type[Event], tuple[Receiver, ...]] = {}

    def record(self, event: Event) -> None:
        """Take one event."""
        for receive in self._receivers.get(type(event)) or self._find(type(event)):
            receive(event)

    def _find(self, kind: type[Event]) -> tuple[Receiver, ...]:
        found = (getattr(recorder, "receiver", lambda _, r=recorder: r.record)(kind) for recorder in self._recorders)
        self._receivers[kind] = receivers = tuple(receive for receive in found if receive is not None)
        return receivers


def is_recording(path: Path) -> bool:
    """Return whether a file begins like a recording."""
    return read_start(path, len(BEGINNING)) == BEGINNING


def encode_line(line: Header | Trailer) -> bytes:
    """Return the first or the last line of a recording."""
    return _ENCODER.encode(line) + b"\n"


def encode_lines(events: Sequence[Event]) -> bytes:
    """Return a line for each event."""
    return _ENCODER.encode_lines(events)


def limit_at(stop: tuple[int, int] | None, events: int) -> int | None:
    """Return the limit of a recording that has this number of events now: none if events have followed the limit."""
    return stop[0] if stop is not None and stop[1] == events else None


def with_limit(digest: "hashlib._Hash", limit_ns: int | None) -> str:
    """Return the digest of a recording with these lines that ended at this limit, if any."""
    if limit_ns is None:
        return digest.hexdigest()
    limited = digest.copy()
    limited.update(b'{"limit_ns":%d}\n' % limit_ns)
    return limited.hexdigest()
