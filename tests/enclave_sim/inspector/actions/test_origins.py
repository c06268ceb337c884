"""`X` shows where the value of a row came from; Enter goes to a step of it, and `<` comes back."""

import pytest

from enclave_sim.inspector.screens import Choice
from tests.enclave_sim.inspector.driving import SIZES, Driven, Size, drive


@pytest.mark.slow
@SIZES
def test_a_register_s_value_leads_to_the_step_that_wrote_it_and_back(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "s", "s", "3")
        here = driven.standing.position
        pane = driven.app.desk.pane
        pane.cursor = next(n for n in range(40) if pane.row_at(n).text.startswith("RSP"))
        await driven.press("X")
        assert isinstance(driven.app.screen, Choice)
        assert driven.standing.position == here
        await driven.press("down", "enter")
        assert driven.standing.position < here
        await driven.press("less_than_sign")
        assert driven.standing.position == here

    drive(script, size)


@pytest.mark.slow
def test_memory_has_an_origin_and_other_rows_have_none() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "s", "s", "8", "X")
        assert isinstance(driven.app.screen, Choice)
        await driven.press("escape", "minus", "X")
        assert driven.said == "! this row has no value whose origin is known"

    drive(script, SIZES_SMALL)


SIZES_SMALL = (80, 24)
