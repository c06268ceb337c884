"""The events of a recording file as a sequence, of which only some pages are in memory at a time."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from enclave_sim.recording.format import RecordingError
from enclave_sim.recording.reader import RecordingFile
from machine.events import Event

PAGE = 2048
"""The number of events in a page."""
_PAGES_KEPT = 8


class KindIndex:
    """The numbers of events by kind, four bytes each."""

    def __init__(self) -> None:
        self._of_kind: dict[type[Event], array[int]] = {}
        self.count = 0
        """The number of events taken."""

    def add(self, events: Iterable[Event]) -> None:
        """Take more events, which follow those taken before."""
        of_kind, number = self._of_kind, self.count
        for event in events:
            kind = type(event)
            if kind not in of_kind:
                of_kind[kind] = array("I")
            of_kind[kind].append(number)
            number += 1
        self.count = number

    def of_kind(self, kind: type[Event]) -> "array[int]":
        """Return the numbers of the events of a kind, in order."""
        return self._of_kind.get(kind, array("I"))


class EventPages(Sequence[Event]):
    """The events of a recording file.

    Making it reads and checks the whole file once. Later each page that is not in memory is read again.

    Args:
        file: The recording, which must not be changed meanwhile; it may be replaced by another file.
        kept: The kinds of events to keep in memory.

    Raises:
        RecordingError: The file is damaged.
        ConfigurationError: It cannot be read.
    """

    def __init__(self, file: RecordingFile, kept: tuple[type[Event], ...] = ()) -> None:
        self._file = file
        self.kinds = KindIndex()
        """The numbers of the events by kind."""
        self.kept: list[Event] = []
        """The events of the kinds to keep, in order."""
        self.kinds.add(self._first_pass(kept))
        self._pages: dict[int, list[Event]] = {}
        """The last pages used, the latest last."""

    def _first_pass(self, kept: tuple[type[Event], ...]) -> Iterator[Event]:
        for event in self._file:
            if isinstance(event, kept):
                self.kept.append(event)
            yield event

    def __len__(self) -> int:
        return self.kinds.count

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return self._page(place // PAGE)[place % PAGE]

    def _page(self, number: int) -> list[Event]:
        page = self._pages.pop(number, None)
        if page is None:
            numbers = range(number * PAGE, min((number + 1) * PAGE, len(self)))
            page = list(self._file.numbered(numbers))
            if [event.seq for event in page] != list(numbers):
                raise RecordingError(f"{self._file.path} was changed while it was in use")
            if len(self._pages) == _PAGES_KEPT:
                del self._pages[next(iter(self._pages))]
        self._pages[number] = page
        return page
