"""The desk: the panes on the screen, and the session's thread behind them."""

import gc
from itertools import pairwise

from textual.app import App, ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widgets import Static

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.panes import OVERVIEW, OVERVIEW_WIDE, PANES
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.session.session_thread import Broken, Job, Opener, Seen, SessionThread, Working
from enclave_sim.recording.text import printable

_WIDE = 150
_HINTS = "s/S step  o/O over  c/C continue  p/P phase  g goto  b break  1-= panes  ? help  ^p all"
_TABS = {
    "phases": "Phase", "registers": "Regs", "code": "Code", "guest": "Guest", "stack": "Stack", "memory": "Mem",
    "bytes": "Bytes", "tables": "Tables", "devices": "Dev", "events": "Log", "guarantees": "Proof",
}  # fmt: skip


class Desk(App[None]):
    """`opener` makes the run in the session's own thread."""

    CSS_PATH = "inspector.tcss"
    TITLE = "Enclave Sim"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]

    class Told(Message):
        """The session's thread has something to say."""

        def __init__(self, what: Seen | Working | Broken) -> None:
            super().__init__()
            self.what = what

    def __init__(self, opener: Opener) -> None:
        super().__init__()
        self.session = SessionThread(opener, self._tell)
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

    def _tell(self, what: Seen | Working | Broken) -> None:
        """Called by the session's thread."""
        self.post_message(self.Told(what))

    def compose(self) -> ComposeResult:
        """See `App`."""
        yield Static("booting", id="status", markup=False)
        yield Static("", id="phase_line")
        yield Static(self._tab_line(), id="tabs")
        with Container(id="panes"):
            for pane in PANES:
                yield pane()
        yield Static(_HINTS, id="said", markup=False)

    def on_mount(self) -> None:
        """Begin with the overview."""
        self._arrange()
        self.session.start()
        self.query_one("#code").focus()

    def on_unmount(self) -> None:
        """The session ends with its screen."""
        self.session.close()
        gc.unfreeze()

    def on_resize(self) -> None:
        """A wider screen has more panes."""
        self.call_after_refresh(self._arrange)

    @property
    def program(self) -> Program:
        """What the processor executes in ring 0. Raises ConfigurationError before there is a machine."""
        if self.seen is None:
            raise ConfigurationError("the machine is not there yet")
        return self.seen.program

    # Panes

    @property
    def panes(self) -> list[Pane]:
        """All there are."""
        return list(self.screen_stack[0].query(Pane))

    @property
    def pane(self) -> Pane:
        """The one with the focus, or the first in sight."""
        focused = self.screen_stack[0].focused
        return focused if isinstance(focused, Pane) else next(pane for pane in self.panes if pane.display)

    def _arrange(self) -> None:
        wide = self.size.width >= _WIDE
        shown = (OVERVIEW_WIDE if wide else OVERVIEW) if self.page is None else (self.page,)
        panes = self.screen_stack[0].query_one("#panes")
        panes.set_class(self.page is None, "overview")
        panes.set_class(self.page is not None, "one")
        for pane in self.panes:
            pane.display = pane.NAME in shown
        for earlier, later in pairwise(shown):
            panes.move_child(panes.query_one(f"#{later}"), after=panes.query_one(f"#{earlier}"))
        focused = self.screen_stack[0].focused
        if focused is None or not focused.display:
            self.screen_stack[0].query_one(f"#{'code' if 'code' in shown else shown[0]}").focus()
        self.screen_stack[0].query_one("#tabs", Static).update(self._tab_line())
        self.refresh_panes()

    def refresh_panes(self) -> None:
        """Have what is in sight made anew."""
        self.session.wishes = {pane.NAME: pane.wish() for pane in self.panes if pane.display}
        self.session.look()

    def show_pane(self, name: str) -> Pane:
        """A pane, alone unless it is in sight already. It gets the focus."""
        found = self.screen_stack[0].query_one(f"#{name}", Pane)
        if not found.display:
            self.page = name
            self._arrange()
        found.focus()
        self.refresh_panes()
        return found

    def action_pane(self, name: str) -> None:
        """One pane alone."""
        self.page = name
        self._arrange()
        self.screen_stack[0].query_one(f"#{name}").focus()

    def action_overview(self) -> None:
        """The most important panes side by side."""
        self.page = None
        self._arrange()

    def _tab_line(self) -> str:
        tabs = [("overview", "1", "All", self.page is None)]
        tabs += [(f"pane('{pane.NAME}')", pane.KEY, _TABS[pane.NAME], self.page == pane.NAME) for pane in PANES]
        return " ".join(
            f"[@click=app.{action}]{'[b reverse]' if on else '[not underline]'}{key}{words}[/][/]"
            for action, key, words, on in tabs
        )

    # The session's thread

    def ask(self, what: str, job: Job) -> None:
        """Have something done."""
        self.session.do(what, job)

    def say(self, words: str, *, failed: bool = False) -> None:
        """Show a line at the bottom."""
        self._write("said", f"! {words}" if failed else words)

    def _write(self, name: str, line: str) -> None:
        """Show a line, unless it stands there already. What a payload or an image calls things is text, and no more."""
        line = printable(line)
        if self._lines.get(name) != line:
            self._lines[name] = line
            self.screen_stack[0].query_one(f"#{name}", Static).update(line, layout=False)

    def on_desk_told(self, message: Told) -> None:
        """Show what the session's thread has to say."""
        told = message.what
        if not self.screen_stack[0].query("#said"):
            return  # the screen is being taken down
        if isinstance(told, Broken):
            self.broken = told.error
            self.exit(return_code=1)
            return
        if isinstance(told, Working):
            self.say(f"{told.what}: {told.at_ns:,} ns reached; Escape cancels")
            return
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
            self.say(_HINTS if told.said is None else told.said, failed=told.failed)
        self.answered += 1

    def on_pane_asks(self) -> None:
        """A pane wants to show something else."""
        self.refresh_panes()


def _phase_line(marks: str, activity: str) -> str:
    """Return the phases, each with a click that goes to where its target state is reached, and what runs now."""
    clicks = [f"[@click=app.to_phase('{mark[1:]}')][not underline]{mark}[/][/]" for mark in marks.split()]
    return "  ".join([" ".join(clicks), activity]).rstrip()
