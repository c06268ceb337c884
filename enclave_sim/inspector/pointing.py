"""Breakpoints and watchpoints from any pane, and the question who wrote something last."""

from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector import goals
from enclave_sim.inspector.desk import Desk
from enclave_sim.inspector.model.guest import find_guest
from enclave_sim.inspector.model.moment import Moment, Writer
from enclave_sim.inspector.model.symbols import place
from enclave_sim.inspector.screens import Choice, Question
from enclave_sim.inspector.worker import Cancelled, Job
from enclave_sim.time_travel.stops import Breakpoint, Watchpoint

_WATCH_HELP = """ADDRESS [BYTES] [r|w|rw]: physical memory; what writes it unless told otherwise
0x115000 8        heap 4096 rw        status 4"""


class Pointing(Desk):
    """The keys that set something on what a row stands for."""

    def action_breakpoint(self) -> None:
        """On the row's code, or on what is asked for."""
        address = self.pane.target.code
        if address is not None:
            self.ask("breakpoint", _toggle(address))
            return

        def answered(text: str | None) -> None:
            if text:
                try:
                    self.ask("breakpoint", _toggle(goals.read_address(text)))
                except ConfigurationError as error:
                    self.say(str(error), failed=True)

        self.push_screen(Question("Breakpoint at", "host_call, traps.c:39, 0x104df0"), answered)

    def action_watchpoint(self) -> None:
        """On the row's memory; how much and for what is asked."""
        target = self.pane.target
        initial = f"{target.memory:#x} {target.size}" if target.memory is not None else ""

        def answered(text: str | None) -> None:
            if text:
                try:
                    self.ask("watchpoint", _watch(*read_watch(text)))
                except ConfigurationError as error:
                    self.say(str(error), failed=True)

        self.push_screen(Question("Watch", _WATCH_HELP, initial), answered)

    def action_points(self) -> None:
        """List them; the one chosen is taken away."""
        points = () if self.seen is None else self.seen.points
        if not points:
            self.say("there are no breakpoints and watchpoints yet: b, w", failed=True)
            return

        def answered(index: int | None) -> None:
            if index is not None:
                self.ask("taking it away", _remove(points[index]))

        words = [describe(point) for point in points]
        self.push_screen(Choice("Breakpoints and watchpoints; Enter takes one away", words), answered)

    def action_writer(self) -> None:
        """Ask who wrote the row's memory last."""
        target = self.pane.target
        if target.memory is None:
            self.say("this row is no memory", failed=True)
            return
        self.ask("looking for the last writer", _writer(target.memory, target.size))

    def action_find_guest(self) -> None:
        """Ask which function the guest is in."""
        self.ask("finding the guest's function", _find_guest)


def describe(point: Breakpoint | Watchpoint) -> str:
    """In words."""
    if isinstance(point, Breakpoint):
        return f"break {point.address:#x} {place(point.address)}".rstrip()
    kind = "read or write" if point.reads and point.writes else "read" if point.reads else "write"
    where = f"{point.where.start:#x}-{point.where.stop - 1:#x}"
    return f"watch {where} {place(point.where.start)}: {kind}"


def read_watch(text: str) -> tuple[int, int, bool, bool]:
    """Address, bytes, reads, writes. Raises ConfigurationError for what is none."""
    words = text.split()
    access = words.pop() if words and words[-1] in ("r", "w", "rw") else "w"
    if not 1 <= len(words) <= 2:
        raise ConfigurationError(f"{text!r} is nothing to watch; it is ADDRESS [BYTES] [r|w|rw]")
    try:
        size = int(words[1], 0) if len(words) == 2 else 1
    except ValueError:
        raise ConfigurationError(f"{words[1]!r} is no number of bytes") from None
    return goals.read_address(words[0]), size, "r" in access, "w" in access


def _toggle(address: int) -> Job:
    def job(moment: Moment) -> str:
        run = moment.run
        there = [one for one in run.breakpoints if one.address == address]
        for one in there:
            run.breakpoints.remove(one)
        if not there:
            run.add_breakpoint(address)
        return f"{'breakpoint taken away' if there else 'breakpoint'} at {address:#x} {place(address)}".rstrip()

    return job


def _watch(base: int, size: int, reads: bool, writes: bool) -> Job:
    def job(moment: Moment) -> str:
        return describe(moment.run.add_watchpoint(base, size, reads=reads, writes=writes))

    return job


def _remove(point: Breakpoint | Watchpoint) -> Job:
    def job(moment: Moment) -> str:
        run = moment.run
        if isinstance(point, Breakpoint):
            run.breakpoints = [one for one in run.breakpoints if one != point]
        else:
            run.watchpoints = [one for one in run.watchpoints if one != point]
        return f"taken away: {describe(point)}"

    return job


def _find_guest(moment: Moment) -> str:
    try:
        return find_guest(moment)
    except Cancelled:  # nothing has moved, in the midst of a stay, too
        return "cancelled finding the guest's function"


def _writer(base: int, size: int) -> Job:
    def job(moment: Moment) -> str:
        write = moment.run.last_write(base, size)
        moment.writers[base] = Writer(base, str(moment.run.now), write)
        if write is None:
            return f"{base:#x}: nobody has written there so far"
        return f"{base:#x}: last written at {write.position} by {write.by}"

    return job
