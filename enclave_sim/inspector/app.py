"""The inspector: its screen and all its keys. Their actions are in `actions/`."""

import gc
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.dom import DOMNode
from textual.events import Key
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees.observation import Scenario
from enclave_sim.inspector.actions.bookmarks import Bookmarks
from enclave_sim.inspector.actions.breakpoints import Breakpoints
from enclave_sim.inspector.actions.history import History
from enclave_sim.inspector.actions.keys import COMMON, COMMON_KERNEL, KEYS, Group, key_text
from enclave_sim.inspector.actions.navigation import Navigation
from enclave_sim.inspector.actions.origins import Origins
from enclave_sim.inspector.actions.palette import Palette
from enclave_sim.inspector.actions.queries import Queries
from enclave_sim.inspector.actions.text_search import TextSearch
from enclave_sim.inspector.actions.walk import WalkKeeper
from enclave_sim.inspector.desk import WIDE, Desk, Update
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.strip import LEGEND
from enclave_sim.inspector.model.task import LabTask
from enclave_sim.inspector.panes import PANES
from enclave_sim.inspector.panes.guarantees import GuaranteesPane
from enclave_sim.inspector.panes.machine.code import CodePane
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.panes.strip import Strip
from enclave_sim.inspector.panes.task import TaskPane
from enclave_sim.inspector.screens import Page, Question
from enclave_sim.inspector.syntax import Syntax
from enclave_sim.inspector.threads.session_thread import Opener
from enclave_sim.inspector.threads.verification_thread import Verifying


