"""A moment of a run, from which every view is made, with the display at the last stop."""

from dataclasses import dataclass, field

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.engine.contract import Backtrace
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.inspector.model.event_log import EventLog
from enclave_sim.inspector.model.rows import Row
from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.inspector.session.sources import Opened
from enclave_sim.recording.event_pages import EventPages
from enclave_sim.time_travel import Position
from enclave_sim.time_travel.navigation.last_write import Write
from machine.machine import Machine


@dataclass(frozen=True, slots=True)
class LastWriter:
    """The last writer of some bytes before a position."""

    address: int
    size: int
    asked_at: Position
    """The position."""
    write: Write | None
    failed: str = ""
    """The reason why the writer is unknown, if it is."""

    def holds_at(self, position: Position) -> bool:
        """Return whether the answer is the same at another position: it is from the write to `asked_at`."""
        since = self.asked_at if self.failed else Position(0) if self.write is None else self.write.position
        return since <= position <= self.asked_at

    @property
    def words(self) -> str:
        """The answer in one line."""
        if self.failed:
            return f"the last writer is not known: {self.failed}"
        if self.write is None:
            return "not written since power-on"
        at = self.write.position
        return f"written by {self.write.by} at {at.at_ns:,} ns" + (f" + {at.step}" if at.step else "")


GuestPlace = tuple[int, int, bool, int]
"""The event that made the instance, the fuel spent, whether it is in a host call, and how many were answered."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """The bytes shown at a position, and those at the previous stop."""

    base: int
    position: Position
    data: bytes
    before: bytes


@dataclass(repr=False)
class Moment:
    """A stopped run, with the inspector's findings about it. Views must not change the run."""

    opened: Opened
    log: EventLog
    registers_before: dict[str, int] = field(default_factory=dict)
    """The registers at the last stop; empty at the first one."""
    writers: dict[int, LastWriter] = field(default_factory=dict)
    """The last writers found, by physical address."""
    backtraces: dict[GuestPlace, Backtrace | None] = field(default_factory=dict)
    """The backtraces found, by the guest's place, because repeating a guest takes time."""
    strip: tuple[tuple[EventLog, int, int], tuple[Row, ...]] | None = None
    """The columns of the strip, without the position, by log, number of events and number of columns."""
    _shown: _Shown | None = None
    _recorded: EventLog | None = None

    @property
    def run(self) -> InspectedRun:
        """The stopped run."""
        return self.opened.run

    @property
    def machine(self) -> Machine:
        """The machine at this moment."""
        return self.opened.run.machine

    @property
    def enclave(self) -> Enclave | None:
        """The enclave; None for a bare kernel."""
        return self.opened.run.enclave

    @property
    def program(self) -> Program:
        """The kernel in ring 0."""
        return self.opened.run.program

    @property
    def whole_log(self) -> tuple[EventLog, bool]:
        """The known events of the whole run, and whether they are complete.

        If the run has followed a recording so far, they are the recording's.
        """
        comparison = self.opened.comparison
        if comparison is not None and comparison.differs_at is None:
            if self._recorded is None:
                recorded = comparison.recorded
                index = recorded.kinds if isinstance(recorded, EventPages) else None
                self._recorded = EventLog(recorded, self.run.cancellation, index)
                self._recorded.follow()
            return self._recorded, True
        return self.log, self.run.end_is_known

    def follow(self) -> None:
        """Index the new events, and compare them with the recording, if any."""
        self.log.follow()
        if self.opened.comparison is not None:
            self.opened.comparison.follow(self.log.events)

    @property
    def seen(self) -> int:
        """The number of events before the current position."""
        return self.run.seen

    def writers_here(self, where: range) -> dict[int, LastWriter]:
        """Return the known writers of bytes in a range that hold at the current position, by physical address."""
        now = self.run.now
        return {at: one for at, one in self.writers.items() if at in where and one.holds_at(now)}

    def bytes_before(self, base: int, data: bytes) -> bytes:
        """Return the bytes at `base` at the last stop; empty if they were not shown then.

        `data` is the current bytes.
        """
        last, here = self._shown, self.run.now
        if last is None or last.base != base or len(last.data) != len(data):
            self._shown = _Shown(base, here, data, b"")
        elif last.position != here:
            self._shown = _Shown(base, here, data, last.data)
        return self._shown.before if self._shown is not None else b""
