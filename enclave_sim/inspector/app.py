"""The inspector: its screen and all its keys. Their actions are in `actions/`."""

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
from enclave_sim.inspector.desk import HINTS, WIDE, Desk, Update
from enclave_sim.inspector.model.machine.disassembly import Syntax
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.panes import PANES
from enclave_sim.inspector.panes.guarantees import GuaranteesPane
from enclave_sim.inspector.panes.machine.code import CodePane
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.screens import Page
from enclave_sim.inspector.session.session_thread import Opener
from enclave_sim.inspector.session.verification_thread import Verifying


class Inspector(App[None]):
    """The application.

    Args:
        opener: Makes the run, in the session's thread.
        syntax: The syntax of assembly.
    """

    CSS_PATH = "inspector.tcss"
    TITLE = "Enclave Sim"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(m.key, f"move('{m.name}')", m.words, show=False) for m in MOVEMENTS),
        Binding("1", "overview", "overview", show=False),
        *(Binding(pane.KEY, f"pane('{pane.NAME}')", pane.TITLE, show=False) for pane in PANES),
        Binding("escape", "cancel", "cancel what is running; else show the overview", show=False),
        Binding("question_mark", "help", "help on the pane", show=False),
        Binding("q", "quit", "quit", show=False),
        Binding("g", "goto", "go to an event, address, symbol, line or time", show=False),
        Binding("G", "goto(True)", "go back to one", show=False),
        Binding("a", "show_at", "show an address or symbol, without going there", show=False),
        Binding("b", "breakpoint", "set or remove a breakpoint", show=False),
        Binding("x", "conditional", "set a breakpoint with a condition", show=False),
        Binding("w", "watchpoint", "set a watchpoint", show=False),
        Binding("B", "points", "list breakpoints and watchpoints", show=False),
        Binding("W", "writer", "find the last write to the row", show=False),
        Binding("r", "run_here", "run to the row's address or event", show=False),
        Binding("R", "run_here(True)", "run back to it", show=False),
        Binding("slash", "search", "search in the pane", show=False),
        Binding("n", "search_next(1)", "next match", show=False),
        Binding("N", "search_next(-1)", "previous match", show=False),
        Binding("f", "filter", "filter the events", show=False),
        Binding("m", "mark", "mark this moment", show=False),
        Binding("M", "marks", "go to a marked moment", show=False),
    ]

    class Updated(Message):
        """An update from the session's thread."""

        def __init__(self, update: Update) -> None:
            super().__init__()
            self.update = update

    def __init__(self, opener: Opener, syntax: Syntax = Syntax.INTEL) -> None:
        super().__init__()
        self._syntax = syntax
        self.desk = Desk(self, opener, self._notify)
        self.navigation = Navigation(self.desk)
        self.breakpoints = Breakpoints(self.desk)
        self.text_search = TextSearch(self.desk)
        self.queries = Queries(self.desk)

    def _notify(self, update: Update) -> None:
        """Post an update to the app's thread. The session's thread calls this."""
        self.post_message(self.Updated(update))

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
        """Show the overview, and start the session."""
        self.desk.find(CodePane).syntax = self._syntax
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

    # Messages of the session's thread and of the panes

    def on_inspector_updated(self, message: Updated) -> None:
        """Show an update from the session's thread."""
        self.queries.wait_for_idleness()
        self.desk.show(message.update)

    def on_pane_asks(self) -> None:
        """Make the panes anew, since one of them is to show something else."""
        self.desk.refresh_panes()

    def on_pane_followed(self, message: Pane.Followed) -> None:
        """Go to the target of a row."""
        self.navigation.follow(message.pane, message.target)

    def on_bytes_pane_moved(self) -> None:
        """Wait for idleness again, since another row is under the cursor."""
        self.queries.wait_for_idleness()

    def on_guarantees_pane_verifies(self) -> None:
        """Begin a verification of this run's scenario."""

        def job(moment: Moment) -> str:
            scenario = moment.opened.scenario
            if scenario is None:
                raise ConfigurationError("only an enclave has guarantees; this is a bare kernel")
            self.call_later(self._verify, scenario)
            return "verifying in the background; V cancels it"

        self.desk.ask("verifying", job)

    def _verify(self, scenario: Scenario) -> None:
        self.desk.find(GuaranteesPane).begin(Verifying(scenario))

    # Actions of the keys

    def action_move(self, name: str) -> None:
        """Make a movement in the run."""
        self.navigation.move(name)

    def action_cancel(self) -> None:
        """Cancel what is running; if nothing is, show the overview."""
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
        """Ask for a goal, and go there."""
        self.navigation.ask_goal(back=back)

    def action_to_phase(self, name: str) -> None:
        """Go to where a boot phase reaches its target state."""
        self.navigation.go_to_phase(name)

    def action_run_here(self, back: bool = False) -> None:
        """Run to the address or event of the row."""
        self.navigation.run_here(back=back)

    def action_show_at(self) -> None:
        """Ask for an address to show."""
        self.navigation.ask_address()

    def action_mark(self) -> None:
        """Mark the current position."""
        self.navigation.mark()

    def action_marks(self) -> None:
        """Ask which mark to go to."""
        self.navigation.ask_mark()

    def action_breakpoint(self) -> None:
        """Set or remove a breakpoint."""
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
        """Search for the last write to the row's memory."""
        self.queries.find_writer()

    def action_find_guest(self) -> None:
        """Find the function that the guest is in."""
        self.queries.find_guest()

    def action_search(self) -> None:
        """Ask for a text, and search the pane for it."""
        self.text_search.search()

    def action_search_next(self, direction: int) -> None:
        """Go to the next match, or the previous one."""
        self.text_search.search_next(direction)

    def action_filter(self) -> None:
        """Ask for a filter of the events."""
        self.text_search.filter_events()

    def action_help(self) -> None:
        """Show the help of the pane, and all keys."""
        pane = self.desk.pane
        keys = "\n".join(f"{_key_text(b.key):>3}  {b.description}" for b in self._all_bindings())
        self.push_screen(Page(f"{pane.KEY} {pane.TITLE}", f"{pane.HELP}\n\nKeys everywhere\n{keys}"))

    def _all_bindings(self) -> list[Binding]:
        return [binding for binding in self.BINDINGS if isinstance(binding, Binding)]

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Yield the commands of the palette: all actions of the keys, and those of Textual."""
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
