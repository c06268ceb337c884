"""A moment of a run, with what was seen at the last stop: what every pane is made from."""

from dataclasses import dataclass, field

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.engine.contract import Backtrace
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.inspector.model.event_log import EventLog
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.inspector.session.sources import Opened
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.navigation.last_write import Write
from machine.machine import Machine


@dataclass(frozen=True, slots=True)
class Writer:
    """The answer to who wrote some bytes last, before a moment."""

    address: int
    size: int
    asked_at: Position
    write: Write | None
    failed: str = ""
    """Why it is not known, if it is not."""

    def holds_at(self, position: Position) -> bool:
        """Whether the answer is the same there: from the write on, until one asked."""
        since = self.asked_at if self.failed else Position(0) if self.write is None else self.write.position
        return since <= position <= self.asked_at

    @property
    def words(self) -> str:
        """In a line."""
        if self.failed:
            return f"the last writer is not known: {self.failed}"
        if self.write is None:
            return "never written since the start"
        at = self.write.position
        return f"written by {self.write.by} at {at.at_ns:,} ns" + (f" + {at.step}" if at.step else "")


GuestPlace = tuple[int, int, bool, int]
"""Which instance, by its event; fuel spent; whether it waits in a host call; how many were answered."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """Bytes that were shown at a position, and those at the stop before."""

    base: int
    position: Position
    data: bytes
    before: bytes


@dataclass
class Moment:
    """The run is stopped; nothing here changes it."""

    opened: Opened
    log: EventLog
    registers_before: dict[str, int] = field(default_factory=dict)
    """At the last stop; empty at the first."""
    writers: dict[int, Writer] = field(default_factory=dict)
    """By physical address: what was last found."""
    backtraces: dict[GuestPlace, Backtrace | None] = field(default_factory=dict)
    """By where the guest was: what it takes to run it again there is spent once."""
    _shown: _Shown | None = None

    @property
    def run(self) -> InspectedRun:
        """The run that is stopped here."""
        return self.opened.run

    @property
    def machine(self) -> Machine:
        """The machine as it is here."""
        return self.opened.run.machine

    @property
    def enclave(self) -> Enclave | None:
        """None where a kernel of one's own is run."""
        return self.opened.run.enclave

    @property
    def program(self) -> Program:
        """What is executed in ring 0."""
        return self.opened.run.program

    def follow(self) -> None:
        """Take in the events that have come."""
        self.log.follow()
        if self.opened.comparison is not None:
            self.opened.comparison.follow(self.log.events)

    @property
    def seen(self) -> int:
        """How many events lie behind."""
        return self.run.seen

    def writers_here(self, where: range) -> dict[int, Writer]:
        """By physical address: what is known of some bytes, and holds here."""
        now = self.run.now
        return {at: one for at, one in self.writers.items() if at in where and one.holds_at(now)}

    def bytes_before(self, base: int, data: bytes) -> bytes:
        """What the bytes at `base`, which are `data` now, were at the last stop; empty where that was not looked at."""
        last, here = self._shown, self.run.now
        if last is None or last.base != base or len(last.data) != len(data):
            self._shown = _Shown(base, here, data, b"")
        elif last.position != here:
            self._shown = _Shown(base, here, data, last.data)
        return self._shown.before if self._shown is not None else b""
