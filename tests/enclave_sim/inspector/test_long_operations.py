"""Long operations show progress, can be cancelled, and never block the screen; others are fast."""

import asyncio
from collections.abc import Callable
from random import Random
from statistics import median
from time import monotonic, perf_counter, process_time
from typing import Any

import pytest

from enclave_sim.enclave.engine.wasmtime_engine import WasmtimeEngine
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.session.sources import source_of
from enclave_sim.time_travel import Position
from tests.enclave_sim.inspector.driving import SIZES, Driven, Size, drive, million_additions_s

pytestmark = pytest.mark.slow  # each drives the whole program

LONG = source_of(("spinner",), EnclaveOptions.of(cycles=100_000))


def test_a_long_run_tells_its_progress_takes_other_keys_and_ends_by_escape() -> None:
    async def script(driven: Driven) -> None:
        await driven.pilot.press("c")
        told = await _progress(driven)
        assert "ns reached; Escape cancels" in told
        await driven.pilot.press("7")  # the screen is updated meanwhile
        assert driven.app.desk.pane.NAME == "memory"
        await driven.pilot.press("escape")
        await driven.settle()
        assert driven.said.startswith("cancelled ")
        assert not driven.standing.at_end
        here = driven.standing.position
        await driven.press("s", "S")  # and the session is intact
        assert driven.standing.position == here

    drive(script, source=LONG)


async def _progress(driven: Driven) -> str:
    for _ in range(60_000):
        if "reached" in driven.said:
            return driven.said
        await driven.pilot.pause(0.005)
    raise TimeoutError("no progress was shown")


def test_what_was_asked_for_after_a_long_run_is_cancelled_with_it() -> None:
    async def script(driven: Driven) -> None:
        await driven.pilot.press("c", "left_square_bracket")
        await _progress(driven)
        await driven.pilot.press("escape")
        await driven.settle()
        assert driven.standing.position > Position(0)

    drive(script, source=LONG)


def test_to_cancel_the_way_back_returns_to_where_it_began() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("p", "p", "p", "p", "t", "t", "t")
        here = driven.standing.position

        def endless(_moment: object) -> None:
            run = driven.app.desk.session._moment
            assert run is not None
            while True:
                run.run.step()
                run.run.back(3)

        driven.app.desk.ask("going back", endless)
        await driven.pilot.pause(0.3)
        await driven.pilot.press("escape")
        await driven.settle()
        assert driven.standing.position >= here

    drive(script)


def test_a_guest_that_is_run_to_where_it_was_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often Escape is pressed, backwards or forwards."""
    caught_up = 0

    def slow(engine: WasmtimeEngine, owed: Any, start: int, memory: bytes) -> None:
        nonlocal caught_up
        deadline = monotonic() + 600
        while monotonic() < deadline:
            engine._cancellation.poll()
            caught_up += 1
        raise AssertionError("it was not cancelled")

    async def script(driven: Driven) -> None:
        driven.app.navigation.go_to("20 ms")
        await driven.settle()
        await driven.press("s", "s", "s")
        here = driven.standing.position
        with monkeypatch.context() as patched:
            patched.setattr(WasmtimeEngine, "_repeat", slow)
            await driven.pilot.press("g")
            await driven.pilot.pause()
            await driven.pilot.press(*"15_000_000")
            await driven.pilot.press("space", "n", "s", "enter")
            await _until(lambda: caught_up > 0)
            await driven.pilot.press("escape", "escape", "escape")
            await driven.settle()
            assert driven.said.startswith("cancelled ")
            assert driven.standing.position == here
            tried = caught_up
            await driven.pilot.press("t", "t", "t", "t")  # into the guest, so far that it has to catch up
            await _until(lambda: caught_up > tried)
            await driven.pilot.press("escape")
            await driven.settle()
            assert driven.said.startswith("cancelled ")
        await driven.press("t", "t", "T")
        assert driven.standing.position >= here

    drive(script, source=LONG)


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(60_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError


def test_leaving_in_the_middle_of_a_long_run_does_not_wait_for_it() -> None:
    left = []

    async def script(driven: Driven) -> None:
        await driven.pilot.press("c")
        await _progress(driven)
        left.append(driven.app.desk.session)

    drive(script, source=LONG)
    assert not left[0]._thread.is_alive()


@pytest.mark.speed
@SIZES
def test_a_step_is_on_screen_in_less_than_twice_the_time_of_a_million_additions(size: Size) -> None:
    """50 ms on a host that adds a million numbers in 25 ms. The median is in wall-clock time; 19 of 20 in processor
    time, which excludes other load on the host.
    """
    steps: list[float] = []
    busy: list[float] = []
    references: list[float] = []
    chance = Random(1)

    async def script(driven: Driven) -> None:
        await driven.press("h")
        for _ in range(40):
            references.append(million_additions_s())
            answered, begun, drawn = driven.app.desk.answered, (perf_counter(), process_time()), asyncio.Event()
            driven.app.action_move(chance.choice(_MOVEMENTS))
            while driven.app.desk.answered == answered:
                await asyncio.sleep(0.001)
            driven.app.screen.call_after_refresh(drawn.set)
            await drawn.wait()
            steps.append(perf_counter() - begun[0])
            busy.append(process_time() - begun[1])

    drive(script, size)
    assert median(steps) < 2 * median(references)
    assert sorted(busy)[len(busy) * 19 // 20] < 2 * median(references)


_MOVEMENTS = ("step", "step", "over", "ten", "line", "event", "transition", "call", "back", "back_ten", "back_event")
