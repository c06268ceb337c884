"""Comparison of two recordings: headers, the first divergence, and the events that only one of them has.

from enclave_sim.recording.comparison.comparison import compare

comparison = compare(Path("a.jsonl"), Path("b.jsonl"))
print(comparison.equal, comparison.only_first, comparison.only_second)

Two events are the same if their kind and fields are. Their number in the recording and all times are ignored, so that
an extra event in one of the runs does not make all later events different. The comparison reports the time differences.
Both files are read once, in bounded memory.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from enclave_sim.events import name_of_kind
from enclave_sim.recording.comparison.alignment import Aligner, Side
from enclave_sim.recording.comparison.divergence import Divergence
from enclave_sim.recording.format import Header
from enclave_sim.recording.reader import RecordingFile
from machine.events import Event

MAX_HUNKS = 20
_SHOWN = 8
_CONTEXT = 2


@dataclass(frozen=True, slots=True)
class HeaderDifference:
    """A difference between the headers of the two runs."""

    name: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class Hunk:
    """A place at which the two do not have the same events."""

    before: tuple[Event, ...]
    """The last common events, with the numbers and times of the first."""
    first: tuple[Event, ...]
    """The first few events that only the first has."""
    second: tuple[Event, ...]
    first_count: int
    """Number of all events here that only the first has."""
    second_count: int


@dataclass(frozen=True, slots=True)
class Shift:
    """The delays of events of the second relative to the same events of the first, in ns; negative if earlier."""

    least: int
    most: int
    last: int
    """Delay of the last common event."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of comparing two recordings."""

    digests: tuple[str, str]
    events: tuple[int, int]
    """Number of events in each."""
    header: tuple[HeaderDifference, ...]
    divergence: Divergence | None
    """The first event that differs, including its time; None if there is none."""
    aligned: int
    """Number of common events."""
    shift_ns: Shift
    only_first: dict[str, int]
    """Numbers of events that only the first has, by kind."""
    only_second: dict[str, int]
    hunks: tuple[Hunk, ...]
    """The first `MAX_HUNKS`."""
    hunk_count: int

    @property
    def equal(self) -> bool:
        """True if the recordings are the same."""
        return self.digests[0] == self.digests[1]


def compare(path_a: Path | str, path_b: Path | str) -> Comparison:
    """Compare two recordings. Raises RecordingError for a damaged one, ConfigurationError for a missing one."""
    files = RecordingFile(Path(path_a)), RecordingFile(Path(path_b))
    gathered = _Gathered()
    with closing(iter(files[0])) as first, closing(iter(files[1])) as second:
        aligner = Aligner(Side(first), Side(second), gathered)
        aligner.run()
    trailers = files[0].trailer, files[1].trailer
    assert trailers[0] is not None
    assert trailers[1] is not None
    limits = (trailers[0].limit_ns, trailers[1].limit_ns)
    header = [*_header_differences(files[0].header, files[1].header)]
    if limits[0] != limits[1]:
        header.append(HeaderDifference("limit_ns", *limits))
    gathered.close()
    return Comparison(
        digests=(trailers[0].sha256, trailers[1].sha256),
        events=(trailers[0].events, trailers[1].events),
        header=tuple(header),
        divergence=aligner.divergence,
        aligned=gathered.aligned,
        shift_ns=Shift(gathered.least_ns, gathered.most_ns, gathered.last_ns),
        only_first=dict(sorted(gathered.only[0].items())),
        only_second=dict(sorted(gathered.only[1].items())),
        hunks=tuple(gathered.hunks),
        hunk_count=gathered.hunk_count,
    )


class _Gathered:
    """Takes the findings of the aligner, and keeps a bounded part of them."""

    def __init__(self) -> None:
        self.aligned = self.hunk_count = 0
        self.least_ns = self.most_ns = self.last_ns = 0
        self.only: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self.hunks: list[Hunk] = []
        self._before: tuple[Event, ...] = ()
        self._open: tuple[list[Event], list[Event]] = ([], [])
        self._counts = [0, 0]

    def same(self, first: Event, second: Event) -> None:
        """Note a common event."""
        if self._counts[0] or self._counts[1]:
            self.close()
        self.aligned += 1
        self.last_ns = shift = second.at_ns - first.at_ns
        if shift:
            self.least_ns, self.most_ns = min(self.least_ns, shift), max(self.most_ns, shift)
        self._before = (*self._before[1 - _CONTEXT :], first)

    def only_in(self, side: int, events: Iterable[Event]) -> None:
        """Note events that only one of them has: the first (0) or the second (1)."""
        for event in events:
            self.only[side][name_of_kind(event)] += 1
            self._counts[side] += 1
            if len(self._open[side]) < _SHOWN:
                self._open[side].append(event)

    def close(self) -> None:
        """End a hunk."""
        if not (self._counts[0] or self._counts[1]):
            return
        self.hunk_count += 1
        if len(self.hunks) < MAX_HUNKS:
            first, second = (tuple(events) for events in self._open)
            self.hunks.append(Hunk(self._before, first, second, *self._counts))
        self._open, self._counts, self._before = ([], []), [0, 0], ()


def _header_differences(first: Header, second: Header) -> list[HeaderDifference]:
    ours, theirs = _fields(first), _fields(second)
    names = dict.fromkeys((*ours, *theirs))
    return [HeaderDifference(n, ours.get(n), theirs.get(n)) for n in names if ours.get(n) != theirs.get(n)]


def _fields(header: Header) -> dict[str, Any]:
    fields = {name: getattr(header, name) for name in ("firmware_sha256", "payload_sha256", "inputs")}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fields))
    return {**header.configuration, **plain}
