"""Every key that chooses what is shown, at both sizes."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.binding import Binding

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.inspector.actions.keys import COMMON, KEYS, Group, key_text
from enclave_sim.inspector.actions.steps import BY_NAME, MOVEMENTS
from enclave_sim.inspector.app import Inspector
from enclave_sim.inspector.desk import WELCOME
from enclave_sim.inspector.panes import OVERVIEW, OVERVIEW_WIDE, PANES
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.screens import Page
from enclave_sim.inspector.session.sources import source_of
from tests.enclave_sim.inspector.driving import NARROW, SIZES, WIDE, Driven, Size, drive

pytestmark = pytest.mark.slow  # each drives the whole program


def _overview(size: Size) -> tuple[str, ...]:
    return OVERVIEW if size == NARROW else OVERVIEW_WIDE


def _shown(driven: Driven) -> set[str]:
    return {pane.NAME for pane in driven.app.desk.panes if pane.display}


@SIZES
def test_a_key_for_every_pane_shows_it_alone_with_content_and_1_returns(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "s", "s")
        for pane in PANES:
            await driven.press(pane.KEY)
            assert _shown(driven) == {pane.NAME}
            assert driven.app.desk.pane.NAME == pane.NAME
            assert any(text.strip() for text in driven.rows(pane.NAME))
        await driven.press("1")
        assert _shown(driven) == set(_overview(size))

    drive(script, size)


@SIZES
def test_help_names_the_pane_and_every_key(size: Size) -> None:
    async def script(driven: Driven) -> None:
        for pane in PANES:
            await driven.press(pane.KEY, "question_mark")
            page = driven.app.screen
            assert isinstance(page, Page)
            text = page.text
            assert pane.HELP in text
            for binding in [*_bindings(), *(one for one in pane.BINDINGS if isinstance(one, Binding))]:
                if binding.action != "follow":
                    assert f"{key_text(binding.key)}  {binding.description}" in text
            assert f"Enter  {pane.FOLLOWS}" in text
            await driven.press("escape")

    drive(script, size)


def _bindings() -> Iterator[Binding]:
    yield from (binding for binding in Inspector.BINDINGS if isinstance(binding, Binding))


WITHOUT_OBJECT = {
    *("search_next(1)", "search_next(-1)", "history_back", "history_forward", "marks", "points", "cancel"),
    "leave_terminal",
    *(f"move('{name}')" for name in BY_NAME if "wasm" in name),
}
"""Actions that have no object in the overview at the beginning of a run of AetherHost's guest."""


@SIZES
def test_the_command_palette_has_every_key_whose_object_is_there(size: Size) -> None:
    async def script(driven: Driven) -> None:
        commands = list(driven.app.get_system_commands(driven.app.screen))
        lacking = {b.action for b in _bindings() if not any(b.description in c.title for c in commands)}
        assert lacking == WITHOUT_OBJECT
        assert all(any(c.title.startswith(f"{group.value}: ") for c in commands) for group in Group)
        (step,) = (c for c in commands if ": one step: " in c.title)
        await step.callback()
        await driven.settle()
        assert driven.standing.position.at_ns == 1
        await driven.press("ctrl+p")
        await driven.type("ring transition (t")
        assert driven.standing.ring == 3

    drive(script, size)


def _offered(driven: Driven) -> set[str]:
    titles = [command.title for command in driven.app.get_system_commands(driven.app.screen)]
    keys = [*_bindings(), *driven.app.desk.pane.own_keys()]
    return {key.action for key in keys if any(f": {key.description} (" in title for title in titles)}


def test_the_palette_offers_what_has_got_its_object() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("p", "m", "slash")
        await driven.type("push")
        await driven.pilot.press("b")
        await driven.type("host_call")
        await driven.press("less_than_sign", "4")
        got = {action for action in WITHOUT_OBJECT if "wasm" not in action and action != "leave_terminal"}
        assert got <= _offered(driven)
        await driven.press("2")
        assert not {"writer", "origins"} & _offered(driven)
        await driven.press("3", "home", "down", "down")
        assert {"origins"} <= _offered(driven)
        await driven.press("end")
        assert not {"origins", "follow", "run_here"} & _offered(driven)

    drive(script)


def test_the_palette_offers_what_the_engine_has() -> None:
    seen: dict[str, set[str]] = {}

    async def script(driven: Driven) -> None:
        assert driven.standing.engine is not None
        await driven.press("5")
        seen[driven.standing.engine.value] = _offered(driven)

    for payload, engine in (("beacon", "resident"), ("forger", "native")):
        drive(script, source=source_of((payload,), EnclaveOptions.of(engine=engine)))
    assert "move('wasm')" in seen["resident"]
    assert "move('wasm')" not in seen["native"]
    assert not any("app.find_guest" in offered for offered in seen.values())


@pytest.mark.parametrize("pane", PANES, ids=lambda pane: pane.NAME)
def test_the_footer_of_a_pane_names_keys_that_it_has(pane: type[Pane]) -> None:
    keys = {key_text(one) for binding in [*_bindings(), *_of_pane(pane)] for one in binding.key.split(",")}
    named = [part.split()[0] for part in f"{pane.FOOTER}  {COMMON}".split("  ")]
    assert set(named) - keys == {"1-="}
    assert {key_text(one.key) for one in pane.own_keys()} & {"F", "V", ".", "y"} <= set(named)
    assert len(pane.TITLE) + len(pane.FOOTER) < 65, "in 80 columns, with a key for the help"


def test_every_command_of_the_palette_has_its_object() -> None:
    """No word refers to the previous command: each stands alone in a search result."""
    assert not [one.words for one in KEYS if re.search(r"\b(to one|it|them|there)$", one.words)]


