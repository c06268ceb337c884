"""The desk: the panes on the screen, and the session's thread that makes what they show.

The actions of the keys are handed the desk, and reach the app, its screens and the run through it alone.
"""

import gc
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

from textual.app import App
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.panes import OVERVIEW, OVERVIEW_WIDE, PANES
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.session.session_thread import Broken, Job, Opener, Seen, SessionThread, Working
from enclave_sim.recording.text import printable

WIDE = 150
"""Columns from which on the overview has more panes."""
HINTS = "s/S step  o/O over  c/C continue  p/P phase  g goto  b break  1-= panes  ? help  ^p all"
_TABS = {
    "phases": "Phase", "registers": "Regs", "code": "Code", "guest": "Guest", "stack": "Stack", "memory": "Mem",
    "bytes": "Bytes", "tables": "Tables", "devices": "Dev", "events": "Log", "guarantees": "Proof",
}  # fmt: skip
Told = Seen | Working | Broken
"""What the session's thread has to say."""
_Answer = TypeVar("_Answer")
_Pane = TypeVar("_Pane", bound=Pane)


class Desk:
    """What is on the first screen of `app`. `opener` makes the run in the session's own thread, which calls `tell`."""

    def __init__(self, app: App[None], opener: Opener, tell: Callable[[Told], None]) -> None:
        self._app = app
        self.session = SessionThread(opener, tell)
        self.page: str | None = None
        """The pane that is alone, or None for the overview."""
        self.seen: Seen | None = None
        """What was last told."""
        self.broken: BaseException | None = None
        """Why the session could not begin, or not go on."""
        self._lines: dict[str, str] = {}
        """By widget: what stands there."""
        self.answered = 0
        """How often the session's thread has shown how things stand."""

    @property
    def program(self) -> Program:
        """What the processor executes in ring 0. Raises ConfigurationError before there is a machine."""
        if self.seen is None:
            raise ConfigurationError("the machine is not there yet")
        return self.seen.program

    # Panes

    @property
    def screen(self) -> Screen[Any]:
        """The screen of the panes, whatever has opened over it."""
        return self._app.screen_stack[0]

    @property
    def panes(self) -> list[Pane]:
        """All there are."""
        return list(self.screen.query(Pane))

    @property
    def pane(self) -> Pane:
        """The one with the focus, or the first in sight."""
        focused = self.screen.focused
        return focused if isinstance(focused, Pane) else next(pane for pane in self.panes if pane.display)

    def find(self, kind: type[_Pane]) -> _Pane:
        """Find the one pane of a kind."""
        return self.screen.query_one(kind)

    def arrange(self) -> None:
        """Put the panes of the page on the screen, as many of the overview as there is room for."""
        shown = (OVERVIEW_WIDE if self._app.size.width >= WIDE else OVERVIEW) if self.page is None else (self.page,)
        panes = self.screen.query_one("#panes")
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
        """Have what is in sight made anew."""
        self.session.wishes = {pane.NAME: pane.wish() for pane in self.panes if pane.display}
        self.session.look()

    def show_pane(self, name: str) -> Pane:
        """Show a pane, alone unless it is in sight already. It gets the focus."""
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

    def show_overview(self) -> None:
        """Show the most important panes side by side."""
        self.page = None
        self.arrange()

    def tab_line(self) -> str:
        """Write the line of tabs, each of which is a link to its page."""
        tabs = [("overview", "1", "All", self.page is None)]
        tabs += [(f"pane('{pane.NAME}')", pane.KEY, _TABS[pane.NAME], self.page == pane.NAME) for pane in PANES]
        return " ".join(
            f"[@click=app.{action}]{'[b reverse]' if on else '[not underline]'}{key}{words}[/][/]"
            for action, key, words, on in tabs
        )

    # What the actions ask for

    def ask(self, what: str, job: Job) -> None:
        """Have something done by the session's thread."""
        self.session.do(what, job)

    def ask_user(self, screen: Screen[_Answer], answered: Callable[[_Answer | None], None]) -> None:
        """Open a screen with a question; `answered` gets the answer."""
        self._app.push_screen(screen, answered)

    @property
    def asks_user(self) -> bool:
        """Whether a screen is open over the panes."""
        return len(self._app.screen_stack) > 1

    def call_later(self, action: Callable[..., object], *arguments: object) -> None:
        """Have something done in the thread of the screen. May be called from any thread."""
        self._app.call_later(action, *arguments)

    def call_in(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Have something done after a while, unless the timer is stopped."""
        return self._app.set_timer(seconds, action)

    @property
    def is_open(self) -> bool:
        """Whether there is a screen; there is none while the app begins and ends."""
        return bool(self._app.screen_stack)

    def say(self, words: str, *, failed: bool = False) -> None:
        """Show a line at the bottom."""
        self._write("said", f"! {words}" if failed else words)

    def _write(self, name: str, line: str) -> None:
        """Show a line, unless it stands there already. What a payload or an image calls things is text, and no more."""
        line = printable(line)
        if self._lines.get(name) != line:
            self._lines[name] = line
            self.screen.query_one(f"#{name}", Static).update(line, layout=False)

    def show(self, told: Told) -> None:
        """Show what the session's thread has to say."""
        if not self.screen.query("#said"):
            return  # the screen is being taken down
        if isinstance(told, Broken):
            self.broken = told.error
            self._app.exit(return_code=1)
        elif isinstance(told, Working):
            self.say(f"{told.what}: {told.at_ns:,} ns reached; Escape cancels")
        else:
            self._show_seen(told)

    def _show_seen(self, told: Seen) -> None:
        if self.seen is None:
            gc.freeze()  # what is here stays: each search for garbage in it would hold up a step for 70 ms
        moved = self.seen is None or told.standing.position != self.seen.standing.position
        self.seen = told
        for pane in self.panes:
            if pane.NAME in told.views:
                pane.show(told.views[pane.NAME], moved=moved)
        self._write("status", told.standing.text)
        self._write("phase_line", _phase_line(told.standing.phases, told.standing.activity))
        if not told.meanwhile:
            self.say(HINTS if told.said is None else told.said, failed=told.failed)
        self.answered += 1


def _phase_line(marks: str, activity: str) -> str:
    """Return the phases, each with a click that goes to where its target state is reached, and what runs now."""
    clicks = [f"[@click=app.to_phase('{mark[1:]}')][not underline]{mark}[/][/]" for mark in marks.split()]
    return "  ".join([" ".join(clicks), activity]).rstrip()
