"""Actions that set breakpoints and watchpoints, from any pane."""

from enclave_sim.enclave.kernel.program import Program
from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.actions import goals
from enclave_sim.inspector.desk import Desk
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.screens import Choice, Question
from enclave_sim.inspector.threads.session_thread import Job
from enclave_sim.time_travel.navigation import conditions
from enclave_sim.time_travel.navigation.breakpoints import Breakpoint, Condition, Watchpoint
from enclave_sim.time_travel.navigation.conditions import TypedCondition

_BREAK_HELP = f"""host_call, traps.c:37 or 0x105020; if and a condition may follow:
host_call if {conditions.HELP}"""
_WATCH_HELP = """ADDRESS [BYTES] [r|w|rw] [if CONDITION]: physical memory; writes (w) by default
0x130000 8        heap 4096 rw        status 4 if cpl == 3"""


class Breakpoints:
    """The keys that set a breakpoint or watchpoint.

    They ask for the place, with the row's address as the initial text.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def toggle(self) -> None:
        """Ask where to set a breakpoint, with the row's code as the initial text.

        If it has one, remove that instead.
        """
        address = self._desk.pane.target.code
        points = () if self._desk.seen is None else self._desk.seen.points
        there = any(isinstance(one, Breakpoint) and one.address == address for one in points)
        asked = "Breakpoint at (Enter removes the one on this row)" if there else "Breakpoint at"
        initial = "" if address is None else f"{address:#x}"

        def answered(text: str | None) -> None:
            if text == initial and there:
                assert address is not None
                self._desk.ask("breakpoint", _remove_at(address))
            else:
                self._set(text)

        self._desk.ask_user(Question(asked, _BREAK_HELP, initial), answered)

    def ask_condition(self) -> None:
        """Ask for a breakpoint with a condition, with the row's code as the initial text."""
        address = self._desk.pane.target.code
        initial = "" if address is None else f"{address:#x} if "
        self._desk.ask_user(Question("Breakpoint at", _BREAK_HELP, initial, beginning=True), self._set)

    def _set(self, text: str | None) -> None:
        if text:
            try:
                self._desk.ask("breakpoint", _break(*read_break(text, self._desk.program)))
            except ConfigurationError as error:
                self._desk.say(str(error), failed=True)

    def ask_watchpoint(self) -> None:
        """Ask for a watchpoint, with the row's memory as the initial text."""
        target = self._desk.pane.target
        initial = f"{target.memory:#x} {target.size}" if target.memory is not None else ""

        def answered(text: str | None) -> None:
            if text:
                try:
                    self._desk.ask("watchpoint", _watch(*read_watch(text, self._desk.program)))
                except ConfigurationError as error:
                    self._desk.say(str(error), failed=True)

        self._desk.ask_user(Question("Watch", _WATCH_HELP, initial), answered)

    def show_list(self) -> None:
        """List breakpoints and watchpoints, and remove the one chosen by the user."""
        points = () if self._desk.seen is None else self._desk.seen.points
        if not points:
            self._desk.say("there are no breakpoints or watchpoints yet; b and w set them", failed=True)
            return

        def answered(index: int | None) -> None:
            if index is not None:
                self._desk.ask("removing it", _remove(points[index]))

        words = [describe(point, self._desk.program) for point in points]
        self._desk.ask_user(Choice("Breakpoints and watchpoints; Enter removes one", words), answered)


def describe(point: Breakpoint | Watchpoint, program: Program) -> str:
    """Describe a breakpoint or watchpoint."""
    if isinstance(point, Breakpoint):
        return f"break {point.address:#x} {program.place(point.address)}".rstrip() + _only_if(point)
    kind = "read or write" if point.reads and point.writes else "read" if point.reads else "write"
    where = f"{point.where.start:#x}-{point.where.stop - 1:#x}"
    return f"watch {where} {program.place(point.where.start)}: {kind}" + _only_if(point)


def _only_if(point: Breakpoint | Watchpoint) -> str:
    return "" if point.when is None else f" if {point.when}"


def read_break(text: str, program: Program) -> tuple[int, Condition | None]:
    """Parse an address, and a condition after `if`. Raises ConfigurationError for other text."""
    place, condition = _split(text, program)
    return goals.read_address(place, program), condition


def _split(text: str, program: Program) -> tuple[str, Condition | None]:
    place, found, condition = f" {text} ".partition(" if ")
    return place.strip(), TypedCondition(condition, program) if found else None


def read_watch(text: str, program: Program) -> tuple[int, int, str, Condition | None]:
    """Parse address, bytes, kinds of access and condition. Raises ConfigurationError for other text."""
    place, condition = _split(text, program)
    words = place.split()
    access = words.pop() if words and words[-1] in ("r", "w", "rw") else "w"
    if not 1 <= len(words) <= 2:
        raise ConfigurationError(f"{text!r} is not a watchpoint; one is ADDRESS [BYTES] [r|w|rw] [if CONDITION]")
    try:
        size = int(words[1], 0) if len(words) == 2 else 1
    except ValueError:
        raise ConfigurationError(f"{words[1]!r} is not a number of bytes") from None
    return goals.read_address(words[0], program), size, access, condition


def _remove_at(address: int) -> Job:
    def job(moment: Moment) -> str:
        run = moment.run
        run.breakpoints = [one for one in run.breakpoints if one.address != address]
        return f"breakpoint removed at {address:#x} {run.program.place(address)}".rstrip()

    return job


def _break(address: int, condition: Condition | None) -> Job:
    def job(moment: Moment) -> str:
        run = moment.run
        run.breakpoints = [one for one in run.breakpoints if one.address != address]
        return describe(run.add_breakpoint(address, when=condition), moment.program)

    return job


def _watch(base: int, size: int, access: str, condition: Condition | None) -> Job:
    def job(moment: Moment) -> str:
        made = moment.run.add_watchpoint(base, size, reads="r" in access, writes="w" in access, when=condition)
        return describe(made, moment.program)

    return job


def _remove(point: Breakpoint | Watchpoint) -> Job:
    def job(moment: Moment) -> str:
        run = moment.run
        if isinstance(point, Breakpoint):
            run.breakpoints = [one for one in run.breakpoints if one != point]
        else:
            run.watchpoints = [one for one in run.watchpoints if one != point]
        return f"removed: {describe(point, run.program)}"

    return job
