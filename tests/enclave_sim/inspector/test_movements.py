"""Every movement key does the same as the session's method."""

import pytest

from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.actions.steps import MOVEMENTS, Kind, Movement
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.inspector.session.sources import source_of
from enclave_sim.time_travel.position import NoSuchPosition
from enclave_sim.time_travel.session import enclave_of
from tests.enclave_sim.inspector.driving import NARROW, SIZES, Driven, Size, drive

pytestmark = pytest.mark.slow  # each drives the whole program

_PAIRS = [("s", "S"), ("d", "D"), ("o", "O")]


@SIZES
def test_every_movement_key_reaches_the_position_that_the_session_reaches(size: Size) -> None:
    run = InspectedRun(enclave_of("counter", EnclaveOptions.of(cycles=2)))

    async def script(driven: Driven) -> None:
        await driven.press("p", "h", "s", "s", "s")
        run.next_phase()
        run.next_host_call()
        run.step(3)
        assert driven.standing.position == run.now
        for movement in MOVEMENTS:
            _go(run, movement)
            await driven.press(movement.key)
            assert driven.standing.position == run.now, movement.name

    drive(script, size)


def _go(run: InspectedRun, movement: Movement) -> None:
    here = run.now
    try:
        movement.go(run)
    except (NoSuchPosition, ConfigurationError):  # the machine executes no WebAssembly
        if movement.kind in (Kind.SEARCH, Kind.NEAR):
            run.go_to(here)


@SIZES
def test_a_search_that_finds_nothing_stays_where_it_was_and_says_so(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("p", "p", "p", "p")
        here = driven.standing.position
        await driven.press("p")
        assert driven.said.startswith("! no further boot phase before the run ends at ")
        assert driven.said.endswith("; nothing has moved")
        assert len(driven.said) <= NARROW[0]
        assert driven.standing.position == here
        await driven.pilot.press("g")
        await driven.type("payload_rejected")
        assert driven.said.endswith("; nothing has moved")
        assert driven.standing.position == here

    drive(script, size)


def test_a_step_of_webassembly_that_does_not_exist_stays_where_it_was() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket", "left_curly_bracket")
        here = driven.standing.position
        await driven.press("right_curly_bracket")
        assert driven.said.startswith("! no WebAssembly instruction before the run ends at ")
        assert driven.said.endswith("; nothing has moved")
        assert driven.standing.position == here

    drive(script, source=source_of(("beacon",), EnclaveOptions.of(engine="resident")))


@SIZES
def test_a_key_back_undoes_its_key_forwards(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "s", "s")
        for forward, back in _PAIRS:
            here = driven.standing.position
            await driven.press(forward)
            assert driven.standing.position > here, forward
            await driven.press(back)
            assert driven.standing.position == here, back

    drive(script, size)


@SIZES
def test_no_key_is_lost_however_fast_they_come(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h")
        run = InspectedRun(enclave_of("counter", EnclaveOptions.of(cycles=2)))
        run.next_host_call()
        run.step(50)
        run.back(20)
        await driven.press(*["s"] * 50, *["S"] * 20)
        assert driven.standing.position == run.now

    drive(script, size)


@SIZES
def test_what_lies_nowhere_is_said_and_the_inspector_goes_on(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("S")
        assert driven.said.startswith("! nothing comes before the beginning")
        await driven.press("right_square_bracket")
        assert driven.standing.at_end
        await driven.press("s")
        assert driven.said.startswith("! the run ends at")
        await driven.press("left_square_bracket", "s")
        assert driven.standing.position.at_ns == 1

    drive(script, size)


def test_every_movement_has_a_key_of_its_own() -> None:
    assert len({movement.key for movement in MOVEMENTS}) == len(MOVEMENTS)
