"""Keys that arrive before a question is on the screen, as if pasted, are its answer."""

from textual.events import Key

from enclave_sim.time_travel.navigation.breakpoints import Breakpoint
from tests.enclave_sim.inspector.driving import Driven, drive


async def typed_at_once(driven: Driven, opening: str, text: str) -> None:
    """Send a key that opens a question and its answer without a pause."""
    for one in f"{opening}{text}":
        driven.app.post_message(Key({"#": "number_sign"}.get(one, one), one))
    driven.app.post_message(Key("enter", "\r"))
    await driven.pilot.pause()
    await driven.settle()


def test_an_answer_that_is_typed_ahead_is_not_lost() -> None:
    async def script(driven: Driven) -> None:
        await typed_at_once(driven, "g", "#12")
        assert driven.standing.seen == 13
        assert driven.app.desk.page is None, "Enter was for the question only"

    drive(script)


def test_an_answer_that_is_typed_ahead_replaces_the_one_offered() -> None:
    async def script(driven: Driven) -> None:
        await driven.press("4")
        await typed_at_once(driven, "b", "host_call")
        assert driven.app.desk.seen is not None
        (point,) = driven.app.desk.seen.points
        assert isinstance(point, Breakpoint)
        assert point.address == driven.app.desk.program.symbols["host_call"]

    drive(script)
