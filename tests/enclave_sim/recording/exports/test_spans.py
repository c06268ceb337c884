"""The rules that lead from events to a timeline."""

import typing

from hypothesis import given, settings

from enclave_sim.events import AnyEvent, HostCalled
from enclave_sim.recording.exports.spans import _RULES, Begin, End, Instant, Track, marks
from machine.events import Event, InterruptDelivered, InterruptRaised
from tests.enclave_sim.recording.exports.runs import EVENT_LISTS


def test_there_is_a_rule_for_every_kind_of_event() -> None:
    without = set(typing.get_args(AnyEvent)) - set(_RULES)
    assert not without, "add a rule for these to _RULES in enclave_sim/recording/exports/spans.py"
    assert set(_RULES) == set(typing.get_args(AnyEvent))


@settings(max_examples=200)
@given(events=EVENT_LISTS)
def test_all_that_begins_ends_and_time_never_goes_back(events: list[Event]) -> None:
    found = list(marks(events))
    times = [mark.at_ns for mark in found]
    assert times == sorted(times)
    for track in Track:
        depth = 0
        for mark in found:
            if mark.track is track and not isinstance(mark, Instant):
                depth += 1 if isinstance(mark, Begin) else -1
                assert depth >= 0
        assert depth == 0


def test_a_double_fault_shows_what_could_not_be_delivered() -> None:
    events = [
        InterruptRaised(0, 5, 14, "exception", 0, 64, 4096, 3),
        InterruptRaised(1, 5, 8, "exception", 0, None, 4096, 3),
        InterruptDelivered(2, 5, 8, 8192, 512),
    ]
    assert list(marks(events)) == [
        Instant(Track.INTERRUPTS, 5, "vector 0x0e not delivered", events[0]),
        Begin(Track.INTERRUPTS, 5, "vector 0x08", events[1]),
        End(Track.INTERRUPTS, 5, None),
    ]


def test_what_goes_on_when_the_recording_ends_is_ended_by_no_event() -> None:
    called = HostCalled(0, 5, 0, "get_status", 0)
    assert list(marks([called])) == [
        Begin(Track.HOST_CALLS, 5, "get_status", called),
        End(Track.HOST_CALLS, 5, None),
    ]
