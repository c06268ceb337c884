"""Two recordings side by side: no event is lost, and the place where they agree again is found."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_sim import Enclave
from enclave_sim.events import SignalEmitted, name_of_kind
from enclave_sim.inputs import AnyInput, SensorValue, Tamper
from enclave_sim.recording.comparison.alignment import Aligner, Side
from enclave_sim.recording.comparison.comparison import MAX_HUNKS, Comparison, compare
from enclave_sim.recording.format import Header, RecordingError
from enclave_sim.recording.reader import read_events
from enclave_sim.recording.recording import Recording
from machine.events import Event


def save(path: Path, payload: Any = "counter", limit_ns: int | None = None, **options: Any) -> Path:
    enclave = Enclave(payload, **options)
    enclave.run(limit_ns)
    assert enclave.recording is not None
    enclave.recording.save(path)
    return path


def compared(directory: Path, first: dict[str, Any], second: dict[str, Any]) -> Comparison:
    return compare(save(directory / "a", **first), save(directory / "b", **second))


def names(comparison: Comparison) -> list[str]:
    return [difference.name for difference in comparison.header]


def test_a_recording_is_equal_to_itself(tmp_path: Path) -> None:
    found = compared(tmp_path, {}, {})
    assert found.equal
    assert (found.header, found.divergence, found.hunks, found.hunk_count) == ((), None, (), 0)
    assert (found.only_first, found.only_second, found.aligned) == ({}, {}, found.events[0])


def test_one_cycle_more_is_one_difference_and_the_end_is_found_again(tmp_path: Path) -> None:
    found = compared(tmp_path, {"cycles": 2, "attestation": "off"}, {"cycles": 3, "attestation": "off"})
    assert not found.equal
    assert names(found) == ["cycles"]
    assert (found.only_first, found.hunk_count, found.aligned) == ({}, 1, found.events[0])
    assert found.only_second["cycle_began"] == 1
    assert found.hunks[0].second_count == found.events[1] - found.events[0]
    assert found.divergence is not None
    assert found.divergence.first[0].seq == found.divergence.second[0].seq == 100
    assert [event.seq for event in found.divergence.before] == [97, 98, 99]
    assert found.shift_ns.last == found.shift_ns.most > found.shift_ns.least == 0


def test_a_run_that_is_only_slower_has_all_events_in_common(tmp_path: Path) -> None:
    found = compared(tmp_path, {"payload": "beacon"}, {"payload": "beacon", "ns_per_instruction": 3})
    assert (found.hunk_count, found.aligned) == (0, found.events[0])
    assert found.divergence is not None
    assert found.divergence.first[0].at_ns < found.divergence.second[0].at_ns
    assert found.shift_ns.most == found.shift_ns.last > 0


def test_what_the_runs_were_made_from_is_reported(tmp_path: Path) -> None:
    inputs: list[AnyInput] = [SensorValue(at_ns=1, sensor=0, value=3)]
    found = compared(tmp_path, {}, {"payload": "beacon", "inputs": inputs, "sensors": (0, 1)})
    assert names(found) == ["sensors", "payload_sha256", "inputs"]
    assert found.header[2].first == []
    assert found.header[2].second == [{"input": "sensor_value", "at_ns": 1, "sensor": 0, "value": 3}]


def test_a_limit_without_an_event_between_is_a_difference(tmp_path: Path) -> None:
    found = compared(tmp_path, {"limit_ns": 100_000}, {"limit_ns": 100_001})
    assert not found.equal
    assert (names(found), found.divergence) == (["limit_ns"], None)


def test_a_shorter_recording_ends_where_the_longer_one_goes_on(tmp_path: Path) -> None:
    found = compared(tmp_path, {"limit_ns": 300_000}, {})
    assert found.divergence is not None
    assert (found.divergence.first, found.aligned) == ((), found.events[0])
    assert found.only_first == {}


def test_tampering_is_found_where_it_happened(tmp_path: Path) -> None:
    found = compared(tmp_path, {}, {"inputs": [Tamper(at_ns=270_000)]})
    assert found.divergence is not None
    assert name_of_kind(found.divergence.second[0]) == "input_taken"
    assert name_of_kind(found.hunks[0].second[0]) == "input_taken"


@pytest.mark.parametrize("damaged", [0, 1])
def test_a_damaged_recording_is_an_error(damaged: int, tmp_path: Path) -> None:
    paths = [save(tmp_path / "a"), save(tmp_path / "b")]
    paths[damaged].write_bytes(paths[damaged].read_bytes()[:-200])
    with pytest.raises(RecordingError, match=paths[damaged].name):
        compare(*paths)


# The alignment itself


def signals(values: Iterable[int], late_ns: int = 0) -> list[SignalEmitted]:
    return [SignalEmitted(seq, 10 * seq + late_ns, value) for seq, value in enumerate(values)]


class Gathered:
    def __init__(self) -> None:
        self.common: list[tuple[Event, Event]] = []
        self.only: tuple[list[Event], list[Event]] = ([], [])

    def same(self, first: Event, second: Event) -> None:
        self.common.append((first, second))

    def only_in(self, side: int, events: Iterable[Event]) -> None:
        self.only[side].extend(events)


def align(first: list[SignalEmitted], second: list[SignalEmitted]) -> Gathered:
    gathered = Gathered()
    Aligner(Side(iter(first)), Side(iter(second)), gathered).run()
    return gathered


VALUES = st.lists(st.integers(0, 6), max_size=60)


@given(first=VALUES, second=VALUES)
def test_every_event_is_in_common_or_in_one_alone_once_and_in_order(first: list[int], second: list[int]) -> None:
    a, b = signals(first), signals(second)
    found = align(a, b)
    for side, events in enumerate((a, b)):
        common = [pair[side] for pair in found.common]
        assert sorted([*common, *found.only[side]], key=lambda event: event.seq) == events
        assert [event.seq for event in common] == sorted(event.seq for event in common)
    assert all(x.value == y.value for x, y in found.common)  # type: ignore[attr-defined]


@pytest.mark.slow
@given(
    values=st.lists(st.integers(0, 10**9), unique=True, min_size=20, max_size=200),
    at=st.integers(0, 15),
    inserted=st.lists(st.integers(2 * 10**9, 3 * 10**9), max_size=60),
)
def test_what_was_inserted_is_all_that_differs(values: list[int], at: int, inserted: list[int]) -> None:
    found = align(signals(values), signals([*values[:at], *inserted, *values[at:]], late_ns=7))
    assert found.only[0] == []
    assert [event.value for event in found.only[1]] == inserted  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [60, 61, 508, 509, 4092, 4093, 32_764])
def test_a_long_insertion_is_passed_over(count: int) -> None:
    strange = range(10**6, 10**6 + count)
    found = align(signals([*range(500), *strange, *range(500, 1200)]), signals(range(1200)))
    assert (len(found.only[0]), len(found.only[1]), len(found.common)) == (count, 0, 1200)


def test_an_insertion_is_passed_over_if_four_events_after_it_are_among_the_next_32768() -> None:
    strange = range(10**6, 10**6 + 32_765)
    found = align(signals([*range(500), *strange, *range(500, 600)]), signals(range(600)))
    assert len(found.common) < 600


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(400, 900), (3000, 5000), (20_000, 40_000)])
def test_parts_of_both_that_are_of_different_lengths_are_passed_over(first: int, second: int) -> None:
    """Also if the end of one is too far away for the first search: large windows are searched again later."""
    common = range(300)
    found = align(
        signals([*range(10**6, 10**6 + first), *common]), signals([*range(2 * 10**6, 2 * 10**6 + second), *common])
    )
    assert (len(found.common), len(found.only[0]), len(found.only[1])) == (300, first, second)


def test_large_windows_are_searched_as_seldom_as_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """So time is proportional to the length of recordings, even if they have nothing in common."""
    searched: Counter[tuple[int, int]] = Counter()
    rows = Side.rows

    def counting(side: Side, count: int, length: int) -> list[tuple[Any, ...]]:
        searched[count, length] += 1
        return rows(side, count, length)

    monkeypatch.setattr(Side, "rows", counting)
    align(signals(range(20_000)), signals(range(10**6, 10**6 + 20_000)))
    times = 313  # 64 events of each are skipped at a time
    of_each = {(64, 4): times, (512, 4): 79, (4096, 4): 10, (32_768, 4): 2, (64, 1): times}
    assert searched == {search: 2 * count for search, count in of_each.items()}


@pytest.mark.parametrize(("before", "found_again"), [(0, True), (62, True), (63, True), (64, False)])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_single_event_is_searched_among_the_next_64(before: int, found_again: bool, swapped: bool) -> None:
    first = signals([*range(1000, 1000 + before), 7, *range(2000, 2100)])
    second = signals([7, *range(3000, 3100)])
    found = align(second, first) if swapped else align(first, second)
    assert len(found.common) == found_again


def test_a_row_is_four_events() -> None:
    """Three equal events are not a row: the four are further away."""
    first = signals([1, 2, 3, 90, 91, 92, 93, 4, 5, 6, 7])
    three = signals([80, 1, 2, 3, 81, 82, 83, 4, 5, 6, 7])
    assert [a.seq for a, _ in align(first, three).common] == [7, 8, 9, 10]
    four = signals([80, 1, 2, 3, 90, 83, 4, 5, 6, 7])
    assert [a.seq for a, _ in align(first, four).common] == [0, 1, 2, 3, 7, 8, 9, 10]


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_a_side_looks_ahead_as_far_as_there_is_something(count: int) -> None:
    side = Side(iter(signals(range(3))))
    assert values_of(side.peek(count)) == list(range(min(count, 3)))
    assert values_of(side.take(count)) == list(range(min(count, 3)))
    head = side.head()
    assert (head is None) == (count >= 3)
    if head is not None:
        assert values_of([head[1]]) == [count]
        assert values_of(side.take()) == [count]
    assert Side(iter(())).rows(5, 4) == []
    assert len(Side(iter(signals(range(9)))).rows(5, 4)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 10, 100_000])
def test_what_has_nothing_in_common_is_in_one_alone(count: int) -> None:
    found = align(signals(range(count)), signals(range(10**6, 10**6 + 40_000)))
    assert (len(found.common), len(found.only[0]), len(found.only[1])) == (0, count, 40_000)


def test_of_several_places_to_go_on_the_nearest_is_taken() -> None:
    found = align(signals([9, 1, 2, 3, 4]), signals([1, 2, 3, 4, 7, 1, 2, 3, 4]))
    assert [(first.seq, second.seq) for first, second in found.common] == [(1, 0), (2, 1), (3, 2), (4, 3)]


@pytest.mark.slow
def test_every_second_event_in_common_is_found() -> None:
    found = align(signals(range(60_000)), signals(i if i % 2 else 10**6 + i for i in range(60_000)))
    assert len(found.common) == 30_000


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_counts_of_a_comparison_add_up(tmp_path: Path, data: st.DataObject) -> None:
    paths = tmp_path / "a", tmp_path / "b"
    for path in paths:
        recording = Recording(Header({}, "", ()))
        recording.events += signals(data.draw(VALUES))
        recording.save(path)
    found = compare(*paths)
    events = [list(read_events(path)) for path in paths]
    for side, only in enumerate((found.only_first, found.only_second)):
        assert found.aligned + sum(only.values()) == found.events[side] == len(events[side])
    assert found.equal == (events[0] == events[1]) == (found.divergence is None)
    assert len(found.hunks) == min(found.hunk_count, MAX_HUNKS)
    if found.hunk_count <= MAX_HUNKS:
        counts = Counter(first=0, second=0)
        for hunk in found.hunks:
            counts.update(first=hunk.first_count, second=hunk.second_count)
        assert (counts["first"], counts["second"]) == tuple(found.events[i] - found.aligned for i in (0, 1))


# Output of a comparison


def compared_signals(directory: Path, first: list[SignalEmitted], second: list[SignalEmitted]) -> Comparison:
    paths = directory / "a", directory / "b"
    for path, events in zip(paths, (first, second), strict=True):
        recording = Recording(Header({}, "", ()))
        recording.events += events
        recording.save(path)
    return compare(*paths)


def values_of(events: Iterable[Event]) -> list[int]:
    return [event.value for event in events]  # type: ignore[attr-defined]


def test_a_hunk_shows_two_events_in_common_and_eight_of_each_side(tmp_path: Path) -> None:
    first = signals([*range(6), *range(100, 112), *range(6, 20)])
    second = signals([*range(6), *range(200, 203), *range(6, 20), 300])
    found = compared_signals(tmp_path, first, second)
    assert (found.hunk_count, found.aligned, found.events) == (2, 20, (32, 24))
    one, two = found.hunks
    assert (values_of(one.before), values_of(one.first), values_of(one.second)) == (
        [4, 5],
        list(range(100, 108)),
        [200, 201, 202],
    )
    assert (one.first_count, one.second_count) == (12, 3)
    assert (values_of(two.before), values_of(two.first), values_of(two.second)) == ([18, 19], [], [300])
    assert (two.first_count, two.second_count) == (0, 1)
    assert (found.only_first, found.only_second) == ({"signal_emitted": 12}, {"signal_emitted": 4})


def test_what_is_in_common_is_shown_as_it_stands_in_the_first(tmp_path: Path) -> None:
    found = compared_signals(tmp_path, signals([1, 2, 3]), signals([1, 2], late_ns=5))
    (hunk,) = found.hunks
    assert [event.at_ns for event in hunk.before] == [0, 10]
    assert (values_of(hunk.first), hunk.second) == ([3], ())


def test_what_stands_before_a_hunk_does_not_reach_beyond_the_last_one(tmp_path: Path) -> None:
    first = signals([50, 1, 51])
    found = compared_signals(tmp_path, first, signals([1]))
    assert [values_of(hunk.before) for hunk in found.hunks] == [[], [1]]


def test_twenty_hunks_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    plain = list(range(0, 300))
    broken = [value for n in plain for value in ([n, 1000 + n] if n % 10 == 5 else [n])]
    found = compared_signals(tmp_path, signals(broken), signals(plain))
    assert (found.hunk_count, len(found.hunks)) == (30, 20)
    assert found.only_first == {"signal_emitted": 30}
    assert values_of(found.hunks[19].first) == [1195]


def test_the_shift_is_from_the_least_to_the_most_and_that_of_the_last_event(tmp_path: Path) -> None:
    first = [SignalEmitted(seq, 1000 + 10 * seq, seq) for seq in range(4)]
    second = [
        SignalEmitted(seq, event.at_ns + late, seq)
        for seq, (event, late) in enumerate(zip(first, (0, 7, -5, 2), strict=True))
    ]
    shift = compared_signals(tmp_path, first, second).shift_ns
    assert (shift.least, shift.most, shift.last) == (-5, 7, 2)
    later = [SignalEmitted(seq, 1003 + 10 * seq, seq) for seq in range(4)]
    shift = compared_signals(tmp_path, first, later).shift_ns
    assert (shift.least, shift.most, shift.last) == (0, 3, 3)


def test_a_divergence_shows_three_events_before_it_and_four_of_each_from_it_on(tmp_path: Path) -> None:
    first, second = signals(range(20)), signals([*range(10), 99, *range(11, 20)])
    found = compared_signals(tmp_path, first, second).divergence
    assert found is not None
    assert (values_of(found.before), values_of(found.first), values_of(found.second)) == (
        [7, 8, 9],
        [10, 11, 12, 13],
        [99, 11, 12, 13],
    )


def test_an_event_at_another_time_is_a_divergence_and_in_common_all_the_same(tmp_path: Path) -> None:
    found = compared_signals(tmp_path, signals(range(5)), signals(range(5), late_ns=1))
    assert (found.aligned, found.hunks, found.equal) == (5, (), False)
    assert found.divergence is not None
    assert [event.at_ns for event in (*found.divergence.first[:1], *found.divergence.second[:1])] == [0, 1]


def test_a_single_event_in_common_is_found_where_no_row_is() -> None:
    found = align(signals([1, 50, 2, 51, 3]), signals([60, 1, 61, 62, 2, 63]))
    assert [(first.seq, second.seq) for first, second in found.common] == [(0, 1), (2, 4)]
