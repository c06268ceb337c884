"""A host limit ends a run at any point, and changes nothing in it."""

from collections.abc import Callable
from typing import Any

import pytest

from machine import host_limit
from machine.boot import loader
from machine.errors import MachineError
from machine.host_limit import HostLimit
from machine.machine import Machine, MachineConfiguration, Outcome
from tests.machine.conftest import Log
from tests.machine.whole_state import TICKING, everything
from tests.sampling import sampled


class HostClock:
    """A host clock that advances by one second at each reading."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HostClock:
    clock = HostClock()
    monkeypatch.setattr(host_limit, "monotonic", clock)
    return clock


@pytest.fixture(params=sampled(["native", "portable"], "native"))
def ticking(assemble: Any, request: pytest.FixtureRequest) -> Callable[[], tuple[Machine, Log]]:
    image = assemble(TICKING, 0, 2, 0)

    def make() -> tuple[Machine, Log]:
        log = Log()
        machine = Machine(MachineConfiguration(16 << 20, portable=request.param == "portable"), log)
        loader.load(machine, image)
        return machine, log

    return make


@pytest.mark.parametrize("seconds", sampled([1, 2, 3, 7], 2))
@pytest.mark.usefixtures("clock")
def test_a_run_in_pieces_is_the_run(ticking: Any, seconds: int) -> None:
    """Each reading of the clock takes a second, so a limit of n allows n - 1 steps."""
    (whole, events), (pieces, piecewise) = ticking(), ticking()
    assert whole.run() is Outcome.HALTED
    outcomes: list[Outcome] = []
    while not outcomes or outcomes[-1] is Outcome.HOST_LIMIT:
        with HostLimit(seconds):
            outcomes.append(pieces.run())
        if seconds == 1:  # there is no time for anything
            assert pieces.clock.now_ns == 0
            seconds = 2
    assert outcomes[-1] is Outcome.HALTED
    assert len(outcomes) > 5
    assert piecewise.events == events.events
    assert everything(pieces) == everything(whole)


def test_code_that_never_ends_is_left_after_some_instructions(assemble: Any, clock: HostClock) -> None:
    machine = Machine(MachineConfiguration(16 << 20))
    loader.load(machine, assemble("1: jmp 1b", 0, 2, 0))
    with HostLimit(3):
        assert machine.run() is Outcome.HOST_LIMIT
    assert 0 < machine.clock.now_ns <= 3 * 100_000
    looks = clock.now
    assert machine.run(machine.clock.now_ns + 1000) is Outcome.LIMIT
    assert clock.now == looks, "outside the scope nobody looks at the clock"


def test_a_stop_that_was_asked_for_comes_first(assemble: Any) -> None:
    machine = Machine(MachineConfiguration(16 << 20))
    loader.load(machine, assemble("1: jmp 1b", 0, 2, 0))
    machine.request_stop()
    with HostLimit(1e-9):
        assert machine.run() is Outcome.STOPPED
        assert machine.run() is Outcome.HOST_LIMIT


def test_of_scopes_in_each_other_the_one_that_ends_first_counts(clock: HostClock) -> None:
    for outer, inner in ((5, 100), (100, 5)):
        with HostLimit(outer), HostLimit(inner):
            began = clock.now
            while not host_limit.is_reached():
                pass
            assert clock.now - began <= 5
        assert not host_limit.is_limited()


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_leaves_time(seconds: float) -> None:
    with pytest.raises(MachineError, match="must be more than 0"):
        HostLimit(seconds)


def test_each_clock_has_its_limit(assemble: Any, clock: HostClock) -> None:
    """A limit of processor time, within one of host time."""
    processor = HostClock()
    machine = Machine(MachineConfiguration(16 << 20))
    loader.load(machine, assemble("1: jmp 1b", 0, 2, 0))
    with HostLimit(1000), HostLimit(3, processor):
        assert machine.run() is Outcome.HOST_LIMIT
    assert processor.now >= 4
    assert clock.now < 100
