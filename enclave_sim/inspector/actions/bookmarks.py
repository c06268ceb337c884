"""Actions on bookmarks: positions that are kept with a pane and a note, and their links."""

from collections.abc import Callable, Sequence
from pathlib import Path

from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.actions.history import History
from enclave_sim.inspector.bookmark_file import MOST, read_bookmarks, write_bookmarks
from enclave_sim.inspector.desk import Desk
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.panes import PANES
from enclave_sim.inspector.screens import Choice, Page, Question
from enclave_sim.recording.text import printable
from enclave_sim.time_travel.link import LONGEST_NOTE, Link, LinkError, checked_note, follow_link, link_to_here


class Bookmarks:
    """The bookmarks, by position.

    Args:
        desk: The desk.
        history: The jumps.
        copy: Copies a text to the clipboard.
        path: The file in which they are kept; None to keep them until the end.
    """

    def __init__(self, desk: Desk, history: History, copy: Callable[[str], None], path: Path | None) -> None:
        self._desk = desk
        self._history = history
        self._copy = copy
        self._path = path
        self._links: tuple[Link, ...] = () if path is None else read_bookmarks(path)

    @property
    def is_any(self) -> bool:
        """True if there is a mark."""
        return bool(self._links)

    def mark(self, note: str = "") -> None:
        """Mark the current moment."""
        pane = self._desk.pane.NAME

        def job(moment: Moment) -> str:
            link = link_to_here(moment.run, note=note, pane=pane)
            others = [one for one in self._links if one.position != link.position]
            if len(others) == MOST:
                raise ConfigurationError(f"there are {MOST} marks already")
            self._links = tuple(sorted((*others, link), key=lambda one: one.position))
            if self._path is not None:
                write_bookmarks(self._path, self._links)
            return f"marked {link.position}; M goes back to it"

        self._desk.ask("marking", job)

    def ask_note(self) -> None:
        """Ask for a note, and mark the current moment with it."""

        def answered(text: str | None) -> None:
            if text is None:
                return
            try:
                self.mark(checked_note(text))
            except LinkError as error:
                self._desk.say(str(error), failed=True)

        help_text = f"A line of at most {LONGEST_NOTE} characters, which is kept with the mark and in its link."
        self._desk.ask_user(Question("Note on this moment", help_text), answered)

    def copy_link(self) -> None:
        """Copy a link to the current moment and pane, and show it."""
        pane = self._desk.pane.NAME

        def job(moment: Moment) -> str:
            here = moment.run.now
            note = next((one.note for one in self._links if one.position == here), "")
            self._desk.call_later(self._show_link, link_to_here(moment.run, note=note, pane=pane))
            return f"the link to {here} is copied, if the terminal allows it"

        self._desk.ask("making a link", job)

    def _show_link(self, link: Link) -> None:
        self._copy(str(link))
        self._desk.ask_user(Page(f"Link to {link.position}", str(link)), lambda _: None)

    def ask_mark(self) -> None:
        """Ask which mark to go to."""
        links = self._links
        if not links:
            self._desk.say("no moment is marked yet; m marks one", failed=True)
            return

        def answered(index: int | None) -> None:
            if index is not None:
                self.go_to(links[index])

        self._desk.ask_user(Choice("Go to a marked moment", _lines(links)), answered)

    def go_to(self, link: Link) -> None:
        """Go to the position of a link, and show its pane."""
        self._history.jump("to the mark", lambda run: follow_link(run, link).position)
        if self._desk.page is not None and link.pane in {pane.NAME for pane in PANES}:
            self._desk.show_pane(link.pane)


def _lines(links: Sequence[Link]) -> list[str]:
    return [printable(f"{link.position}  {link.pane}  {link.note}".rstrip()) for link in links]
