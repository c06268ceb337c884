"""Breakpoints, watchpoints, and last writers."""

from typing import Any

import pytest

from enclave_sim.inspector.panes import PANES
from tests.enclave_sim.inspector.driving import SIZES, Driven, Size, drive, row_with

pytestmark = pytest.mark.slow  # each drives the whole program


@SIZES
def test_breakpoints_come_and_go_by_b_and_c_stops_at_them_in_both_directions(size: Size) -> None:
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
        await driven.pilot.press("b")
        await driven.type("")  # Enter alone takes the row's
        assert not any(text.startswith("B") for text in driven.rows("code"))
        await driven.press("c")
        assert driven.standing.at_end

    drive(script, size)


@pytest.mark.parametrize("pane", PANES, ids=lambda pane: pane.NAME)
def test_b_and_a_symbol_set_a_breakpoint_from_every_pane(pane: Any) -> None:
    async def script(driven: Driven) -> None:
        await driven.press(pane.KEY)
        await driven.pilot.press("b")
        await driven.type("host_call")
        assert driven.said.endswith(" host_call")
        assert driven.standing.position.at_ns == 0  # no letter of it was taken as a key

    drive(script)


@SIZES
def test_a_watchpoint_set_on_a_row_stops_after_the_write_and_is_taken_away_in_the_list(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("p", "p", "p", "p", "7")
        driven.app.desk.pane.move_to(row_with(driven, "memory", "irq_stack"))
        await driven.pilot.press("w")
        await driven.type("")
        await driven.press("c")
        assert driven.said.startswith("stopped at the watchpoint")
        await driven.pilot.press("B")
        await driven.press("enter")
        assert driven.said.startswith("removed: watch")
        await driven.press("B")
        assert driven.said.startswith("! there are no breakpoints")

    drive(script, size)


@SIZES
def test_w_on_bytes_asks_who_wrote_them_and_the_answer_stands_there(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "s", "s", "8", "W")
        assert "last written at" in driven.said
        assert any("written by" in text for text in driven.rows("bytes"))

    drive(script, size)


@SIZES
def test_x_sets_a_breakpoint_with_a_condition_on_the_row_or_where_one_says(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("4")
        await driven.pilot.press("x")
        await driven.type("now > 0")  # after the row's address and "if"
        assert " if now > 0" in driven.said
        await driven.press("9")
        await driven.pilot.press("x")
        await driven.type("host_call if rdi == 1")
        assert driven.said.endswith("host_call if rdi == 1")
        await driven.press("c")
        assert "host_call" in driven.standing.place
        await driven.press("3")
        assert any(text.startswith("RDI") and "0000000000000001" in text for text in driven.rows("registers"))
        await driven.pilot.press("x")
        await driven.type("nowhere")  # RIP is in the row
        assert driven.said.startswith("! 'nowhere' is neither")
        await driven.press("B")
        await driven.press("escape")

    drive(script, size)


@SIZES
def test_a_watchpoint_takes_a_condition_too(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("3")
        await driven.pilot.press("w")
        await driven.type("status 4 if u32(status) & 4")
        assert driven.said.endswith("write if u32(status) & 4")
        await driven.press("c")
        assert driven.said.startswith("stopped at the watchpoint")
        assert driven.standing.place.startswith("phase_completed")
        assert driven.standing.phases.startswith("+PROT_ENTRY +MEM_MAP >WASM_INIT")

    drive(script, size)
