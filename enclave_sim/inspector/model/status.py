"""The state of a run, in a line."""

from dataclasses import dataclass

from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.phases import latest_activity, phase_marks
from enclave_sim.recording.activity import activity
from enclave_sim.recording.text import plural
from enclave_sim.specification import EngineName
from enclave_sim.time_travel import Position


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of the run at its current position."""

    position: Position
    seen: int
    """The number of events before this position."""
    ring: int
    mode: str
    place: str
    """The symbol and source line of RIP, or the processor's activity if it executes no instructions."""
    phases: str
    activity: str
    """The current activity after EXEC_LOOP has reached its target state; empty before."""
    at_end: bool
    is_explored: bool = True
    """True if all events of the run are known, as far as they are looked for."""
    recording: str = ""
    """The state of the comparison with the replayed recording."""
    engine: EngineName | None = None
    """The engine of the enclave's guests; None for a bare kernel."""

    @property
    def ring_text(self) -> str:
        """The ring, and what runs in it."""
        outer = "guest" if self.phases else "user"
        return f"RING {self.ring} {'kernel' if self.ring == 0 else outer}"

    @property
    def text(self) -> str:
        """The state in one line, without the ring."""
        where = "END" if self.at_end else "beginning" if self.position == Position(0) else ""
        parts = [f"{self.position.at_ns:,} ns" + (f" +{self.position.step}" if self.position.step else "")]
        parts += [plural(self.seen, "event"), self.place, where, self.recording]
        return "  ".join(part for part in parts if part)


def standing(moment: Moment) -> Standing:
    """Return the current state of the run."""
    run, machine = moment.run, moment.machine
    rip = machine.cpu.linear_rip
    where = moment.program.place(rip) or f"{rip:#x}"
    if run.subject.in_guest:
        where = "in the guest"
    elif run.subject.ended is not None:
        where = run.subject.ended
    elif machine.halted:
        where = "halted" if run.at_end else "asleep"
    elif run.line is not None and run.line.line:
        where = f"{where} {run.line}"
    latest = latest_activity(moment)
    return Standing(
        run.now,
        run.seen,
        machine.cpu.registers.cpl,
        machine.mode,
        where,
        phase_marks(moment),
        "" if latest is None else activity(latest),
        run.at_end,
        moment.opened.comparison is not None or run.is_explored,
        "" if moment.opened.comparison is None else moment.opened.comparison.words(over=run.at_end),
        None if run.enclave is None else run.enclave.configuration.engine,
    )
