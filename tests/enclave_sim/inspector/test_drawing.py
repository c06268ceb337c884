"""The screen shows the panes' content, whichever rows were redrawn."""

from random import Random

import pytest
from textual.events import MouseScrollDown

from enclave_sim.inspector.actions.steps import MOVEMENTS
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes import PANES
from enclave_sim.inspector.panes.pane import Pane
from tests.enclave_sim.inspector.driving import NARROW, WIDE, Driven, drive

_WALK = 40
_ELSEWHERE = ("up", "down", "pageup", "pagedown", "home", "end", "left", "right", "v", "tab")


@pytest.mark.slow
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["80x24", "200x60"])
def test_on_a_long_walk_in_both_directions_the_screen_has_what_is_made_afresh(size: tuple[int, int]) -> None:
    chance = Random(7)

    async def script(driven: Driven) -> None:
        for number in range(_WALK):
            if number % 20 == 19:
                await driven.press(chance.choice([*(pane.KEY for pane in PANES), *"111111"]))
            await driven.press(chance.choice(MOVEMENTS).key, *chance.choices(_ELSEWHERE, k=chance.randrange(3)))
            if driven.standing.at_end or not number % 25:
                await driven.press(*chance.choices(("left_square_bracket", "p", "h", "e"), k=5))
            await assert_fresh(driven)

    drive(script, size)


async def assert_fresh(driven: Driven) -> None:
    """Assert that every visible pane shows its current view, made in the session's thread."""
    shown = [pane for pane in driven.app.desk.panes if pane.display]
    fresh: dict[str, View] = {}

    def job(moment: Moment) -> None:
        fresh.update({pane.NAME: pane.wish()(moment) for pane in shown})

    driven.app.desk.ask("making all afresh", job)
    await driven.settle()
    for pane in shown:
        view = fresh[pane.NAME]
        assert list(pane.view.rows) == list(view.rows), pane.NAME
        assert drawn(driven, pane) == expected(pane, view), pane.NAME
        assert bar(driven, pane) == list(pane._bar_now()), pane.NAME


def drawn(driven: Driven, pane: Pane) -> list[str]:
    """The lines of a pane on the screen, the title first, without the cursor bar."""
    region = pane.region
    strips = driven.app.screen._compositor.render_strips()[region.y : region.bottom]
    lines = [strip.crop(region.x, region.right).text for strip in strips]
    return [lines[0].strip(" ─━"), *(line[:-1].rstrip() for line in lines[1:])]


def expected(pane: Pane, view: View) -> list[str]:
    """The expected lines."""
    left, width = pane.scroll_offset.x, pane.content_size.width - 1
    rows = [view.rows[index].text if index < len(view.rows) else "" for index in pane.in_sight]
    title = "  ".join(part for part in (f"{pane.KEY} {pane.TITLE}", pane.remark(), view.subtitle) if part)
    return [title[: pane.size.width - 2].strip(" ─━"), *(row[left : left + width].rstrip() for row in rows)]


@pytest.mark.slow
def test_the_bar_is_as_long_as_what_is_in_sight_and_can_be_drawn_along() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("3", "home")
        pane = driven.app.desk.pane
        height = pane.content_size.height
        assert bar(driven, pane)[0] == 0
        assert len(bar(driven, pane)) == max(1, height * height // pane.count)
        await driven.pilot.mouse_down(pane, offset=(79, height // 2 + 1))
        await driven.pilot.hover("#said", offset=(79, 0))
        await driven.pilot.mouse_up("#said", offset=(79, 0))
        await driven.settle()
        assert bar(driven, pane)[-1] == height - 1
        assert pane.scroll_offset.y == pane.count - height
        assert pane.cursor == 0  # it stays where it was
        await driven.press("-")
        assert bar(driven, driven.app.desk.pane) == []  # all rows are visible

    drive(script)


def bar(driven: Driven, pane: Pane) -> list[int]:
    """Lines with the cursor bar."""
    region = pane.content_region
    strips = driven.app.screen._compositor.render_strips()[region.y : region.bottom]
    return [y for y, strip in enumerate(strips) if strip.crop(region.right - 1, region.right).text == "▐"]


def test_where_rows_are_gone_the_cursor_is_drawn_on_the_last_that_is_left() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("3")
        pane = driven.app.desk.pane
        rows = tuple(pane.view.rows[:9])
        pane.show(View(rows), moved=False)
        pane.move_to(8)
        await driven.pilot.pause()
        pane.show(View(rows[:5]), moved=False)
        await driven.pilot.pause()
        assert pane.cursor == pane.count - 1
        region = pane.content_region
        strips = driven.app.screen._compositor.render_strips()[region.y : region.bottom]
        lit = [bool(segment.style and segment.style.reverse) for strip in strips for segment in [next(iter(strip))]]
        assert [y for y, one in enumerate(lit) if one] == [pane.cursor - pane.scroll_offset.y]

    drive(script)


def test_the_wheel_scrolls() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("3", "home")
        pane = driven.app.desk.pane
        await driven.pilot._post_mouse_events([MouseScrollDown], pane, offset=(5, 5))
        await driven.settle()
        assert pane.scroll_offset.y > 0

    drive(script)
