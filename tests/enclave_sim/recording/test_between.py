"""A part of a recording is read without the rest, and is what a search through all of it finds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.recording import reader
from enclave_sim.recording.format import RecordingError
from enclave_sim.recording.reader import RecordingFile
from tests.enclave_sim.recording.recorded_file import recorded


def times() -> st.SearchStrategy[int]:
    known = [event.at_ns for event in recorded()[2]]
    near = st.sampled_from(known).flatmap(lambda at_ns: st.integers(max(0, at_ns - 1), at_ns + 1))
    return st.one_of(near, st.integers(0, known[-1] + 10))


@given(st.lists(st.deferred(times), min_size=2, max_size=2).map(sorted), st.sampled_from([1, 300, 1 << 16]))
def test_a_part_is_what_the_whole_has_at_these_times(limits: list[int], in_order: int) -> None:
    path, _, events = recorded()
    first, last = limits
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_READ_IN_ORDER", in_order)
        assert list(RecordingFile(path).between(first, last)) == [e for e in events if first <= e.at_ns <= last]


@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_only_what_is_read_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: float) -> None:
    _, content, events = recorded()
    monkeypatch.setattr(reader, "_READ_IN_ORDER", 300)
    path = tmp_path / "damaged.jsonl"
    lines = content.splitlines(keepends=True)
    damaged = int(len(events) * at)
    path.write_bytes(b"".join([*lines[: damaged + 1], *lines[damaged + 2 :]]))  # one event is missing
    here, far = events[damaged].at_ns, events[int(len(events) * 0.35)].at_ns
    assert list(RecordingFile(path).between(far, far)) == [event for event in events if event.at_ns == far]
    before = events[damaged - 1]
    with pytest.raises(
        RecordingError, match=f"after event {before.seq}: event {before.seq + 2} where {before.seq + 1}"
    ):
        list(RecordingFile(path).between(before.at_ns, here + 1_000_000))
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(RecordingError, match=r"not an event|cut short"):
        list(RecordingFile(path).between(0, events[-1].at_ns))
