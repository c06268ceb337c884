"""The inspector: its screen and all its keys. What they do is in `actions/`."""

import gc
from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.inspector.actions.breakpoints import Breakpoints
from enclave_sim.inspector.actions.navigation import Navigation
from enclave_sim.inspector.actions.queries import Queries
from enclave_sim.inspector.actions.steps import MOVEMENTS
from enclave_sim.inspector.actions.text_search import TextSearch
from enclave_sim.inspector.desk import HINTS, WIDE, Desk, Told
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.panes import PANES
from enclave_sim.inspector.panes.guarantees import GuaranteesPane
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.screens import Page
from enclave_sim.inspector.session.session_thread import Opener
from enclave_sim.inspector.session.verification_thread import Verifying


class Inspector(App[None]):
    """The whole program. `opener` makes the run in the session's own thread."""

    CSS_PATH = "inspector.tcss"
    TITLE = "Enclave Sim"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(m.key, f"move('{m.name}')", m.words, show=False) for m in MOVEMENTS),
        Binding("1", "overview", "overview", show=False),
        *(Binding(pane.KEY, f"pane('{pane.NAME}')", pane.TITLE, show=False) for pane in PANES),
        Binding("escape", "cancel", "cancel what goes on; else the overview", show=False),
        Binding("question_mark", "help", "help on the pane", show=False),
        Binding("q", "quit", "quit", show=False),
        Binding("g", "goto", "go to an event, address, symbol, line or time", show=False),
        Binding("G", "goto(True)", "go back to one", show=False),
        Binding("a", "show_at", "show an address or symbol, without going there", show=False),
        Binding("b", "breakpoint", "set or take away a breakpoint", show=False),
        Binding("x", "conditional", "set a breakpoint with a condition", show=False),
        Binding("w", "watchpoint", "set a watchpoint", show=False),
        Binding("B", "points", "list breakpoints and watchpoints", show=False),
        Binding("W", "writer", "ask who wrote it last", show=False),
        Binding("r", "run_here", "run to the row's address or event", show=False),
        Binding("R", "run_here(True)", "run back to it", show=False),
        Binding("slash", "search", "search in the pane", show=False),
        Binding("n", "search_next(1)", "next match", show=False),
        Binding("N", "search_next(-1)", "previous match", show=False),
        Binding("f", "filter", "filter the events", show=False),
        Binding("m", "mark", "mark this moment", show=False),
        Binding("M", "marks", "go to a marked moment", show=False),
    ]

    class Heard(Message):
        """The session's thread has something to say."""

        def __init__(self, what: Told) -> None:
            super().__init__()
            self.what = what

    def __init__(self, opener: Opener) -> None:
        super().__init__()
        self.desk = Desk(self, opener, self._tell)
        self.navigation = Navigation(self.desk)
        self.breakpoints = Breakpoints(self.desk)
        self.text_search = TextSearch(self.desk)
        self.queries = Queries(self.desk)

    def _tell(self, what: Told) -> None:
        """Called by the session's thread."""
        self.post_message(self.Heard(what))

    # The screen

    def compose(self) -> ComposeResult:
        """See `App`."""
        yield Static("booting", id="status", markup=False)
        yield Static("", id="phase_line")
        yield Static(self.desk.tab_line(), id="tabs")
        with Container(id="panes"):
            for pane in PANES:
                yield pane()
        yield Static(HINTS, id="said", markup=False)

    def on_mount(self) -> None:
        """Begin with the overview."""
        self.desk.arrange()
        self.desk.session.start()
        self.query_one("#code").focus()

    def on_unmount(self) -> None:
        """End the session with its screen."""
        self.desk.session.close()
        gc.unfreeze()

    def on_resize(self) -> None:
        """Show more panes on a wider screen."""
        self.call_after_refresh(self.desk.arrange)

    # What the session's thread and the panes say

    def on_inspector_heard(self, message: Heard) -> None:
        """Show what the session's thread has to say."""
        self.queries.wait_for_idleness()
        self.desk.show(message.what)

    def on_pane_asks(self) -> None:
        """A pane wants to show something else."""
        self.desk.refresh_panes()

    def on_pane_followed(self, message: Pane.Followed) -> None:
        """Go where a row points."""
        self.navigation.follow(message.pane, message.target)

    def on_bytes_pane_moved(self) -> None:
        """Another row is under the cursor."""
        self.queries.wait_for_idleness()

    def on_guarantees_pane_verifies(self) -> None:
        """Begin a verification of what this run was made from."""

        def job(moment: Moment) -> str:
            scenario = moment.opened.scenario
            if scenario is None:
                raise ConfigurationError("only an enclave has guarantees; this is a bare kernel")
            self.call_later(self._verify, scenario)
            return "verifying in the background; V cancels it"

        self.desk.ask("verifying", job)

    def _verify(self, scenario: Scenario) -> None:
        self.desk.find(GuaranteesPane).begin(Verifying(scenario))

    # What the keys do

    def action_move(self, name: str) -> None:
        """Go through the run."""
        self.navigation.move(name)

    def action_cancel(self) -> None:
        """Cancel what goes on; else go back to the overview."""
        if self.desk.session.busy:
            self.desk.session.cancel()
        elif self.desk.page is not None:
            self.desk.show_overview()

    def action_overview(self) -> None:
        """Show the most important panes side by side."""
        self.desk.show_overview()

    def action_pane(self, name: str) -> None:
        """Show one pane alone."""
        self.desk.show_alone(name)

    def action_goto(self, back: bool = False) -> None:
        """Ask where to go."""
        self.navigation.ask_goal(back=back)

    def action_to_phase(self, name: str) -> None:
        """Go to where a boot phase reaches its target state."""
        self.navigation.go_to_phase(name)

    def action_run_here(self, back: bool = False) -> None:
        """Run to what the row stands for."""
        self.navigation.run_here(back=back)

    def action_show_at(self) -> None:
        """Ask for an address to show."""
        self.navigation.ask_address()

    def action_mark(self) -> None:
        """Mark this moment."""
        self.navigation.mark()

    def action_marks(self) -> None:
        """Ask which mark to go to."""
        self.navigation.ask_mark()

    def action_breakpoint(self) -> None:
        """Set or take away a breakpoint."""
        self.breakpoints.toggle()

    def action_conditional(self) -> None:
        """Ask for a breakpoint with a condition."""
        self.breakpoints.ask_condition()

    def action_watchpoint(self) -> None:
        """Ask for a watchpoint."""
        self.breakpoints.ask_watchpoint()

    def action_points(self) -> None:
        """List breakpoints and watchpoints."""
        self.breakpoints.show_list()

    def action_writer(self) -> None:
        """Ask who wrote the row's memory last."""
        self.queries.find_writer()

    def action_find_guest(self) -> None:
        """Ask which function the guest is in."""
        self.queries.find_guest()

    def action_search(self) -> None:
        """Ask what to look for in the pane."""
        self.text_search.search()

    def action_search_next(self, direction: int) -> None:
        """Go to the next match, or the previous one."""
        self.text_search.search_next(direction)

    def action_filter(self) -> None:
        """Ask which events to show."""
        self.text_search.filter_events()

    def action_help(self) -> None:
        """Show what the pane is for, and all keys."""
        pane = self.desk.pane
        keys = "\n".join(f"{_key_text(b.key):>3}  {b.description}" for b in self._all_bindings())
        self.push_screen(Page(f"{pane.KEY} {pane.TITLE}", f"{pane.HELP}\n\nKeys everywhere\n{keys}"))

    def _all_bindings(self) -> list[Binding]:
        return [binding for binding in self.BINDINGS if isinstance(binding, Binding)]

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The command palette has all that keys do, and what Textual brings."""
        for binding in self._all_bindings():
            words = f"{binding.description} ({_key_text(binding.key)})"
            yield SystemCommand(words, "", partial(self._act, binding.action))
        yield from super().get_system_commands(screen)

    async def _act(self, action: str) -> None:
        await self.run_action(action)


_KEY_NAMES = {
    "right_square_bracket": "]", "left_square_bracket": "[", "question_mark": "?", "slash": "/", "escape": "Esc",
}  # fmt: skip


def _key_text(key: str) -> str:
    return _KEY_NAMES.get(key, key)
