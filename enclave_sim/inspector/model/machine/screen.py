"""The text on the screen of a bare kernel's VGA, row by row. Each row stands for its cells in video memory."""

from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Meaning, Part, Row, Target, View, note
from machine.devices.legacy.text_screen import TextScreen


def screen_view(moment: Moment) -> View:
    """Return the rows of the screen, with the cursor as a reversed cell."""
    display = moment.machine.display
    if display is None:
        return View((note("an enclave has no screen; a kernel of your own has a VGA in text mode"),))
    screen = display.screen()
    if screen is None:
        return View((note("the screen is in a graphics mode, which this machine does not show"),))
    rows = [_row(screen, number, text) for number, text in enumerate(screen.all_lines())]
    where = "off" if screen.cursor is None else f"at row {screen.cursor[0]}, column {screen.cursor[1]}"
    return View(tuple(rows), None, f"{screen.columns} x {screen.rows}, cursor {where}")


def _row(screen: TextScreen, number: int, text: str) -> Row:
    parts: list[Part] = [(f"{number:>2}|", Meaning.DIM)]
    if screen.cursor is not None and screen.cursor[0] == number:
        at = screen.cursor[1]
        parts += [(text[:at], Meaning.PLAIN), (text[at], Meaning.HERE), (text[at + 1 :], Meaning.PLAIN)]
    else:
        parts.append((text, Meaning.PLAIN))
    parts.append(("|", Meaning.DIM))
    return Row(tuple(parts), Target(memory=screen.row_addresses[number], size=2 * screen.columns))
