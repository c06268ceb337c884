"""The events of a file, page by page, are those of the whole file; few pages are in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.events import KINDS, CycleBegan, InputTaken, SignalEmitted
from enclave_sim.recording import event_pages, reader
from enclave_sim.recording.event_pages import EventPages, KindIndex
from enclave_sim.recording.format import RecordingError
from enclave_sim.recording.reader import RecordingFile
from machine.events import Event
from tests.enclave_sim.recording.recorded_file import recorded

PLACES = st.integers(-2200, 2200)


@pytest.fixture(autouse=True)
def small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_pages, "PAGE", 7)
        patch.setattr(event_pages, "_PAGES_KEPT", 2)
        patch.setattr(reader, "_READ_IN_ORDER", 300)
        yield


@given(st.lists(PLACES | st.slices(2200), max_size=12))
def test_pages_are_the_events_of_the_file(places: list[int | slice]) -> None:
    path, _, events = recorded()
    pages = EventPages(RecordingFile(path), kept=(CycleBegan, SignalEmitted))
    assert len(pages) == len(events)
    assert pages.kept == [one for one in events if isinstance(one, CycleBegan | SignalEmitted)]
    for place in places:
        if isinstance(place, int) and not -len(events) <= place < len(events):
            with pytest.raises(IndexError):
                pages[place]
        else:
            assert pages[place] == events[place]
        assert len(pages._pages) <= 2


def test_the_index_has_the_numbers_of_every_kind() -> None:
    path, _, events = recorded()
    pages, parts = EventPages(RecordingFile(path)), KindIndex()
    for first in range(0, len(events), 100):
        parts.add(events[first : first + 100])
    for kind in KINDS.values():
        found = [event.seq for event in events if isinstance(event, kind)]
        assert list(pages.kinds.of_kind(kind)) == list(parts.of_kind(kind)) == found
    assert list(pages.kinds.of_kind(InputTaken)) == []


@given(st.integers(0, 2200), st.integers(0, 50))
def test_a_part_by_number_is_what_the_whole_has(first: int, count: int) -> None:
    path, _, events = recorded()
    assert list(RecordingFile(path).numbered(range(first, first + count))) == events[first : first + count]


def test_a_damaged_or_changed_file_is_an_error(tmp_path: Path) -> None:
    _, content, events = recorded()
    path = tmp_path / "counter.jsonl"
    path.write_bytes(content[:-200])
    with pytest.raises(RecordingError):
        EventPages(RecordingFile(path))
    path.write_bytes(content)
    pages = EventPages(RecordingFile(path))
    assert pages[3] == events[3]
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:1500], lines[-1]]))
    with pytest.raises(RecordingError, match="was changed while it was in use"):
        _event(pages, 1700)


def _event(pages: EventPages, place: int) -> Event:
    return pages[place]
