"""Every other key, at both sizes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from textual.binding import Binding

from enclave_sim.inspector.app import Inspector
from enclave_sim.inspector.panes import OVERVIEW, OVERVIEW_WIDE, PANES
from enclave_sim.inspector.panes.bytes import BytesPane
from enclave_sim.inspector.panes.code import CodePane
from enclave_sim.inspector.run import InspectedRun
from enclave_sim.inspector.screens import Page
from enclave_sim.inspector.sources import source_of
from enclave_sim.memory_map import region
from tests.enclave_sim.inspector.driving import NARROW, WIDE, Driven, drive

SIZES = pytest.mark.parametrize("size", [NARROW, WIDE], ids=["80x24", "200x60"])


def _shown(driven: Driven) -> set[str]:
    return {pane.NAME for pane in driven.app.panes if pane.display}


@SIZES
def test_a_key_for_every_pane_shows_it_alone_with_content_and_1_returns(size: tuple[int, int]) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "s", "s")
        for pane in PANES:
            await driven.press(pane.KEY)
            assert _shown(driven) == {pane.NAME}
            assert driven.app.pane.NAME == pane.NAME
            assert any(text.strip() for text in driven.rows(pane.NAME))
        await driven.press("1")
        assert _shown(driven) == set(OVERVIEW if size == NARROW else OVERVIEW_WIDE)

    drive(script, size)


@SIZES
def test_help_names_the_pane_and_every_key(size: tuple[int, int]) -> None:
    async def script(driven: Driven) -> None:
        for pane in PANES:
            await driven.press(pane.KEY, "question_mark")
            page = driven.app.screen
            assert isinstance(page, Page)
            text = page.text
            assert pane.HELP in text
            for binding in _bindings():
                assert binding.description in text
            await driven.press("escape")

    drive(script, size)


def _bindings() -> Iterator[Binding]:
    yield from (binding for binding in Inspector.BINDINGS if isinstance(binding, Binding))


def test_the_command_palette_has_every_key() -> None:
    async def script(driven: Driven) -> None:
        commands = list(driven.app.get_system_commands(driven.app.screen))
        assert all(any(b.description in c.title for c in commands) for b in _bindings())
        (step,) = (c for c in commands if c.title.startswith("one step: "))
        await step.callback()
        await driven.settle()
        assert driven.standing.position.at_ns == 1
        await driven.press("ctrl+p")
        await driven.type("ring transition (t")
        assert driven.standing.ring == 3

    drive(script)


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("#50", {"event": "host_called"}),
        ("host_called", {"event": "host_called"}),
        ("host_call", {"symbol": "host_call"}),
        ("traps.c:39", {"symbol": "host_call"}),
        ("0x104df0", {"symbol": "host_call"}),
        ("1.2 ms", {"at_ns": 1_200_000}),
        ("400_000ns", {"at_ns": 400_000}),
    ],
)
def test_g_goes_to_an_event_a_kind_a_symbol_a_line_and_a_time(text: str, goal: dict[str, Any]) -> None:
    run = InspectedRun("counter", cycles=2)
    run.run_to(**goal)

    async def script(driven: Driven) -> None:
        await driven.pilot.press("g")
        await driven.type(text)
        assert driven.standing.position == run.now

    drive(script)


def test_capital_g_goes_back_to_what_is_named() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket")
        await driven.pilot.press("G")
        await driven.type("phase_completed")
        assert driven.standing.phases.startswith("+PROT_ENTRY +MEM_MAP +WASM_INIT +EXEC_LOOP")
        await driven.pilot.press("g")
        await driven.type("no such thing")
        assert driven.said.startswith("! 'no such thing' is no address, symbol")

    drive(script)


@SIZES
def test_breakpoints_come_and_go_by_b_and_c_stops_at_them_in_both_directions(size: tuple[int, int]) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("9")
        await driven.pilot.press("b")
        await driven.type("host_call")
        await driven.press("c")
        first = driven.standing.position
        assert driven.said.startswith("stopped at the breakpoint")
        await driven.press("c")
        assert driven.standing.position > first
        await driven.press("C")
        assert driven.standing.position == first
        await driven.press("4")
        assert any(text.startswith("B>") for text in driven.rows("code"))
        await driven.press("b")
        assert not any(text.startswith("B") for text in driven.rows("code"))
        await driven.press("c")
        assert driven.standing.at_end

    drive(script, size)


def test_a_watchpoint_set_on_a_row_stops_behind_the_write_and_is_taken_away_in_the_list() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("p", "p", "p", "p", "7")
        driven.app.pane.move_to(_row(driven, "memory", "irq_stack"))
        await driven.pilot.press("w")
        await driven.type("")
        await driven.press("c")
        assert driven.said.startswith("stopped at the watchpoint")
        await driven.pilot.press("B")
        await driven.press("enter")
        assert driven.said.startswith("taken away: watch")
        await driven.press("B")
        assert driven.said.startswith("! there are no breakpoints")

    drive(script)


def _row(driven: Driven, pane: str, text: str) -> int:
    return next(index for index, row in enumerate(driven.rows(pane)) if text in row)


def test_w_on_bytes_asks_who_wrote_them_and_the_answer_stands_there() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "s", "s", "8", "W")
        assert "last written at" in driven.said
        assert any("written at" in text for text in driven.rows("bytes"))

    drive(script)


def test_a_shows_memory_or_code_and_full_stop_returns_to_rip() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("8")
        await driven.pilot.press("a")
        await driven.type("heap+0x100")
        pane = driven.app.pane
        assert isinstance(pane, BytesPane)
        assert pane.address == region("heap").base + 0x100
        await driven.press("4")
        await driven.pilot.press("a")
        await driven.type("annihilate")
        code = driven.app.pane
        assert isinstance(code, CodePane)
        assert driven.rows("code")[0] == "annihilate:"
        await driven.press("full_stop")
        assert code.address is None

    drive(script)


def test_enter_follows_rows_through_time_memory_and_code() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket", "minus", "home", "down", "enter")
        assert driven.standing.seen == 2
        await driven.press("p", "p", "9")
        driven.app.pane.move_to(_row(driven, "tables", "0x80 interrupt gate"))
        await driven.press("enter")
        assert driven.app.pane.NAME == "code"
        await driven.press("3", "end", "enter")
        assert driven.said.startswith("! this row leads nowhere")

    drive(script)


def test_r_runs_to_the_row_and_capital_r_back_to_it() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "1")
        await driven.pilot.press("a")
        await driven.type("host_call")
        await driven.press("r")
        assert driven.standing.place.startswith("host_call ")
        here = driven.standing.position
        await driven.press("t")
        driven.app.pane.move_to(driven.app.pane.view.here or 0)
        await driven.press("R")
        assert driven.standing.position == here

    drive(script)


def test_search_goes_from_match_to_match_around_the_end() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket", "minus", "n")
        assert driven.said.startswith("! nothing to search for yet")
        await driven.pilot.press("slash")
        await driven.type("phase_entered")
        pane = driven.app.pane
        first = pane.cursor
        assert "phase_entered" in pane.row_at(first).text
        for _ in range(3):
            await driven.press("n")
        last = pane.cursor
        await driven.press("n")
        assert pane.cursor == first
        await driven.press("N")
        assert pane.cursor == last

    drive(script)


def test_f_filters_events_and_says_what_is_no_kind() -> None:
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
        assert "is no kind of event" in driven.said

    drive(script)


def test_v_verifies_all_guarantees_in_the_background_and_cancels_it() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("=", "V")
        await _until(driven, lambda: driven.app.pane.view.subtitle != "")
        here = driven.standing.position
        await driven.press("s")
        assert driven.standing.position > here  # the run goes on meanwhile
        await _until(driven, lambda: driven.app.pane.view.subtitle == "")
        assert sum(text.startswith("holds ") for text in driven.rows("guarantees")[8:]) == 7
        await driven.press("V")
        await _until(driven, lambda: driven.app.pane.view.subtitle != "")
        await driven.press("V")
        await _until(driven, lambda: driven.app.pane.view.subtitle == "")
        assert "cancelled" in driven.rows("guarantees")

    drive(script, source=source_of(("beacon",), {"cycles": 1}))


async def _until(driven: Driven, holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        await driven.pilot.pause(0.01)
    raise TimeoutError


def test_tab_goes_from_pane_to_pane() -> None:
    async def script(driven: Driven) -> None:
        met = []
        for _ in OVERVIEW:
            met.append(driven.app.pane.NAME)
            await driven.press("tab")
        assert sorted(met) == sorted(OVERVIEW)

    drive(script)


def test_marks_are_kept_and_gone_to() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("M")
        assert driven.said.startswith("! no moment is marked")
        await driven.press("h")
        marked = driven.standing.position
        await driven.press("m", "right_square_bracket")
        await driven.pilot.press("M")
        await driven.press("enter")
        assert driven.standing.position == marked

    drive(script)


@SIZES
def test_the_mouse_selects_rows_follows_them_and_chooses_panes(size: tuple[int, int]) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("right_square_bracket")
        events = driven.app.query_one("#events")
        await driven.pilot.click(events, offset=(20, 3), times=2)
        await driven.settle()
        assert not driven.standing.at_end
        await driven.pilot.click("#tabs", offset=(8, 0))
        await driven.settle()
        assert _shown(driven) == {"phases"}

    drive(script, size)


def test_the_cursor_goes_by_row_page_and_edge_and_v_by_heading() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("9", "home")
        pane = driven.app.pane
        await driven.press("down", "j", "down")
        assert pane.cursor == 3
        await driven.press("up", "k")
        assert pane.cursor == 1
        await driven.press("pagedown", "space", "pageup", "home")
        assert pane.cursor == 0
        await driven.press("v")
        assert pane.row_at(pane.cursor).text.startswith("task state")
        await driven.press("end")
        assert pane.cursor == len(pane.view.rows) - 1
        await driven.press("right", "left")

    drive(script)


def test_escape_returns_to_the_overview_and_q_leaves() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("7", "escape")
        assert _shown(driven) == set(OVERVIEW)
        await driven.pilot.press("q")
        await driven.pilot.pause()
        assert not driven.app.is_running or driven.app._exit

    drive(script)


def test_without_colour_every_pane_is_drawn_in_greys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "s")
        for strip in driven.app.screen._compositor.render_strips():
            for segment in strip:
                style = segment.style
                for colour in (style.color, style.bgcolor) if style is not None else ():
                    assert colour is None or colour.triplet is None or len(set(colour.triplet)) == 1

    drive(script)


def test_a_resize_changes_the_overview() -> None:
    async def script(driven: Driven) -> None:
        assert _shown(driven) == set(OVERVIEW)
        await driven.pilot.resize_terminal(*WIDE)
        await driven.settle()
        assert _shown(driven) == set(OVERVIEW_WIDE)

    drive(script)
