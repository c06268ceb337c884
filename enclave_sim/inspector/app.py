"""The inspector: all its keys."""

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.inspector.actions.breakpoints import Pointing
from enclave_sim.inspector.actions.navigation import Going
from enclave_sim.inspector.actions.queries import Asking
from enclave_sim.inspector.actions.steps import BY_NAME, MOVEMENTS
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.panes import PANES
from enclave_sim.inspector.panes.guarantees import GuaranteesPane
from enclave_sim.inspector.screens import Page
from enclave_sim.inspector.session.session_thread import moved
from enclave_sim.inspector.session.verification_thread import Verifying


class Inspector(Going, Pointing, Asking):
    """The whole program."""

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

    def action_move(self, name: str) -> None:
        """Go through the run."""
        movement = BY_NAME[name]
        self.ask(movement.words.partition(":")[0], moved(movement.go))

    def action_cancel(self) -> None:
        """Cancel what goes on; else back to the overview."""
        if self.session.busy:
            self.session.cancel()
        elif self.page is not None:
            self.action_overview()

    def on_guarantees_pane_verifies(self) -> None:
        """Begin a verification of what this run was made from."""

        def job(moment: Moment) -> str:
            scenario = moment.opened.scenario
            if scenario is None:
                raise ConfigurationError("only an enclave has guarantees; this is a bare kernel")
            self.call_later(self._verify, scenario)
            return "verifying in the background; V cancels it"

        self.ask("verifying", job)

    def _verify(self, scenario: Scenario) -> None:
        self.screen_stack[0].query_one(GuaranteesPane).begin(Verifying(scenario))

    def action_help(self) -> None:
        """What the pane shows, and all keys."""
        pane = self.pane
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