class Inspector(App[None]):
    """The application.

    Args:
        opener: Makes the run, in the session's thread.
        syntax: The syntax of assembly.
        pane: The name of the pane to show first; empty for the overview.
        welcome: The first message; empty for the usual one.
        bookmarks: The file of bookmarks, or None.
        lab: The lab whose task is shown beside the machine, or None.

    Raises:
        ConfigurationError: There is no such pane, or the file of bookmarks cannot be read.
    """

    CSS_PATH = "inspector.tcss"
    TITLE = "Enclave Sim"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [Binding(one.key, one.action, one.words, show=False) for one in KEYS]

    class Updated(Message):
        """An update from the session's thread."""

        def __init__(self, update: Update) -> None:
            super().__init__()
            self.update = update

    def __init__(
        self,
        opener: Opener,
        syntax: Syntax = Syntax.INTEL,
        *,
        pane: str = "",
        welcome: str = "",
        bookmarks: Path | None = None,
        lab: LabTask | None = None,
    ) -> None:
        super().__init__()
        self._lab = lab
        self._syntax = syntax
        self.desk = Desk(self, opener, self._notify, welcome, with_lab=lab is not None)
        self.desk.page = _page(pane)
        self.history = History(self.desk)
        self.bookmarks = Bookmarks(self.desk, self.history, self.copy_to_clipboard, bookmarks)
        self.walk = WalkKeeper(self.desk)
        self.navigation = Navigation(self.desk, self.history)
        self.breakpoints = Breakpoints(self.desk)
        self.text_search = TextSearch(self.desk, self.history)
        self.queries = Queries(self.desk)
        self.origins = Origins(self.desk, self.history)
        self._palette = Palette(self.desk, self.history, self.bookmarks, self.text_search)

    def _notify(self, update: Update) -> None:
        """Post an update to the app's thread. The session's thread calls this."""
        self.post_message(self.Updated(update))

    # The screen

    def compose(self) -> ComposeResult:
        """See `App`."""
        yield Static("booting", id="status", markup=False)
        yield Static("", id="phase_line")
        yield Strip()
        yield Static(self.desk.tab_line(), id="tabs")
        with Container(id="panes"):
            for pane in PANES:
                yield pane()
            if self._lab is not None:
                yield TaskPane(self._lab)
        yield Static("", id="said", markup=False)
        yield Static("", id="keys", markup=False)

    def on_mount(self) -> None:
        """Show the overview, and start the session."""
        if self._lab is not None:
            self.bind(TaskPane.KEY, f"pane('{TaskPane.NAME}')", description=TaskPane.TITLE, show=False)
        self.app_resume_signal.subscribe(self, lambda _app: self.refresh(layout=True))
        self.desk.find(CodePane).syntax = self._syntax
        self.desk.arrange()
        self.desk.session.start()
        self.query_one(f"#{self.desk.page or 'code'}").focus()

    def on_unmount(self) -> None:
        """End the session with its screen."""
        self.desk.session.close()
        gc.unfreeze()

    def on_resize(self) -> None:
        """Show more panes on a wider screen."""
        self.call_after_refresh(self.desk.arrange)

    def on_descendant_focus(self) -> None:
        """Show the keys of the focused pane."""
        if self.desk.is_open and not self.desk.asks_user:
            pane, seen = self.desk.pane, self.desk.seen
            common = COMMON_KERNEL if seen is not None and seen.standing.engine is None else COMMON
            self.desk.show_keys(f"{pane.TITLE}: {pane.FOOTER}  ? help  | {common}")

    def on_key(self, event: Key) -> None:
        """Give a question what was typed ahead: such keys still reach the pane, which has no use for them."""
        if isinstance(self.screen, Question) and self.screen.take(event):
            event.prevent_default()  # it is not a key of the pane to which the question returns

    # Messages of the session's thread and of the panes

    def on_inspector_updated(self, message: Updated) -> None:
        """Show an update from the session's thread."""
        self.queries.wait_for_idleness()
        is_first = self.desk.seen is None
        self.desk.show(message.update)
        if is_first:
            self.on_descendant_focus()  # now it is known what runs

    def on_pane_asks(self) -> None:
        """Remake the panes, because one of them must show something else."""
        self.desk.refresh_panes()

    def on_task_pane_marked(self, message: TaskPane.Marked) -> None:
        """Mark what the hints name in all other panes."""
        for pane in self.desk.panes:
            if not isinstance(pane, TaskPane):
                pane.mark(message.names)

    def on_pane_followed(self, message: Pane.Followed) -> None:
        """Go to the target of a row."""
        self.navigation.follow(message.pane, message.target)

    def on_strip_sought(self, message: Strip.Sought) -> None:
        """Go to the event that was clicked, or dragged to."""
        self.navigation.seek(message.seq, drags=message.drags)

    def on_bytes_pane_moved(self) -> None:
        """Restart the wait for idleness, because another row is under the cursor."""
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
        """Cancel the running job; if there is none, show the overview."""
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
        """Go to the position at which a boot phase reaches its target state."""
        self.navigation.go_to_phase(name)

    def action_run_here(self, back: bool = False) -> None:
        """Run to the address or event of the row."""
        self.navigation.run_here(back=back)

    def action_show_at(self) -> None:
        """Ask for an address to show."""
        self.navigation.ask_address()

    def action_mark(self) -> None:
        """Mark the current moment."""
        self.bookmarks.mark()

    def action_note(self) -> None:
        """Ask for a note, and mark the current moment with it."""
        self.bookmarks.ask_note()

    def action_link(self) -> None:
        """Copy a link to the current moment."""
        self.bookmarks.copy_link()

    def action_marks(self) -> None:
        """Ask which mark to go to."""
        self.bookmarks.ask_mark()

    def action_notebook(self) -> None:
        """Ask for a file, and save the walk so far as a notebook."""
        self.walk.ask_file()

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

    def action_origins(self) -> None:
        """Find where the value of the row came from."""
        self.origins.find()

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

    def action_history_back(self) -> None:
        """Return to the place before the last jump."""
        self.history.back()

    def action_history_forward(self) -> None:
        """Return to the place left by going back."""
        self.history.forward()

    def action_leave_terminal(self) -> None:
        """Stop the process, and give the terminal back to the shell until it continues."""
        if self.desk.can_leave_terminal:
            self.action_suspend_process()
        else:
            self.desk.say("there is no shell to return to", failed=True)

    def action_help_quit(self) -> None:
        """Cancel the running job, as Escape does, or say how to quit. Textual calls this for Ctrl+C."""
        if self.desk.session.busy:
            self.desk.session.cancel()
        else:
            self.desk.say("q quits the inspector")

    def action_help(self) -> None:
        """Show the help of the pane, and all keys."""
        pane = self.desk.pane
        text = [pane.HELP, "", "In this pane", *(_key_line(one.key, one.description) for one in pane.own_keys())]
        text += ["", "In every pane", *(_key_line(one.key, one.description) for one in Pane.cursor_keys())]
        for group in Group:
            text += ["", group.value, *(_key_line(one.key, one.words) for one in KEYS if one.group is group)]
        text += [_key_line("Tab", "the next pane"), _key_line("Ctrl+P", "all commands, to search among them")]
        text += ["", "The strip along the run", LEGEND, "A click goes there, and dragging goes along."]
        self.push_screen(Page(f"{pane.KEY} {pane.TITLE}", "\n".join(text)))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Yield the palette commands: the actions with an object, of this pane and of all, and two of Textual's."""
        if screen is not self.desk.screen:
            return  # a question is open
        pane = self.desk.pane
        for binding in pane.own_keys():
            if self._palette.offers(binding.action):
                words = f"{pane.TITLE}: {binding.description} ({key_text(binding.key)})"
                yield SystemCommand(words, "", partial(self._act, binding.action, pane))
        for one in KEYS:
            if self._palette.offers(one.action):
                words = f"{one.group.value}: {one.words} ({key_text(one.key)})"
                yield SystemCommand(words, "", partial(self._act, one.action, self))
        yield SystemCommand(f"{Group.INSPECTOR.value}: choose other colours", "", self.action_change_theme)
        yield SystemCommand(f"{Group.INSPECTOR.value}: save a picture of the screen", "", self.deliver_screenshot)

    async def _act(self, action: str, where: DOMNode) -> None:
        await self.run_action(action, where)


def _page(pane: str) -> str | None:
    names = [one.NAME for one in PANES]
    if pane and pane not in names:
        raise ConfigurationError(f"there is no pane {pane!r}; there are {', '.join(names)}")
    return pane or None


def _key_line(key: str, words: str) -> str:
    return f"{key_text(key):>11}  {words}"
