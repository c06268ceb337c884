"""The question of where the value of a row came from, and going to the steps that made it."""

from enclave_sim.inspector.actions.history import History
from enclave_sim.inspector.desk import Desk
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Target
from enclave_sim.inspector.screens import Choice
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.navigation.provenance.answers import located_lines
from enclave_sim.time_travel.navigation.provenance.places import REGISTERS

_Lines = list[tuple[str, Position | None]]


def place_of(target: Target) -> str | int | None:
    """Return the register or the physical address of a row, if the origin of its value is known; else None."""
    if target.register is not None:
        return target.register if target.register in REGISTERS else None
    return target.memory


class Origins:
    """The key that asks, and the list of steps from which the user chooses."""

    def __init__(self, desk: Desk, history: History) -> None:
        self._desk = desk
        self._history = history

    def find(self) -> None:
        """Find where the value of the row came from, and show the tree."""
        target = self._desk.pane.target
        what = place_of(target)
        if what is None:
            self._desk.say("this row has no value whose origin is known", failed=True)
            return

        def job(moment: Moment) -> str:
            value = moment.run.where_from(what, target.size)
            self._desk.call_later(self._show, located_lines(value))
            return f"where {value.place} came from"

        self._desk.ask("looking where it came from", job)

    def _show(self, lines: _Lines) -> None:
        def answered(index: int | None) -> None:
            if index is None:
                return
            position = lines[index][1]
            if position is None:
                self._desk.say("this line is not a step of the run", failed=True)
            else:
                self._history.jump(f"to {position}", lambda run: run.go_to(position))

        self._desk.ask_user(Choice("Where it came from: Enter goes to a step", [text for text, _ in lines]), answered)
