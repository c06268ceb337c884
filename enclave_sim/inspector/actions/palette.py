"""The objects that commands of the palette need: without its object a command is not offered."""

from enclave_sim.inspector.actions.bookmarks import Bookmarks
from enclave_sim.inspector.actions.history import History
from enclave_sim.inspector.actions.navigation import leads_on
from enclave_sim.inspector.actions.origins import place_of
from enclave_sim.inspector.actions.steps import BY_NAME
from enclave_sim.inspector.actions.text_search import TextSearch
from enclave_sim.inspector.desk import Desk
from enclave_sim.specification import EngineName


class Palette:
    """Knows which actions have an object now.

    Args:
        desk: The desk.
        history: The jumps.
        bookmarks: The bookmarks.
        text_search: The search.
    """

    def __init__(self, desk: Desk, history: History, bookmarks: Bookmarks, text_search: TextSearch) -> None:
        self._desk = desk
        self._history = history
        self._bookmarks = bookmarks
        self._text_search = text_search

    def offers(self, action: str) -> bool:
        """Return whether there is something that an action of the app or of the focused pane can act on."""
        pane, seen = self._desk.pane, self._desk.seen
        name, _, argument = action.removeprefix("app.").removesuffix(")").partition("(")
        engine = None if seen is None else seen.standing.engine
        if name == "move":
            return self._moves(argument.strip("'"))
        has = {
            "search_next": self._text_search.has_begun,
            "history_back": self._history.has_past,
            "history_forward": self._history.has_future,
            "marks": self._bookmarks.is_any,
            "points": seen is not None and bool(seen.points),
            "writer": pane.target.memory is not None,
            "origins": place_of(pane.target) is not None,
            "run_here": pane.target.is_in_run,
            "follow": leads_on(pane, pane.target),
            "find_guest": engine is not None and engine.is_coprocessor,
            "verify": engine is not None,
            "cancel": self._desk.session.busy or self._desk.page is not None,
            "leave_terminal": self._desk.can_leave_terminal,
        }
        return has.get(name, True)

    def _moves(self, name: str) -> bool:
        engine = None if self._desk.seen is None else self._desk.seen.standing.engine
        if BY_NAME[name].of_wasm:
            return engine is EngineName.RESIDENT
        return engine is not None or name not in ("call", "back_call")
