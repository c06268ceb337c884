"""The desk: the panes on the screen, and the session's thread, which makes their views.

Key actions get the desk, and reach the app, its screens and the run only through it.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from rich.text import Text
from textual.app import App
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.model.rows import Meaning
from enclave_sim.inspector.model.status import Standing
from enclave_sim.inspector.panes import LAB, OVERVIEW, OVERVIEW_WIDE, PANES
from enclave_sim.inspector.panes.machine.bytes import BytesPane
from enclave_sim.inspector.panes.machine.code import CodePane
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.panes.strip import Strip
from enclave_sim.inspector.panes.task import TaskPane
from enclave_sim.inspector.panes.theme import STYLES
from enclave_sim.inspector.threads.session_thread import Broken, Job, Opener, Seen, SessionThread, Working
from enclave_sim.recording.text import printable

WIDE = 150
"""From this number of columns on, the overview has more panes."""
WELCOME = "Press h: to the guest's host calls  p: through the boot  s: one step  ?: help"
WELCOME_KERNEL = "Press s: one step  c: run to the end  [: back to the beginning  ?: help"
Update = Seen | Working | Broken
"""A message of the session's thread."""
_Answer = TypeVar("_Answer")
_Pane = TypeVar("_Pane", bound=Pane)


@dataclass(frozen=True, slots=True)
class Sight:
    """The displayed things."""

    page: str | None
    pane: str
    cursor: int
    code: int | None
    """The address in the code pane; None for RIP."""
    memory: int | None
    """The address in the pane of bytes; None for the stack."""


