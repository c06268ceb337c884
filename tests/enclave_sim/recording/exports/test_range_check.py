"""The numbers of an event: each at its bounds, and one beyond."""

import msgspec
import pytest

from enclave_sim.events import CycleBegan, SignalEmitted, Woken
from enclave_sim.recording.exports.range_check import checked
from enclave_sim.recording.format import RecordingError
from machine.events import Event, Halted, InterruptDelivered, InterruptRaised, RingTransition

TIME, WORD = (-(1 << 63), (1 << 63) - 1), (0, (1 << 64) - 1)
DELIVERED = InterruptDelivered(7, 5, 1, 0, 0)
RAISED = InterruptRaised(7, 5, 1, "exception", None, None, 0, 0)
MOVED = RingTransition(7, 5, 0, 3, "", None, None, 0, 0)


@pytest.mark.parametrize(
    ("event", "name", "low", "high"),
    [
        (DELIVERED, "vector", 0, 255),
        (RAISED, "ring", 0, 3),
        (MOVED, "from_ring", 0, 3),
        (MOVED, "to_ring", 0, 3),
        (MOVED, "vector", 0, 255),
        (CycleBegan(7, 5, 1), "cycle", 0, (1 << 32) - 1),
        (DELIVERED, "handler", *WORD),
        (RAISED, "error_code", *WORD),
        (SignalEmitted(7, 5, 1), "value", *WORD),
        (DELIVERED, "seq", *TIME),
        (Woken(7, 5, "timer", 0, 0), "latency_ns", *TIME),
        (Woken(7, 5, "timer", 0, 0), "deadline_ns", *TIME),
    ],
)
def test_a_number_is_within_its_range(event: Event, name: str, low: int, high: int) -> None:
    for value in (low, high):
        inside = msgspec.structs.replace(event, **{name: value})
        assert list(checked([inside])) == [inside]
    for value in (low - 1, high + 1):
        outside = msgspec.structs.replace(event, **{name: value})
        number = value if name == "seq" else 7
        with pytest.raises(RecordingError) as caught:
            list(checked([outside]))
        assert str(caught.value) == f"event {number}: {name} is {value}; it must be from {low} to {high}"


def test_what_is_not_there_is_in_no_range() -> None:
    woken = Woken(0, 0, "external", None, None)
    assert list(checked([woken])) == [woken]


@pytest.mark.parametrize(("first_ns", "second_ns", "right"), [(5, 5, True), (5, 6, True), (5, 4, False)])
def test_time_does_not_go_back(first_ns: int, second_ns: int, right: bool) -> None:
    events: list[Event] = [Halted(0, first_ns, True), Halted(1, second_ns, True)]
    if right:
        assert list(checked(events)) == events
        return
    with pytest.raises(RecordingError) as caught:
        list(checked(events))
    assert str(caught.value) == "event 1 is dated 4 ns, before the one that precedes it"


def test_events_are_checked_one_by_one() -> None:
    reader = checked(iter([Halted(0, 5, True), Halted(1, 4, True)]))
    assert next(reader) == Halted(0, 5, True)
    with pytest.raises(RecordingError):
        next(reader)
