"""Reading recording files event by event, with every check."""

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from enclave_sim.errors import ConfigurationError, EnclaveError
from enclave_sim.events import AnyEvent
from enclave_sim.files.reading import IMAGE, UTF_8_MARK, UTF_16, open_file
from enclave_sim.reasons import reason
from enclave_sim.recording.format import BEGINNING, FORMAT, VERSION, Header, RecordingError, Trailer, with_limit
from enclave_sim.recording.text import printable
from machine.events import Event

_READ_IN_ORDER = 1 << 16
"""A part of a file, in bytes, that is read line by line rather than bisected."""
_LONGEST_LINE = 1 << 26
"""In bytes. A header with the largest payloads and the most inputs is shorter."""
_CHANGED = "the file was changed as text; copy it byte by byte (for git: `*.jsonl -text` in .gitattributes)"


class _Format(msgspec.Struct, tag_field="kind", tag="header"):
    """The leading header fields of every version."""

    format: str
    version: int


class _Place(msgspec.Struct):
    """The time and the number of an event; those of the trailer are later than any."""

    at_ns: int = 1 << 64
    seq: int = 1 << 64


class RecordingFile(Iterable[AnyEvent]):
    """A recording file. Its events can be read one by one, in constant memory, repeatedly.

        file = RecordingFile(Path("counter.jsonl"))
        print(file.header.configuration["cycles"], sum(1 for event in file))

    A damaged file raises RecordingError, which names the line: for the header when the object is created, for other
    lines when they are read. The digest is checked at the end.

    Args:
        path: The file.

    Raises:
        RecordingError: The file is cut, edited, reordered, foreign or from another version.
        ConfigurationError: It does not exist or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trailer: Trailer | None = None
        """The last line, once all events have been read."""
        with open_file(path) as file:
            self.header = self._header(_first_line(file))

    def __iter__(self) -> Generator[AnyEvent, None, None]:
        decoder = msgspec.json.Decoder(AnyEvent | Trailer)
        with open_file(self.path) as file:
            line = _first_line(file)
            self._header(line)
            digest, count = hashlib.sha256(line), 0
            while line := file.readline(_LONGEST_LINE):
                _check_line(self.path, line, f"line {count + 2}")
                try:
                    event: AnyEvent | Trailer = decoder.decode(line)
                except (ValueError, RecursionError) as error:
                    what = f"not an event: {reason(error)}" if line.endswith(b"\n") else "cut short"
                    raise self._damaged(count + 2, what) from None
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

    def between(self, first_ns: int, last_ns: int) -> Generator[AnyEvent, None, None]:
        """Read the events from one virtual time to another, both inclusive, and little else of the file.

        The first is found by bisection, because events are in the order of their times. The digest of the file, which
        needs all of it, is not checked.

        Args:
            first_ns: Virtual time in ns.
            last_ns: Virtual time in ns.

        Yields:
            The events, in order.

        Raises:
            RecordingError: A line that was read is damaged, or does not follow the one before it.
        """
        for event in self._read_from(lambda place: place.at_ns >= first_ns):
            if event.at_ns > last_ns:
                return
            if event.at_ns >= first_ns:
                yield event

    def numbered(self, numbers: range) -> Generator[AnyEvent, None, None]:
        """Read the events with these numbers, and little else of the file; the checks are those of `between`.

        Args:
            numbers: The numbers, without gaps.

        Yields:
            The events, in order; fewer at the end of the file.

        Raises:
            RecordingError: A line that was read is damaged, or does not follow the one before it.
        """
        for event in self._read_from(lambda place: place.seq >= numbers.start):
            if event.seq >= numbers.stop:
                return
            if event.seq >= numbers.start:
                yield event

    def _read_from(self, is_late: Callable[[_Place], bool]) -> Generator[AnyEvent, None, None]:
        """Yield events up to the trailer, beginning not far before the first that is late, or at that one."""
        decoder, seq = msgspec.json.Decoder(AnyEvent | Trailer), None
        with open_file(self.path) as file:
            _first_line(file)
            file.seek(self._offset(file, file.tell(), os.fstat(file.fileno()).st_size, is_late))
            while line := file.readline(_LONGEST_LINE):
                _check_line(self.path, line, "a line")
                try:
                    event: AnyEvent | Trailer = decoder.decode(line)
                except (ValueError, RecursionError) as error:
                    raise self._damaged_after(seq, f"not an event: {reason(error)}") from None
                if isinstance(event, Trailer):
                    return
                if seq is not None and event.seq != seq + 1:
                    raise self._damaged_after(seq, f"event {event.seq} where {seq + 1} belongs")
                seq = event.seq
                yield event
        raise RecordingError(f"{self.path} is cut short: it has no trailer")

    def _offset(self, file: BinaryIO, low: int, high: int, is_late: Callable[[_Place], bool]) -> int:
        """Return the offset of a line not far before the first event that is late, or that event's own."""
        while high - low > _READ_IN_ORDER:
            middle = (low + high) // 2
            file.seek(middle)
            file.readline(_LONGEST_LINE)
            begin = file.tell()
            try:
                late = begin >= high or is_late(msgspec.json.decode(file.readline(_LONGEST_LINE), type=_Place))
            except (ValueError, RecursionError) as error:
                raise RecordingError(f"{self.path}, byte {begin}: not an event: {reason(error)}") from None
            low, high = (low, middle) if late else (begin, high)
        return low

    def _damaged_after(self, seq: int | None, what: str) -> RecordingError:
        where = "at the first event read" if seq is None else f"after event {seq}"
        return RecordingError(f"{self.path}, {where}: {what}")

    def all_events(self) -> list[Event]:
        """Read all events into memory.

        Returns:
            The events, in order.

        Raises:
            RecordingError: As iteration does.
            ConfigurationError: The file cannot be read, or is too large.
        """
        with open_file(self.path) as file:
            size = os.fstat(file.fileno()).st_size
        if size > IMAGE:
            raise ConfigurationError(f"cannot read {self.path} into memory: it is larger than {IMAGE >> 30} GiB")
        return list(self)

    def _header(self, line: bytes) -> Header:
        if not line:
            raise RecordingError(f"{self.path} is not a recording: it is empty")
        if line.startswith((UTF_8_MARK, *UTF_16)):
            raise RecordingError(f"{self.path}, line 1: it begins with a byte order mark: {_CHANGED}")
        if not line.startswith(BEGINNING):
            start = printable(line.decode("utf-8", "replace"))
            right = BEGINNING.decode()
            raise RecordingError(f"{self.path} is not a recording; line 1: it begins with {start}, not {right}")
        _check_line(self.path, line, "line 1")
        try:
            found = msgspec.json.decode(line, type=_Format)
            if found.format == FORMAT and found.version == VERSION and line.endswith(b"\n"):
                return msgspec.json.decode(line, type=Header)
        except (ValueError, RecursionError, EnclaveError) as error:
            raise RecordingError(f"{self.path} is not a recording; line 1: {reason(error)}") from None
        if found.format != FORMAT:
            raise RecordingError(f"{self.path} is not a recording; line 1: its format is {found.format!r}")
        if found.version != VERSION:
            raise RecordingError(f"{self.path} is a recording of version {found.version}; this program reads {VERSION}")
        raise self._damaged(1, "cut short")

    def _check_end(self, trailer: Trailer, line: bytes, digest: "hashlib._Hash", count: int, file: BinaryIO) -> None:
        if trailer.events != count:
            raise self._damaged(count + 2, f"the trailer counts {trailer.events} events; there are {count}")
        expected = with_limit(digest, trailer.limit_ns)
        if trailer.sha256 != expected:
            raise self._damaged(
                count + 2, f"a line was changed: the digest of all is {expected}, the trailer says {trailer.sha256}"
            )
        if line != msgspec.json.encode(trailer) + b"\n":  # no digest covers the trailer itself
            raise self._damaged(count + 2, "the trailer was changed")
        if file.read(1):
            raise self._damaged(count + 3, "something follows the trailer")

    def _damaged(self, line: int, what: str) -> RecordingError:
        return RecordingError(f"{self.path}, line {line}: {what}")


