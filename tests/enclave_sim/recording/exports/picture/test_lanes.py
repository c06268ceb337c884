"""The windows of a picture: the content of each, where it is cut, and what is in progress at its start."""

import pytest

from enclave_sim.events import AnnihilationBegan, CycleBegan
from enclave_sim.recording.exports.picture.lanes import (
    CALLS_SHOWN,
    SHOWN_SINGLY,
    Bins,
    Lane,
    Span,
    Timeline,
    TimeWindow,
)
from enclave_sim.recording.exports.spans import Begin, End, Instant, Track

EVENT = CycleBegan(0, 0, 0)


def begin(at_ns: int, name: str = "a", track: Track = Track.CYCLES) -> Begin:
    return Begin(track, at_ns, name, EVENT)


def end(at_ns: int, track: Track = Track.CYCLES) -> End:
    return End(track, at_ns, None)


def test_bins_are_192_and_one_nanosecond_wide_at_first() -> None:
    bins = Bins(1000)
    assert (bins.start_ns, bins.width_ns, bins.covered_ns, bins.begun) == (1000, 1, [0] * 192, [0] * 192)


@pytest.mark.parametrize(("end_ns", "width_ns"), [(191, 1), (192, 2), (383, 2), (384, 4), (1535, 8), (1536, 16)])
def test_bins_become_twice_as_wide_where_a_time_lies_past_the_last(end_ns: int, width_ns: int) -> None:
    bins = Bins(1000)
    bins.add(Span(1000, 1003, ""))
    bins.add(Span(1000 + end_ns, 1000 + end_ns, ""))
    assert bins.width_ns == width_ns
    assert len(bins.covered_ns) == len(bins.begun) == 192
    assert bins.begun[0] == 1
    assert bins.begun[end_ns // width_ns] == 1
    covered = {n: took for n, took in enumerate(bins.covered_ns) if took}
    assert covered == {n: min(3, (n + 1) * width_ns) - n * width_ns for n in range(-(-3 // width_ns))}


@pytest.mark.parametrize("begun", [SHOWN_SINGLY - 1, SHOWN_SINGLY, SHOWN_SINGLY + 1])
def test_64_things_are_shown_singly(begun: int) -> None:
    lane = Lane(0)
    spans = [Span(n, n, "") for n in range(begun)]
    for span in spans:
        lane.add(span)
    assert SHOWN_SINGLY == 64
    assert (lane.count, lane.dense, lane.singly) == (begun, begun > 64, spans if begun <= 64 else [])


def test_the_last_to_begin_is_the_first_to_end() -> None:
    window = TimeWindow(0)
    for mark in (begin(1, "outer"), begin(2, "inner"), end(5), Instant(Track.CYCLES, 6, "now", EVENT), end(9), end(10)):
        window.take(mark)
        assert window.end_ns == mark.at_ns
    assert window.spans[Track.CYCLES].singly == [Span(2, 5, "inner"), Span(1, 9, "outer")]
    assert window.instants[Track.CYCLES].singly == [Span(6, 6, "now")]


def test_what_goes_on_when_a_window_opens_begins_with_it_and_ends_when_it_closes() -> None:
    before = {Track.CYCLES: [begin(3, "outer"), begin(70, "inner")], Track.RING: [begin(4, "ring 0")]}
    window = TimeWindow(50, before)
    assert (window.start_ns, window.end_ns) == (50, 50)
    window.take(end(80))
    window.close(99)
    assert window.end_ns == 99
    assert window.spans[Track.CYCLES].singly == [Span(70, 80, "inner"), Span(50, 99, "outer")]
    assert Track.RING not in window.spans
    assert before[Track.CYCLES] == [begin(3, "outer"), begin(70, "inner")]


def test_the_boot_ends_where_ring_3_is_entered_first() -> None:
    timeline = Timeline()
    for mark in (begin(1), begin(5, "ring 0", Track.RING), end(7, Track.RING), begin(7, "ring 3", Track.RING), end(9)):
        timeline.take(mark)
    timeline.take(begin(20, "ring 3", Track.RING))
    timeline.finish(30)
    assert (timeline.boot.end_ns, timeline.whole.end_ns, timeline.annihilation) == (7, 30, None)
    assert timeline.boot.spans[Track.CYCLES].singly == [Span(1, 7, "a")]
    assert timeline.whole.spans[Track.CYCLES].singly == [Span(1, 9, "a")]


def test_an_instant_or_another_track_of_that_name_does_not_end_the_boot() -> None:
    timeline = Timeline()
    timeline.take(Instant(Track.RING, 1, "ring 3", EVENT))
    timeline.take(begin(2, "ring 3"))
    timeline.take(begin(3))
    timeline.finish(30)
    assert timeline.boot.end_ns == 30


def test_annihilation_begins_a_window_of_its_own_and_ends_the_boot() -> None:
    timeline, began = Timeline(), AnnihilationBegan(0, 0, "TAMPER", 0, "")
    timeline.take(begin(1, "before"))
    timeline.take(Begin(Track.ANNIHILATION, 10, "TAMPER", began))
    timeline.take(Begin(Track.ANNIHILATION, 15, "again", began))
    timeline.take(Instant(Track.ANNIHILATION, 20, "A1", EVENT))
    timeline.finish(25)
    assert timeline.annihilation is not None
    assert (timeline.boot.end_ns, timeline.annihilation.start_ns, timeline.annihilation.end_ns) == (10, 10, 25)
    assert timeline.annihilation.spans[Track.CYCLES].singly == [Span(10, 25, "before")]
    assert timeline.annihilation.spans[Track.ANNIHILATION].singly == [Span(15, 25, "again"), Span(10, 25, "TAMPER")]
    assert timeline.annihilation.instants[Track.ANNIHILATION].singly == [Span(20, 20, "A1")]


def test_the_first_cycle_and_the_first_host_calls_have_windows_of_their_own() -> None:
    timeline = Timeline()
    ring = Track.RING
    for mark in (begin(1, "cycle 0"), begin(3, "ring 0", ring), end(7, ring), begin(7, "ring 3", ring)):
        timeline.take(mark)
    for call in range(CALLS_SHOWN + 2):
        timeline.take(begin(10 + 2 * call, "emit_signal", Track.HOST_CALLS))
        timeline.take(end(11 + 2 * call, Track.HOST_CALLS))
    for mark in (end(90, ring), end(95), begin(100, "cycle 1"), begin(101, "emit_signal", Track.HOST_CALLS), end(110)):
        timeline.take(mark)
    timeline.finish(120)
    assert timeline.guest is not None
    assert timeline.host_calls is not None
    assert (timeline.guest.start_ns, timeline.guest.end_ns) == (7, 95)
    assert timeline.guest.spans[ring].singly == [Span(7, 90, "ring 3")]
    assert timeline.guest.spans[Track.CYCLES].singly == [Span(7, 95, "cycle 0")]
    assert timeline.guest.spans[Track.HOST_CALLS].count == CALLS_SHOWN + 2
    assert (timeline.host_calls.start_ns, timeline.host_calls.end_ns) == (10, 11 + 2 * (CALLS_SHOWN - 1))
    assert timeline.host_calls.spans[Track.HOST_CALLS].count == CALLS_SHOWN


def test_fewer_host_calls_end_with_their_cycle_or_with_the_recording() -> None:
    for cycle_ends, end_ns in ((True, 40), (False, 50)):
        timeline = Timeline()
        for mark in (begin(1), begin(10, "emit_signal", Track.HOST_CALLS), end(11, Track.HOST_CALLS)):
            timeline.take(mark)
        if cycle_ends:
            timeline.take(end(40))
        timeline.finish(50)
        assert timeline.host_calls is not None
        assert (timeline.host_calls.start_ns, timeline.host_calls.end_ns, timeline.guest) == (10, end_ns, None)
