"""Actions that go to a typed goal, or to the target of a row."""

from enclave_sim.errors import ConfigurationError
from enclave_sim.events import name_of_kind
from enclave_sim.inspector.actions import goals
from enclave_sim.inspector.actions.history import History, moved
from enclave_sim.inspector.actions.steps import BY_NAME, Kind
from enclave_sim.inspector.desk import Desk
from enclave_sim.inspector.model.rows import Target
from enclave_sim.inspector.panes.machine.bytes import BytesPane
from enclave_sim.inspector.panes.machine.code import CodePane
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.screens import Question
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.specification import Phase
from enclave_sim.time_travel import Position
from machine.events import Event


class Navigation:
    """The keys that go to another position or show another place."""

    def __init__(self, desk: Desk, history: History) -> None:
        self._desk = desk
        self._history = history

    def move(self, name: str) -> None:
        """Make one of the movements in `steps`."""
        movement = BY_NAME[name]
        what = movement.words.partition(":")[0]
        if movement.kind in (Kind.STEP, Kind.NEAR):
            self._desk.ask(what, moved(movement.go, searches=movement.kind is Kind.NEAR))
        else:
            self._history.jump(what, movement.go, searches=movement.kind is Kind.SEARCH)

    # To a typed goal

    def ask_goal(self, *, back: bool) -> None:
        """Ask for a goal, and go there."""

        def answered(text: str | None) -> None:
            if text:
                self.go_to(text, back=back)

        self._desk.ask_user(Question("Go back to" if back else "Go to", goals.HELP), answered)

    def go_to(self, text: str, *, back: bool = False) -> None:
        """Go to the typed goal, or show why that is not possible."""
        try:
            goal = goals.read_goal(text, self._desk.program)
        except ConfigurationError as error:
            self._desk.say(str(error), failed=True)
            return
        what = "to the link" if goal.link is not None else f"to {text}"
        self._history.jump(what, lambda run: goals.go(run, goal, back=back), searches=True)

    def ask_address(self) -> None:
        """Ask for an address to show."""

        def answered(text: str | None) -> None:
            if not text:
                return
            try:
                address = goals.read_address(text, self._desk.program)
                self._show_memory(address, code=isinstance(self._desk.pane, CodePane))
            except ConfigurationError as error:
                self._desk.say(str(error), failed=True)

        asked = "Show the bytes, or in the code pane the code, at"
        self._desk.ask_user(Question(asked, "heap+0x100, 0x130000, gdt"), answered)

    def _show_memory(self, address: int, *, code: bool = False) -> None:
        def change() -> None:
            if code:
                self._desk.find(CodePane).address = address
            else:
                self._desk.find(BytesPane).address = address
            self._desk.show_pane(CodePane.NAME if code else BytesPane.NAME)

        self._history.show(change)

    def go_to_phase(self, name: str) -> None:
        """Go where a boot phase reaches its target state, or to the end of annihilation, in either direction."""
        kind = "phase_completed" if name in Phase.__members__ else "annihilation_step"

        def wanted(event: Event) -> bool:
            return name_of_kind(event) == kind and name in (getattr(event, "phase", name), "ANNIHILATION", "DORMANT")

        def go(run: InspectedRun) -> Position:
            known = (event.seq for event in run.known if wanted(event))
            return run.go_to_event(seq) if (seq := next(known, None)) is not None else run.next_event(wanted)

        self._history.jump(f"to {name}", go, searches=True)

    def seek(self, seq: int, *, drags: bool) -> None:
        """Go to an event on the strip. While the mouse is dragged, requests that come too fast are skipped."""
        goal = goals.Goal(seq=seq)
        if not drags:
            self._history.jump(f"to event {seq}", lambda run: goals.go(run, goal, back=False), searches=True)
        elif not self._desk.session.waiting:
            self._desk.ask(f"to event {seq}", moved(lambda run: goals.go(run, goal, back=False), searches=True))

    # To the target of a row

    def follow(self, pane: Pane, target: Target) -> None:
        """Go to the target of a row: an event, code or memory, or the pane that shows more."""
        if target.event is not None:
            seq = target.event
            self._history.jump(f"to event {seq}", lambda run: run.go_to_event(seq))
        elif target.pane is not None:
            name = target.pane
            self._history.show(lambda: self._desk.show_pane(name))
        elif (code := _code_shown(pane, target)) is not None:
            self._show_memory(code, code=True)
        elif target.memory is not None:
            self._show_memory(target.memory)
        else:
            self._desk.say("this row leads nowhere", failed=True)

    def run_here(self, *, back: bool) -> None:
        """Run to the address or event of the row."""
        target = self._desk.pane.target
        if target.event is not None:
            goal = goals.Goal(seq=target.event)
        elif target.code is not None:
            goal = goals.Goal(address=target.code)
        elif target.at_ns is not None:
            goal = goals.Goal(at_ns=target.at_ns)
        else:
            self._desk.say("this row is not a place in the run", failed=True)
            return
        self._history.jump("running to the row", lambda run: goals.go(run, goal, back=back), searches=True)


def leads_on(pane: Pane, target: Target) -> bool:
    """Return whether a row of a pane has a target to go to."""
    goals = (target.event, target.pane, target.memory, _code_shown(pane, target))
    return any(one is not None for one in goals)


def _code_shown(pane: Pane, target: Target) -> int | None:
    """Return the address that Enter shows as code; the code pane already shows an instruction itself."""
    return target.jump if target.jump is not None or isinstance(pane, CodePane) else target.code