def _check_line(path: Path, line: bytes, where: str) -> None:
    """Raise RecordingError for a line that is too long, or that an editor or a transfer as text has changed."""
    if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
        raise RecordingError(f"{path}, {where}: it is longer than {_LONGEST_LINE >> 20} MiB, the longest possible")
    if line.endswith(b"\r\n"):
        raise RecordingError(f"{path}, {where}: it ends with CR LF: {_CHANGED}")


def _first_line(file: BinaryIO) -> bytes:
    """Return the header's line, or only the first bytes of a file that does not begin like a recording."""
    start = file.read(len(BEGINNING))
    return start + file.readline(_LONGEST_LINE) if start == BEGINNING else start


def read_header(path: Path) -> Header:
    """Read the header of a recording file.

    Args:
        path: The file.

    Returns:
        The header.

    Raises:
        RecordingError: It is not a recording, or has another version.
        ConfigurationError: It cannot be opened.
    """
    return RecordingFile(path).header


def read_events(path: Path) -> Iterator[AnyEvent]:
    """Read the events of a recording file, in constant memory.

    Args:
        path: The file.

    Returns:
        An iterator over the events, in order.

    Raises:
        RecordingError: The file is damaged; see `RecordingFile`.
        ConfigurationError: It cannot be opened.
    """
    return iter(RecordingFile(path))
