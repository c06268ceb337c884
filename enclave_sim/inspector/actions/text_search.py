"""Actions that search for text in the rows of a pane, or filter the events."""

from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.actions.history import History
from enclave_sim.inspector.desk import Desk
from enclave_sim.inspector.model.event_log import event_filter
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.panes.events import EventsPane
from enclave_sim.inspector.screens import Question

_FILTER_HELP = """kinds of events, a ring transition, a text in quotes; nothing shows all
host_called signal_emitted
3->0 "rip=0x12a002\""""


class TextSearch:
    """The keys that search and filter."""

    def __init__(self, desk: Desk, history: History) -> None:
        self._desk = desk
        self._history = history
        self._text = ""

    @property
    def has_begun(self) -> bool:
        """True once there is a text to search for."""
        return bool(self._text)

    def search(self) -> None:
        """Ask for a text, and search the pane for it."""
        pane = self._desk.pane

        def answered(text: str | None) -> None:
            if text:
                self._text = text
                pane.focus()
                self.search_next(1)

        help_text = "n goes to the next match, N to the previous one"
        self._desk.ask_user(Question(f"Search in {pane.TITLE}", help_text, self._text), answered)

    def search_next(self, direction: int) -> None:
        """Go to the next match; after the last one, to the first. `direction` is 1, or -1 for backwards."""
        pane, text = self._desk.pane, self._text
        if not text:
            self._desk.say("nothing to search for yet; / asks for a text", failed=True)
            return

        search, place = pane.searching(text, direction), pane.searched

        def look(moment: Moment) -> str:
            found = search(moment)
            if found is None:
                raise ConfigurationError(f"{text!r} is not in {place}; nothing has moved")
            self._desk.call_later(self._history.show, found.show)
            return f"{text!r}: {found.words}"

        self._desk.ask("searching", look)

    def filter_events(self) -> None:
        """Ask for a filter, and show the events that match it."""
        pane = self._desk.find(EventsPane)

        def answered(text: str | None) -> None:
            if text is None:
                return
            try:
                wanted = event_filter(text)
            except ConfigurationError as error:
                self._desk.say(str(error), failed=True)
                return

            def look(moment: Moment) -> None:
                moment.log.places(wanted, moment.seen)
                self._desk.call_later(show)

            def show() -> None:
                pane.filter = wanted
                self._desk.show_pane(EventsPane.NAME)

            self._desk.ask("filtering", look)

        self._desk.ask_user(Question("Show only", _FILTER_HELP, pane.filter.words), answered)