class Desk:
    """The contents of the app's first screen.

    Args:
        app: The app.
        opener: Makes the run, in the session's thread.
        notify: Called by the session's thread with each update.
        welcome: The first message; empty for the usual one.
        with_lab: True if there is a pane with the task of a lab.
    """

    def __init__(
        self,
        app: App[None],
        opener: Opener,
        notify: Callable[[Update], None],
        welcome: str = "",
        *,
        with_lab: bool = False,
    ) -> None:
        self._with_lab = with_lab
        self._app = app
        self._welcome = welcome
        self.session = SessionThread(opener, notify)
        self.keeping: Callable[[str, Job], Job] = lambda _what, job: job
        """Makes a job that also keeps its question and answer."""
        self.page: str | None = None
        """The pane that is shown alone, or None for the overview."""
        self.seen: Seen | None = None
        """The latest state of the run."""
        self.broken: BaseException | None = None
        """The error that ended the session."""
        self._lines: dict[str, str] = {}
        """The text of each line on the screen, by its widget."""
        self.answered = 0
        """The number of shown `Seen` messages."""

    @property
    def program(self) -> Program:
        """The kernel in ring 0. Raises ConfigurationError before there is a machine."""
        if self.seen is None:
            raise ConfigurationError("the machine is still being made")
        return self.seen.program

    # Panes

    @property
    def screen(self) -> Screen[Any]:
        """The screen with the panes, even if another one is open over it."""
        return self._app.screen_stack[0]

    @property
    def panes(self) -> list[Pane]:
        """All panes."""
        return list(self.screen.query(Pane))

    @property
    def pane(self) -> Pane:
        """The focused pane, or the first visible one."""
        focused = self.screen.focused
        return focused if isinstance(focused, Pane) else next(pane for pane in self.panes if pane.display)

    def find(self, kind: type[_Pane]) -> _Pane:
        """Return the only pane of a kind."""
        return self.screen.query_one(kind)

    def arrange(self) -> None:
        """Put the panes of the page on the screen. A wide screen has more panes of the overview."""
        overview = OVERVIEW_WIDE if self._app.size.width >= WIDE else OVERVIEW
        overview = (LAB, *overview) if self._with_lab else overview
        shown = overview if self.page is None else (self.page,)
        panes = self.screen.query_one("#panes")
        panes.set_class(self._with_lab, "lab")
        panes.set_class(self.page is None, "overview")
        panes.set_class(self.page is not None, "one")
        for pane in self.panes:
            pane.display = pane.NAME in shown
        for earlier, later in pairwise(shown):
            panes.move_child(panes.query_one(f"#{later}"), after=panes.query_one(f"#{earlier}"))
        focused = self.screen.focused
        if focused is None or not focused.display:
            self.screen.query_one(f"#{'code' if 'code' in shown else shown[0]}").focus()
        self.screen.query_one("#tabs", Static).update(self.tab_line())
        self.refresh_panes()

    def refresh_panes(self) -> None:
        """Remake the views of all visible panes."""
        wishes = {pane.NAME: pane.wish() for pane in self.panes if pane.display}
        self.session.wishes = wishes | {Strip.NAME: self._strip.wish()}
        self.session.look()

    def show_pane(self, name: str) -> Pane:
        """Show and focus a pane; show it alone unless it is already visible."""
        found = self.screen.query_one(f"#{name}", Pane)
        if not found.display:
            self.page = name
            self.arrange()
        found.focus()
        self.refresh_panes()
        return found

    def show_alone(self, name: str) -> None:
        """Show one pane alone."""
        self.page = name
        self.arrange()
        self.screen.query_one(f"#{name}").focus()

    @property
    def sight(self) -> Sight:
        """The currently displayed things."""
        pane = self.pane
        return Sight(self.page, pane.NAME, pane.cursor, self.find(CodePane).address, self.find(BytesPane).address)

    def restore(self, sight: Sight) -> None:
        """Restore an earlier display."""
        self.page = sight.page
        self.find(CodePane).address, self.find(BytesPane).address = sight.code, sight.memory
        pane = self.screen.query_one(f"#{sight.pane}", Pane)
        pane.return_to = sight.cursor
        self.arrange()
        pane.focus()

    def show_overview(self) -> None:
        """Show the most important panes side by side."""
        self.page = None
        self.arrange()

    def tab_line(self) -> str:
        """Return the line of tabs. Each one is a link to its page."""
        tabs = [("overview", "1", "All", self.page is None)]
        tabs += [(f"pane('{pane.NAME}')", pane.KEY, pane.TAB, self.page == pane.NAME) for pane in PANES]
        if self._with_lab:
            tabs.append((f"pane('{TaskPane.NAME}')", TaskPane.KEY, TaskPane.TAB, self.page == TaskPane.NAME))
        return " ".join(
            f"[@click=app.{action}]{'[b reverse]' if on else '[not underline]'}{key}{words}[/][/]"
            for action, key, words, on in tabs
        )

    # Called by the actions

    def ask(self, what: str, job: Job) -> None:
        """Make the session's thread do a job, called `what` in messages."""
        self.session.do(what, self.keeping(what, job))

    def ask_quietly(self, job: Job) -> None:
        """Make the session's thread do a short job that does not change the message."""
        self.session.do("", job)

    def ask_user(self, screen: Screen[_Answer], answered: Callable[[_Answer | None], None]) -> None:
        """Open a screen with a question, and call `answered` with the answer."""
        self._app.push_screen(screen, answered)

    @property
    def asks_user(self) -> bool:
        """True if a screen is open over the panes."""
        return len(self._app.screen_stack) > 1

    def call_later(self, action: Callable[..., object], *arguments: object) -> None:
        """Call a function in the app's thread. Any thread may call this."""
        self._app.call_later(action, *arguments)

    def call_in(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call a function after some seconds, unless the timer is stopped."""
        return self._app.set_timer(seconds, action)

    @property
    def can_leave_terminal(self) -> bool:
        """True if there is a shell to return to; a browser has none."""
        driver = self._app._driver
        return driver is not None and driver.can_suspend

    @property
    def is_open(self) -> bool:
        """True if there is a screen; there is none while the app starts and ends."""
        return bool(self._app.screen_stack)

    def say(self, words: str, *, failed: bool = False) -> None:
        """Show a message in the bottom line; errors are marked."""
        self._write("said", f"! {words}" if failed else words)

    @property
    def _strip(self) -> Strip:
        return self.screen.query_one(Strip)

    def _show_status(self, standing: Standing) -> None:
        line = f"{standing.ring_text} {printable(standing.text)}"
        if self._lines.get("status") != line:
            self._lines["status"] = line
            ring = STYLES[Meaning.RING_3 if standing.ring else Meaning.RING_0]
            text = Text.assemble((f" {standing.ring_text} ", ring), f" {printable(standing.text)}")
            self.screen.query_one("#status", Static).update(text, layout=False)

    def show_keys(self, words: str) -> None:
        """Show the footer."""
        self._write("keys", words)

    def _write(self, name: str, line: str) -> None:
        """Show a line, unless it is already shown. Names from a payload or image are shown only as text."""
        line = printable(line)
        if self._lines.get(name) != line:
            self._lines[name] = line
            self.screen.query_one(f"#{name}", Static).update(line, layout=False)

    def show(self, update: Update) -> None:
        """Show an update from the session's thread."""
        if not self.screen.query("#said"):
            return  # the screen is closing
        if isinstance(update, Broken):
            self.broken = update.error
            self._app.exit(return_code=1)
        elif isinstance(update, Working):
            reached = " ..." if update.at_ns is None else f": {update.at_ns:,} ns reached"
            self.say(f"{update.what}{reached}; Escape cancels")
        else:
            self._show_seen(update)

    def _show_seen(self, seen: Seen) -> None:
        if self.seen is None:
            gc.freeze()  # these objects stay alive, and each garbage collection over them would delay a step by 70 ms
        is_first = self.seen is None
        moved = self.seen is None or seen.standing.position != self.seen.standing.position
        self.seen = seen
        for pane in self.panes:
            if pane.NAME in seen.views:
                pane.show(seen.views[pane.NAME], moved=moved)
        self._strip.show(seen.views[Strip.NAME])
        self._show_status(seen.standing)
        self._write("phase_line", _phase_line(seen.standing.phases, seen.standing.activity))
        if is_first:
            self.say(self._welcome or (WELCOME if seen.standing.phases else WELCOME_KERNEL))
        elif not seen.meanwhile:
            self.say(seen.said or "", failed=seen.failed)
        self.answered += 1


def _phase_line(marks: str, activity: str) -> str:
    """Return the phases, each a link to the position at which its target state is reached, and the current activity."""
    clicks = [f"[@click=app.to_phase('{mark[1:]}')][not underline]{mark}[/][/]" for mark in marks.split()]
    return "  ".join([" ".join(clicks), activity]).rstrip()