def test_the_first_screen_says_in_one_line_what_to_press_and_the_footer_follows_the_focus() -> None:
    async def script(driven: Driven) -> None:
        assert driven.said == WELCOME
        assert len(WELCOME) <= 78
        for pane in PANES:
            await driven.press(pane.KEY)
            assert str(driven.app.query_one("#keys").render()).startswith(f"{pane.TITLE}: {pane.FOOTER}")

    drive(script)


@SIZES
def test_v_verifies_all_guarantees(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("=", "V")
        await _until(driven, lambda: any("holds  attested" in text for text in driven.rows("guarantees")))
        judged = driven.rows("guarantees")[8:]
        assert sum(text.startswith("holds ") for text in judged) == 6
        assert any(text.startswith("NO EVIDENCE non-interference") for text in judged)  # one cycle shows no wake

    drive(script, size, source=source_of(("beacon",), EnclaveOptions.of(cycles=1)))


@SIZES
def test_the_run_goes_on_while_guarantees_are_verified_and_v_cancels_that(
    monkeypatch: pytest.MonkeyPatch, size: Size
) -> None:
    asked_again = threading.Event()

    def endless(
        *_: object, progress: Callable[[str], None], cancellation: Cancellation, **__: object
    ) -> Iterator[object]:
        while True:
            cancellation.poll()
            progress("a run")
            asked_again.wait(0.5)
            yield from ()

    monkeypatch.setattr("enclave_sim.inspector.threads.verification_thread.verify", endless)

    async def script(driven: Driven) -> None:
        await driven.press("=", "V")
        await _until(driven, lambda: driven.app.desk.pane.view.subtitle == "a run")
        here = driven.standing.position
        await driven.press("s")
        assert driven.standing.position > here
        await driven.press("V")
        asked_again.set()
        await _until(driven, lambda: "cancelled" in driven.rows("guarantees"))

    drive(script, size)


async def _until(driven: Driven, holds: Callable[[], bool]) -> None:
    for _ in range(30_000):
        if holds():
            return
        await driven.pilot.pause(0.01)
    raise TimeoutError


@SIZES
def test_tab_goes_from_pane_to_pane(size: Size) -> None:
    async def script(driven: Driven) -> None:
        met = []
        for _ in _overview(size):
            met.append(driven.app.desk.pane.NAME)
            await driven.press("tab")
        assert sorted(met) == sorted(_overview(size))

    drive(script, size)


@SIZES
def test_the_mouse_selects_rows_follows_them_and_chooses_panes(size: Size) -> None:
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


@SIZES
def test_the_cursor_goes_by_row_page_and_edge_and_v_by_heading(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("9", "home")
        pane = driven.app.desk.pane
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

    drive(script, size)


@SIZES
def test_ctrl_c_cancels_or_says_how_to_quit_and_ctrl_z_that_there_is_no_shell(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("ctrl+c")
        assert driven.said == "q quits the inspector"
        await driven.press("ctrl+z")
        assert driven.said == "! there is no shell to return to"
        await driven.pilot.press("c")
        await driven.pilot.press("ctrl+c")
        await driven.settle()
        assert driven.said.startswith("cancelled ")
        assert not driven.standing.at_end

    drive(script, size, source=source_of(("spinner",), EnclaveOptions.of(cycles=100_000)))


@SIZES
def test_escape_returns_to_the_overview_and_q_leaves(size: Size) -> None:
    async def script(driven: Driven) -> None:
        await driven.press("7", "escape")
        assert _shown(driven) == set(_overview(size))
        await driven.pilot.press("q")
        await driven.pilot.pause()
        assert not driven.app.is_running or driven.app._exit

    drive(script, size)


@SIZES
def test_without_colour_every_pane_is_drawn_in_greys(monkeypatch: pytest.MonkeyPatch, size: Size) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(driven: Driven) -> None:
        await driven.press("h", "s", "s")
        for strip in driven.app.screen._compositor.render_strips():
            for segment in strip:
                style = segment.style
                for colour in (style.color, style.bgcolor) if style is not None else ():
                    assert colour is None or colour.triplet is None or len(set(colour.triplet)) == 1

    drive(script, size)


def test_a_resize_changes_the_overview() -> None:
    async def script(driven: Driven) -> None:
        assert _shown(driven) == set(OVERVIEW)
        await driven.pilot.resize_terminal(*WIDE)
        await driven.settle()
        assert _shown(driven) == set(OVERVIEW_WIDE)

    drive(script)


def test_every_key_is_pressed_in_a_test_of_both_sizes() -> None:
    """Keys of movements and panes are pressed in loops, the others by name."""
    keys = {key for binding in _every_binding() for key in binding.key.split(",")}
    keys -= {movement.key for movement in MOVEMENTS} | {pane.KEY for pane in PANES}
    pressed = set()
    for path in Path(__file__).parents[1].rglob("test_*.py"):
        for test in re.findall(r"^@SIZES\n(?:@.*\n)*def .*?(?=^\S|\Z)", path.read_text(), re.MULTILINE | re.DOTALL):
            pressed |= {key for call in re.findall(r"\.press\((.*?)\)", test) for key in re.findall(r'"(.+?)"', call)}
    assert keys - pressed == set()


def _every_binding() -> Iterator[Binding]:
    yield from _bindings()
    for pane in PANES:
        yield from _of_pane(pane)


def _of_pane(pane: type[Pane]) -> Iterator[Binding]:
    for kind in pane.__mro__:
        if issubclass(kind, Pane):
            yield from (one for one in kind.BINDINGS if isinstance(one, Binding))
