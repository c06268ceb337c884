"""A run that can be cancelled, and that moves by events."""

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.cancellation import Cancellation, Cancelled
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.position import NoSuchPosition
from enclave_sim.time_travel.session import enclave_of
from machine.events import Event
from tests.sampling import sampled


class _Limited:
    """Cancels after so many checkpoints."""

    left = 10**9

    def __call__(self) -> bool:
        self.left -= 1
        if self.left < 0:
            self.left = 10**9
            return True
        return False


_LONG: tuple[Callable[[InspectedRun], object], ...] = (
    lambda run: run.resume(),
    lambda run: run.reverse_resume(),
    lambda run: run.back(5),
    lambda run: run.next_line(),
    lambda run: run.last_write(0x16EFF8, 8),
    lambda run: run.reverse_to(symbol="host_call"),
    lambda run: run.run_to(symbol="annihilate"),
)


@cache
def undisturbed() -> InspectedRun:
    run = InspectedRun(enclave_of("counter", EnclaveOptions.of(cycles=2)))
    run.resume()
    return run


@pytest.mark.slow
@pytest.mark.parametrize("way", sampled(range(len(_LONG)), 1, 4))
@settings(max_examples=10)
@given(after=st.integers(0, 30))
def test_whatever_is_cancelled_leaves_a_session_that_goes_on_as_if_it_had_not_been(way: int, after: int) -> None:
    limited = _Limited()
    run = InspectedRun(enclave_of("counter", EnclaveOptions.of(cycles=2), cancellation=Cancellation(limited)))
    run.run_to(event="host_returned")
    limited.left = after
    try:
        _LONG[way](run)
    except Cancelled:
        run.settle()
    limited.left = 10**9
    assert not run.breakpoints
    assert not run.watchpoints
    run.resume()
    assert run.now == undisturbed().now
    assert run.known == undisturbed().known


def test_events_are_gone_to_in_both_directions() -> None:
    run = InspectedRun(enclave_of("counter", EnclaveOptions.of(cycles=2)))
    run.resume()
    count = run.seen
    for seq in (count - 1, 0, 50, 49, 100):
        run.go_to_event(seq)
        assert run.seen > seq
        assert run.now.at_ns >= run.known[seq].at_ns
    run.go_to_event(52)
    run.previous_event(_is("phase_completed"))
    assert run.events[-1] == [event for event in run.known[:52] if _is("phase_completed")(event)][-1]
    run.next_event(_is("host_called"))
    assert run.events[-1].seq == 52
    with pytest.raises(NoSuchPosition, match="is not known"):
        run.go_to_event(count)


def _is(kind: str) -> Callable[[Event], bool]:
    return lambda event: event.__struct_config__.tag == kind


@pytest.mark.slow
def test_the_first_event_of_a_run_is_at_its_beginning() -> None:
    run = InspectedRun(enclave_of("counter", EnclaveOptions.of(cycles=1)))
    run.next_host_call()
    assert run.known[0].at_ns == 0
    assert run.go_to_event(0) == Position(0)
    assert run.go_to_event(1).at_ns == run.known[1].at_ns
