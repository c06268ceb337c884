"""All keys that work in every pane, in groups. Help and palette are made from this table."""

from dataclasses import dataclass
from enum import Enum

from enclave_sim.inspector.actions.steps import MOVEMENTS
from enclave_sim.inspector.panes import PANES


class Group(Enum):
    """Groups of keys, in help order."""

    RUN = "Move along the run"
    PLACES = "Return to a place"
    PANES = "Show a pane"
    POINTS = "Stop the run"
    ROWS = "Ask about a row"
    INSPECTOR = "Inspector"


@dataclass(frozen=True, slots=True)
class Key:
    """A key, with its action of the app."""

    key: str
    action: str
    words: str
    group: Group


KEYS = (
    *(Key(one.key, f"move('{one.name}')", one.words, Group.RUN) for one in MOVEMENTS),
    Key("g", "goto", "go to an event, address, symbol, line or time", Group.RUN),
    Key("G", "goto(True)", "go back to an event, address, symbol, line or time", Group.RUN),
    Key("r", "run_here", "run to the address or event of the row", Group.RUN),
    Key("R", "run_here(True)", "run back to the address or event of the row", Group.RUN),
    Key("less_than_sign,backspace", "history_back", "back to before the last jump", Group.PLACES),
    Key("greater_than_sign", "history_forward", "forward again to what was gone back from", Group.PLACES),
    Key("m", "mark", "mark this moment", Group.PLACES),
    Key("M", "marks", "go to a marked moment", Group.PLACES),
    Key("z", "note", "mark this moment with a note", Group.PLACES),
    Key("Y", "link", "copy a link to this moment", Group.PLACES),
    Key("Z", "notebook", "save the walk so far as a notebook", Group.PLACES),
    Key("1", "overview", "the overview: the most important panes", Group.PANES),
    *(Key(pane.KEY, f"pane('{pane.NAME}')", pane.TITLE, Group.PANES) for pane in PANES),
    Key("a", "show_at", "the bytes or code at an address or symbol", Group.PANES),
    Key("b", "breakpoint", "set or remove a breakpoint", Group.POINTS),
    Key("x", "conditional", "set a breakpoint with a condition", Group.POINTS),
    Key("w", "watchpoint", "set a watchpoint", Group.POINTS),
    Key("B", "points", "list breakpoints and watchpoints, to remove one", Group.POINTS),
    Key("W", "writer", "find the last write to the memory of the row", Group.ROWS),
    Key("X", "origins", "show where the value of the row came from", Group.ROWS),
    Key("slash", "search", "search for a text in the pane", Group.ROWS),
    Key("n", "search_next(1)", "go to the next match of the search", Group.ROWS),
    Key("N", "search_next(-1)", "go to the previous match of the search", Group.ROWS),
    Key("f", "filter", "filter the events", Group.ROWS),
    Key("escape", "cancel", "cancel what is running; else show the overview", Group.INSPECTOR),
    Key("question_mark", "help", "help on the pane, and all keys", Group.INSPECTOR),
    Key("ctrl+z", "leave_terminal", "suspend the inspector, until fg in the shell", Group.INSPECTOR),
    Key("q", "quit", "quit the inspector", Group.INSPECTOR),
)
_NAMES = {
    "right_square_bracket": "]", "left_square_bracket": "[", "right_parenthesis": ")", "left_parenthesis": "(",
    "right_curly_bracket": "}", "left_curly_bracket": "{", "vertical_line": "|", "backslash": "\\",
    "circumflex_accent": "^", "tilde": "~",
    "less_than_sign": "<", "greater_than_sign": ">", "question_mark": "?", "slash": "/", "full_stop": ".",
    "escape": "Esc", "backspace": "Backspace", "enter": "Enter", "space": "Space",
    "pageup": "PageUp", "pagedown": "PageDown", "home": "Home", "end": "End",
    "ctrl+z": "Ctrl+Z", "up": "Up", "down": "Down", "left": "Left", "right": "Right",
}  # fmt: skip
COMMON = "s step  o over  h host call  t ring  p phase  c continue  g goto  < back  1-= panes"
"""The part of the footer common to all panes."""
COMMON_KERNEL = COMMON.replace("h host call  ", "").replace("p phase", "p mode")
"""The same for a bare kernel, which has no host calls and no boot phases."""


def key_text(keys: str) -> str:
    """Format one or more keys, separated by commas, for display."""
    return " ".join(_NAMES.get(key, key) for key in keys.split(","))
