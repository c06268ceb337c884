"""The search for the last writer of the cursor's row runs while the inspector is idle, and gives way at once."""

import asyncio
from collections.abc import Callable
from statistics import median
from time import perf_counter

import pytest
from textual.events import Key

from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.panes.machine.bytes import BytesPane
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.inspector.session.sources import source_of
from enclave_sim.time_travel.navigation.last_write import Write
from machine.errors import MachineError
from tests.enclave_sim.inspector.driving import SIZES, Driven, Size, drive, million_additions_s

pytestmark = pytest.mark.slow

IDLE_S = 0.05
LONG = source_of(("counter",), EnclaveOptions.of(cycles=400))
_LOOKING = "looking for the last writer ..."


async def until(driven: Driven, holds: Callable[[], bool]) -> None:
    for _ in range(300_000):
        if holds():
            return
        await asyncio.sleep(0.001)  # a pilot's pause would wait for the search
    raise TimeoutError(title(driven))


def title(driven: Driven) -> str:
    """The border of the pane."""
    return str(driven.app.desk.pane.border_title)


@SIZES
def test_when_nothing_is_asked_for_the_writer_is_in_the_title_and_after_the_row(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "s", "s", "8")
        said, here = driven.said, driven.standing.position
        await until(driven, lambda: "written by" in title(driven))
        pane = driven.app.desk.pane
        assert "written by interrupt delivery at" in pane.row_at(pane.cursor).text
        assert (driven.said, driven.standing.position) == (said, here)
        await driven.press("W")
        assert "last written at" in driven.said  # an explicit request gets the same answer
        assert str(here.at_ns) not in title(driven)

    drive(script, size, idle_s=IDLE_S)


def test_what_was_never_written_says_so_and_another_row_another_thing() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "8")
        driven.app.query_one(BytesPane).address = 0x800000
        driven.app.desk.refresh_panes()
        await until(driven, lambda: "not written since power-on" in title(driven))
        driven.app.desk.pane.move_to(driven.app.desk.pane.cursor + 1)
        assert "not written" not in title(driven)  # not searched yet
        await until(driven, lambda: "not written since power-on" in title(driven))

    drive(script, idle_s=IDLE_S)


def test_a_pane_that_is_alone_needs_no_focus_for_that() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "8")
        driven.app.screen.set_focus(None)
        await driven.press("s")
        await until(driven, lambda: "written" in title(driven))

    drive(script, idle_s=IDLE_S)


def searches(patch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """The searches from now on: address, and whether each was finished."""
    met: list[tuple[int, bool]] = []
    original = InspectedRun.last_write

    def noted(run: InspectedRun, base: int, size: int = 1) -> Write | None:
        met.append((base, False))
        found = original(run, base, size)
        met[-1] = base, True
        return found

    patch.setattr(InspectedRun, "last_write", noted)
    return met


def test_the_answer_is_not_looked_for_again_where_it_holds() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "s", "s")
        with pytest.MonkeyPatch.context() as patch:
            met = searches(patch)
            await driven.press("8")
            await until(driven, lambda: "written by" in title(driven))
            first = list(met)
            await driven.press("down", "up", "7", "8")
            assert "written by" in title(driven)
            await driven.pilot.pause(5 * IDLE_S)
            await driven.press("S")  # still after the write
            assert "written by" in title(driven)
            await driven.pilot.pause(5 * IDLE_S)
            assert [one for one in met if one[0] == first[0][0]] == first

    drive(script, idle_s=IDLE_S)


def test_a_key_amid_the_search_is_done_and_the_run_is_where_it_was() -> None:
    assert len(keys_amid_the_search()[0]) == 8


@pytest.mark.speed
def test_a_key_amid_the_search_is_done_within_five_times_a_million_additions() -> None:
    waits, references = keys_amid_the_search()
    assert median(waits) < 5 * median(references)


def keys_amid_the_search() -> tuple[list[float], list[float]]:
    """Seconds that keys take during a search, which they end, and as many reference times."""
    waits: list[float] = []
    references: list[float] = []

    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket")
        driven.app.query_one(BytesPane).address = 0x800000  # never written, so that the whole run is searched
        with pytest.MonkeyPatch.context() as patch:
            met = searches(patch)
            driven.app.action_pane(BytesPane.NAME)
            for number in range(8):
                await until(driven, lambda: driven.app.desk.session._gives_way and _LOOKING in title(driven))
                await asyncio.sleep(number / 100)
                here = driven.standing.position
                waits.append(await key_s(driven, "S"))
                references.append(million_additions_s())
                assert met[-1][1] is False  # it gave way
                assert _LOOKING not in title(driven)
                assert "cancelled" not in driven.said
                assert driven.standing.position < here
                await key_s(driven, "s")
                assert driven.standing.position == here
            await until(driven, lambda: "not written since power-on" in title(driven))  # searched again, and finished
            assert met[-1] == (0x800000, True)

    drive(script, source=LONG, idle_s=IDLE_S)
    return waits, references


async def key_s(driven: Driven, key: str) -> float:
    """Seconds from a key, as a terminal sends it, to the screen."""
    answered, begun = driven.app.desk.answered, perf_counter()
    driven.app.post_message(Key(key, key))
    await until(driven, lambda: driven.app.desk.answered > answered)
    return perf_counter() - begun


def test_leaving_amid_the_search_does_not_wait_for_it() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket", "8")
        driven.app.query_one(BytesPane).address = 0x800000
        driven.app.desk.refresh_panes()
        await until(driven, lambda: _LOOKING in title(driven))
        driven.app.desk.session.close()
        assert not driven.app.desk.session._thread.is_alive()

    drive(script, source=LONG, idle_s=IDLE_S)


def test_a_run_that_cannot_go_back_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise MachineError("the state of swtpm cannot be saved")

    monkeypatch.setattr(InspectedRun, "last_write", cannot)

    async def script(driven: Driven) -> None:
        await driven.press("8")
        await until(driven, lambda: "the last writer is not known: the state of swtpm" in title(driven))
        await driven.press("s")
        assert driven.standing.position.at_ns == 1

    drive(script, idle_s=IDLE_S)


def test_while_something_is_typed_nothing_is_looked_for() -> None:
    async def script(driven: Driven) -> None:
        with pytest.MonkeyPatch.context() as patch:
            met = searches(patch)
            await driven.pilot.press("8", "g")
            await driven.pilot.pause(1)
            assert not met
            await driven.pilot.press("escape")
            await until(driven, lambda: bool(met))

    drive(script, idle_s=0.5)
