"""Every key that goes to a named or selected place."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

import firmware
from enclave_sim.cancellation import Cancellation
from enclave_sim.cli.options.place import go_to_place
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.app import Inspector
from enclave_sim.inspector.bookmark_file import read_bookmarks, write_bookmarks
from enclave_sim.inspector.panes.machine.bytes import BytesPane
from enclave_sim.inspector.panes.machine.code import CodePane
from enclave_sim.inspector.screens import Page
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.inspector.session.sources import Opened, source_of
from enclave_sim.memory_map import region
from enclave_sim.time_travel import Link, Position, Session, link_to_here
from enclave_sim.time_travel.notebook import Notebook, repeat
from enclave_sim.time_travel.session import enclave_of
from tests.enclave_sim.inspector.driving import SIZES, Driven, Size, drive, row_with

pytestmark = pytest.mark.slow  # each drives the whole program


@SIZES
@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("#52", {"event": "host_called"}),
        ("host_called", {"event": "host_called"}),
        ("host_call", {"symbol": "host_call"}),
        ("traps.c:37", {"symbol": "host_call"}),
        (f"{firmware.built_in().symbols['host_call']:#x}", {"symbol": "host_call"}),
        ("1.2 ms", {"at_ns": 1_200_000}),
        ("400_000ns", {"at_ns": 400_000}),
    ],
)
def test_g_goes_to_an_event_a_kind_a_symbol_a_line_and_a_time(text: str, goal: dict[str, Any], size: Size) -> None:
    run = InspectedRun(enclave_of("counter", EnclaveOptions.of(cycles=2)))
    run.run_to(**goal)

    async def script(driven: Driven) -> None:
        await driven.pilot.press("g")
        await driven.type(text)
        assert driven.standing.position == run.now

    drive(script, size)


@SIZES
def test_capital_g_goes_back_to_what_is_named(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket")
        await driven.pilot.press("G")
        await driven.type("phase_completed")
        assert driven.standing.phases.startswith("+PROT_ENTRY +MEM_MAP +WASM_INIT +EXEC_LOOP")
        await driven.pilot.press("g")
        await driven.type("no such thing")
        assert driven.said.startswith("! 'no such thing' is not an address, symbol")

    drive(script, size)


@SIZES
def test_a_shows_memory_or_code_and_full_stop_returns_to_rip(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("8")
        await driven.pilot.press("a")
        await driven.type("heap+0x100")
        pane = driven.app.desk.pane
        assert isinstance(pane, BytesPane)
        assert pane.address == region("heap").base + 0x100
        await driven.press("4")
        await driven.pilot.press("a")
        await driven.type("annihilate")
        code = driven.app.desk.pane
        assert isinstance(code, CodePane)
        assert driven.rows("code")[0] == "annihilate:"
        await driven.press("full_stop")
        assert code.address is None

    drive(script, size)


@SIZES
def test_enter_follows_rows_through_time_memory_and_code(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket", "minus", "home", "down", "enter")
        assert driven.standing.seen == 2
        await driven.press("p", "p", "9")
        driven.app.desk.pane.move_to(row_with(driven, "tables", "0x80 interrupt gate"))
        await driven.press("enter")
        assert driven.app.desk.pane.NAME == "code"
        await driven.press("3", "end", "enter")
        assert driven.said.startswith("! this row leads nowhere")

    drive(script, size)


@SIZES
def test_r_runs_to_the_row_and_capital_r_back_to_it(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "1")
        await driven.pilot.press("a")
        await driven.type("host_call")
        await driven.press("r")
        assert driven.standing.place.startswith("host_call ")
        here = driven.standing.position
        await driven.press("t")
        driven.app.desk.pane.move_to(driven.app.desk.pane.view.here or 0)
        await driven.press("R")
        assert driven.standing.position == here

    drive(script, size)


@SIZES
def test_search_goes_from_match_to_match_around_the_end(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket", "minus", "n")
        assert driven.said.startswith("! nothing to search for yet")
        await driven.pilot.press("slash")
        await driven.type("phase_entered")
        pane = driven.app.desk.pane
        first = pane.cursor
        assert "phase_entered" in pane.row_at(first).text
        for _ in range(3):
            await driven.press("n")
        last = pane.cursor
        await driven.press("n")
        assert pane.cursor == first
        await driven.press("N")
        assert pane.cursor == last

    drive(script, size)


@SIZES
def test_f_filters_events_and_says_what_is_not_a_kind(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket")
        await driven.pilot.press("f")
        await driven.type("signal_emitted")
        assert [text.split()[2] for text in driven.rows("events")] == ["signal_emitted"] * 4
        await driven.pilot.press("f")
        await driven.press(*["backspace"] * 20)
        await driven.type("3->0")
        assert {text.split()[2] for text in driven.rows("events")} == {"ring_transition"}
        await driven.pilot.press("f")
        await driven.press(*["backspace"] * 20)
        await driven.type("signals")
        assert "is not a kind of event" in driven.said

    drive(script, size)


@SIZES
def test_back_and_forward_lead_over_every_jump_with_what_was_shown(size: Size) -> None:
    async def script(driven: Driven) -> None:
        def here() -> tuple[Any, ...]:
            sight = driven.app.desk.sight
            return driven.standing.position, sight.page, sight.pane, sight.code, sight.memory

        await driven.press("less_than_sign")
        assert driven.said.startswith("! nothing to go back to")
        met = [here()]
        await driven.press("h", "s", "s", "4")
        met.append(here())
        await driven.pilot.press("g")
        await driven.type("annihilate")
        met.append(here())
        await driven.pilot.press("a")
        await driven.type("host_call")
        met.append(here())
        await driven.press("right_square_bracket", "minus")
        met.append(here())
        await driven.press("home", "enter")
        last = here()
        for place in reversed(met[1:]):
            await driven.press("backspace")
            assert here() == place
        await driven.press("less_than_sign")
        assert here()[0] == met[0][0]
        for _ in met:
            await driven.press("greater_than_sign")
        assert here() == last
        await driven.press("greater_than_sign")
        assert driven.said.startswith("! nothing to go forward to")

    drive(script, size)


@SIZES
def test_marks_are_kept_and_gone_to(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("M")
        assert driven.said.startswith("! no moment is marked")
        await driven.press("h")
        marked = driven.standing.position
        await driven.press("m", "right_square_bracket")
        await driven.pilot.press("M")
        await driven.press("enter")
        assert driven.standing.position == marked

    drive(script, size)


@SIZES
def test_marks_have_notes_and_panes_and_are_kept_in_a_file(tmp_path: Path, size: Size) -> None:
    path = tmp_path / "marks.txt"

    async def script(driven: Driven) -> None:
        await driven.press("h", "8")
        await driven.pilot.press("z")
        await driven.type("first call")
        await driven.press("3", "h", "m")
        (first, second) = read_bookmarks(path)
        assert (first.note, first.pane, second.note, second.pane) == ("first call", "bytes", "", "registers")
        assert second.position == driven.standing.position
        await driven.pilot.press("M")
        await driven.press("enter")
        assert driven.standing.position == first.position
        assert driven.app.desk.page == "bytes"
        await driven.pilot.press("z")
        driven.app.screen.query_one(Input).value = "x" * 501
        await driven.press("enter")
        assert driven.said.startswith("! a note has at most 500 characters")

    drive(script, size, bookmarks=path)


@SIZES
def test_a_link_is_copied_and_shown_and_leads_to_moment_and_pane(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "6", "Y")
        page = driven.app.screen
        assert isinstance(page, Page)
        assert driven.app.clipboard == page.text
        link = Link.parse(page.text)
        assert (link.position, link.pane) == (driven.standing.position, "stack")
        await driven.press("escape", "right_square_bracket")
        driven.app.bookmarks.go_to(link)
        await driven.settle()
        assert driven.standing.position == link.position

    drive(script, size)


def test_g_takes_a_link_and_refuses_that_of_another_run() -> None:
    run, other = Session("counter", cycles=2), Session("counter", cycles=3)
    for one in (run, other):
        one.run_to(event="host_called")

    async def script(driven: Driven) -> None:
        driven.app.navigation.go_to(str(link_to_here(run)))
        await driven.settle()
        assert driven.standing.position == run.now
        driven.app.navigation.go_to(str(link_to_here(other)))
        await driven.settle()
        assert driven.said.endswith("its cycles is 3, and here 2")
        driven.app.navigation.go_to("enclave-sim:x")
        await driven.settle()
        assert driven.said.startswith("! the link has ")

    drive(script)


def test_a_mark_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "marks.txt"
    other = Session("counter", cycles=3)
    other.run_to(event="host_called")
    write_bookmarks(path, [link_to_here(other)])

    async def script(driven: Driven) -> None:
        await driven.pilot.press("M")
        await driven.press("enter")
        assert driven.said.endswith("belongs to another run: its cycles is 3, and here 2")
        assert driven.standing.position == Position(0)

    drive(script, bookmarks=path)


@SIZES
def test_the_walk_is_saved_as_a_notebook_that_can_be_repeated(tmp_path: Path, size: Size) -> None:
    path = tmp_path / "walk.md"

    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "S", "8", "W")
        await driven.pilot.press("Z")
        await driven.type(str(path))
        assert driven.said == f"wrote {path}: 3 positions"

    drive(script, size)
    found = Notebook.read(path.read_text())
    assert found.header == Session("counter", cycles=2).enclave.header
    assert len(found.questions) == 3
    assert any(isinstance(one, str) and one.startswith("looking for the last writer: ") for one in found.entries)
    assert list(repeat(found)) == []


def test_the_inspector_begins_at_a_link_with_its_pane_and_note() -> None:
    run = Session("counter", cycles=2)
    run.run_to(event="host_called")
    link = link_to_here(run, pane="stack", note="the first call")
    source = source_of(("counter",), EnclaveOptions.of(cycles=2))

    def opened(cancellation: Cancellation) -> Opened:
        found = source.open(cancellation)
        go_to_place(found.run, link)
        return found

    async def main() -> None:
        app = Inspector(opened, pane=link.pane, welcome=link.note)
        async with app.run_test(size=(80, 24)) as pilot:
            driven = Driven(app, pilot)
            await driven.settle()
            assert driven.standing.position == run.now
            assert driven.said == "the first call"
            assert {pane.NAME for pane in app.desk.panes if pane.display} == {"stack"}

    asyncio.run(main())
    with pytest.raises(ConfigurationError, match="there is no pane 'door'; there are phases"):
        Inspector(opened, pane="door")
