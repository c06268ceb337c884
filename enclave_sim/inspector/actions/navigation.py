"""Going to what one names or points at; looking for text; marks."""

from enclave_sim.errors import ConfigurationError
from enclave_sim.events import name_of_kind
from enclave_sim.inspector.actions import goals
from enclave_sim.inspector.base_app import Desk
from enclave_sim.inspector.model.event_log import event_filter
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.panes.events import EventsPane
from enclave_sim.inspector.panes.machine.bytes import BytesPane
from enclave_sim.inspector.panes.machine.code import CodePane
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.screens import Choice, Question
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.inspector.session.session_thread import moved
from enclave_sim.specification import Phase
from enclave_sim.time_travel import Position
from machine.events import Event

_FILTER_HELP = """kinds of events, a ring transition, a text in quotes; nothing shows all
host_called signal_emitted
3->0 "rip=0x114002\""""
_CHECKPOINT = 1000
"""Rows from one checkpoint of a search to the next."""


class Going(Desk):
    """The keys that lead somewhere."""

    search = ""
    marks: tuple[Position, ...] = ()

    # To what is named

    def action_goto(self, back: bool = False) -> None:
        """Ask where to."""
        asked = "Go back to" if back else "Go to"

        def answered(text: str | None) -> None:
            if text:
                self.go_to(text, back=back)

        self.push_screen(Question(asked, goals.HELP), answered)

    def go_to(self, text: str, *, back: bool = False) -> None:
        """Go to what was typed, or say why not."""
        try:
            goal = goals.read_goal(text, self.program)
        except ConfigurationError as error:
            self.say(str(error), failed=True)
            return
        self.ask(f"to {text}", moved(lambda run: goals.go(run, goal, back=back)))

    def action_show_at(self) -> None:
        """Ask for an address to show."""

        def answered(text: str | None) -> None:
            if not text:
                return
            try:
                self.show_memory(goals.read_address(text, self.program), code=isinstance(self.pane, CodePane))
            except ConfigurationError as error:
                self.say(str(error), failed=True)

        self.push_screen(
            Question("Show the bytes, or in the code pane the code, at", "heap+0x100, 0x115000, gdt"), answered
        )

    def show_memory(self, address: int, *, code: bool = False) -> None:
        """Show what is at an address."""
        if code:
            self.screen_stack[0].query_one(CodePane).address = address
            self.show_pane("code")
        else:
            self.screen_stack[0].query_one(BytesPane).address = address
            self.show_pane("bytes")

    def action_to_phase(self, name: str) -> None:
        """Go to where a boot phase reaches its target state, or annihilation is over, forwards or backwards."""
        kind = "phase_completed" if name in Phase.__members__ else "annihilation_step"

        def wanted(event: Event) -> bool:
            return name_of_kind(event) == kind and name in (getattr(event, "phase", name), "ANNIHILATION", "DORMANT")

        def go(run: InspectedRun) -> Position:
            known = (event.seq for event in run.known if wanted(event))
            return run.go_to_event(seq) if (seq := next(known, None)) is not None else run.next_event(wanted)

        self.ask(f"to {name}", moved(go))

    # To what a row stands for

    def on_pane_followed(self, message: Pane.Followed) -> None:
        """Go where a row points: in time, to memory, or to the pane that tells more."""
        target = message.target
        if target.event is not None:
            seq = target.event
            self.ask(f"to event {seq}", moved(lambda run: run.go_to_event(seq)))
        elif target.pane is not None:
            self.show_pane(target.pane)
        elif target.code is not None and not (isinstance(message.pane, CodePane) and target.jump is None):
            self.show_memory(target.code if target.jump is None else target.jump, code=True)
        elif target.memory is not None:
            self.show_memory(target.memory)
        else:
            self.say("this row leads nowhere", failed=True)

    def action_run_here(self, back: bool = False) -> None:
        """Run to the address or event of the row."""
        target = self.pane.target
        if target.event is not None:
            goal = goals.Goal(seq=target.event)
        elif target.code is not None:
            goal = goals.Goal(address=target.code)
        elif target.at_ns is not None:
            goal = goals.Goal(at_ns=target.at_ns)
        else:
            self.say("this row is no place in the run", failed=True)
            return
        self.ask("running to the row", moved(lambda run: goals.go(run, goal, back=back)))

    # Text

    def action_search(self) -> None:
        """Ask what to look for in the pane."""
        pane = self.pane

        def answered(text: str | None) -> None:
            if text:
                self.search = text
                pane.focus()
                self.action_search_next(1)

        self.push_screen(
            Question(f"Search in {pane.TITLE}", "n goes to the next match, N to the previous one", self.search),
            answered,
        )

    def action_search_next(self, direction: int) -> None:
        """To the next row with the text, around the end."""
        pane, text = self.pane, self.search.lower()
        rows, start = pane.view.rows, pane.cursor
        if not text:
            self.say("nothing to search for yet: /", failed=True)
            return

        def look(moment: Moment) -> str:
            for distance in range(1, len(rows) + 1):
                if not distance % _CHECKPOINT:
                    moment.run.cancellation.poll()
                index = (start + direction * distance) % len(rows)
                if text in rows[index].text.lower():
                    self.call_later(pane.move_to, index)
                    return f"row {index + 1:,} of {len(rows):,}"
            raise ConfigurationError(f"{text!r} is not here")

        self.ask("searching", look)

    def action_filter(self) -> None:
        """Ask which events to show."""
        pane = self.screen_stack[0].query_one(EventsPane)

        def answered(text: str | None) -> None:
            if text is None:
                return
            try:
                wanted = event_filter(text)
            except ConfigurationError as error:
                self.say(str(error), failed=True)
                return

            def look(moment: Moment) -> None:
                moment.log.places(wanted, moment.seen)
                self.call_later(show)

            def show() -> None:
                pane.filter = wanted
                self.show_pane(EventsPane.NAME)

            self.ask("filtering", look)

        self.push_screen(Question("Show only", _FILTER_HELP, pane.filter.words), answered)

    # Marks

    def action_mark(self) -> None:
        """Mark this moment."""
        if self.seen is not None and self.seen.standing.position not in self.marks:
            self.marks = tuple(sorted((*self.marks, self.seen.standing.position)))
            self.say(f"marked {self.seen.standing.position}; M goes back to it")

    def action_marks(self) -> None:
        """Ask which mark to go to."""
        marks = self.marks
        if not marks:
            self.say("no moment is marked yet: m", failed=True)
            return

        def answered(index: int | None) -> None:
            if index is not None:
                self.ask("to the mark", moved(lambda run: run.go_to(marks[index])))

        self.push_screen(Choice("Go to a marked moment", [str(mark) for mark in marks]), answered)
