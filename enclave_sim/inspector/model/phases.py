"""The boot-phase timeline: entry and completion of each phase, and the activity after them."""

from enclave_sim.events import AnnihilationBegan, AnnihilationStep, PhaseCompleted, PhaseEntered, name_of_kind
from enclave_sim.inspector.model import bits
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import EMPTY, Meaning, Row, Target, View, note, row, title
from enclave_sim.recording.activity import ACTIVITY_KINDS, activity
from enclave_sim.specification import Phase, Status, Step
from machine.events import Event, ModeSwitched

_STATUS = {flag.value.bit_length() - 1: str(flag.name) for flag in Status}


def phase_marks(moment: Moment) -> str:
    """Return all phases in one line: `+` target state reached, `>` in progress, `.` not entered yet."""
    if moment.enclave is None:
        return ""
    entered, reached = _entered(moment), _reached(moment)
    marks = []
    for phase in Phase:
        mark = "+" if phase.name in reached else ">" if phase.name in entered else "."
        marks.append(f"{mark}{phase.name}")
    began = moment.log.last("annihilation_began", moment.seen)
    end = "+DORMANT" if moment.enclave.dormant else ">ANNIHILATION" if began is not None else ".ANNIHILATION"
    return " ".join([*marks, end])


def latest_activity(moment: Moment) -> Event | None:
    """Return the event that began the current activity; None before EXEC_LOOP is reached and in annihilation."""
    if Phase.EXEC_LOOP.name not in _reached(moment) or moment.log.last("annihilation_began", moment.seen) is not None:
        return None
    found = (moment.log.last(name_of_kind(kind), moment.seen) for kind in ACTIVITY_KINDS)
    return max((event for event in found if event is not None), key=lambda event: event.seq, default=None)


def phase_view(moment: Moment) -> View:
    """Return a row for each phase and step of annihilation, and the status word; without an enclave, mode changes."""
    if moment.enclave is None:
        return _modes(moment)
    entered, reached = _entered(moment), _reached(moment)
    rows: list[Row] = []
    here = 0
    for phase in Phase:
        begun, done = entered.get(phase.name), reached.get(phase.name)
        if begun is not None:
            here = len(rows)
        rows.append(_phase_row(phase, begun, done))
    latest = latest_activity(moment)
    if latest is not None:
        here = len(rows)
        target = Target(event=latest.seq, at_ns=latest.at_ns)
        parts = ((f"> {activity(latest)}", Meaning.HERE), (f"  since {latest.at_ns:,} ns", Meaning.DIM))
        rows.append(Row(parts, target))
    rows += [EMPTY, title("annihilation")]
    began = moment.log.last("annihilation_began", moment.seen)
    if isinstance(began, AnnihilationBegan):
        here = len(rows)
        words = f"{began.cause} at {began.at_ns:,} ns {began.description}".rstrip()
        rows.append(row(words, Meaning.BAD, Target(event=began.seq, at_ns=began.at_ns)))
    else:
        rows.append(row("has not begun", Meaning.DIM))
    places = moment.log.of_kind("annihilation_step", moment.seen)
    steps = {
        event.step: event for event in map(moment.log.events.__getitem__, places) if isinstance(event, AnnihilationStep)
    }
    for step in Step:
        event = steps.get(step.name)
        mark, meaning = ("+", Meaning.GOOD) if event is not None else (".", Meaning.DIM)
        when = f"{event.at_ns:>13,} ns  " if event is not None else ""
        target = Target(event=event.seq, at_ns=event.at_ns) if event is not None else Target()
        rows.append(Row(((f"{mark} {step.name} ", meaning), (when, Meaning.DIM), (step.meaning, meaning)), target))
    rows += [EMPTY, title("status word"), *status_rows(moment.enclave.block.status)]
    cycles = moment.log.of_kind("cycle_began", moment.seen)
    rows += [EMPTY, note(f"cycles begun {len(cycles)} of {moment.enclave.configuration.cycles}")]
    return View(tuple(rows), here)


def _modes(moment: Moment) -> View:
    """Return the changes of mode, which a bare kernel has instead of phases."""
    rows = [note("no enclave, no boot phases; the processor's modes:")]
    for seq in moment.log.of_kind("mode_switched", moment.seen):
        event = moment.log.events[seq]
        if isinstance(event, ModeSwitched):
            where = moment.program.place(event.rip) or f"{event.rip:#x}"
            when = f"{event.at_ns:>13,} ns  "
            parts = ((f"+ {event.mode:<11}", Meaning.GOOD), (when, Meaning.DIM), (where, Meaning.NAME))
            rows.append(Row(parts, Target(event=seq, at_ns=event.at_ns)))
    return View(tuple(rows), len(rows) - 1)


def status_rows(status: int) -> list[Row]:
    """Return the status word, with the names of its bits."""
    words = " ".join(bits.names_of(status, _STATUS))
    return [Row(((f"{status:#010x} ", Meaning.PLAIN), (words or "no bit is set", Meaning.NAME)))]


def _phase_row(phase: Phase, begun: PhaseEntered | None, done: PhaseCompleted | None) -> Row:
    name = f"{phase.value:02d} {phase.name:<11}"
    if done is not None:
        when = f"{done.at_ns:>13,} ns"
        parts = ((f"+ {name}", Meaning.GOOD), (when, Meaning.DIM), (f"  {done.state} reached", Meaning.GOOD))
        return Row(parts, Target(event=done.seq, at_ns=done.at_ns))
    if begun is not None:
        when = f"since {begun.at_ns:>7,} ns"
        state = f"  {phase.target_state} not reached yet"
        parts = ((f"> {name}", Meaning.HERE), (when, Meaning.DIM), (state, Meaning.HERE))
        return Row(parts, Target(event=begun.seq, at_ns=begun.at_ns))
    return Row(((f". {name}", Meaning.DIM), (" " * 16, Meaning.DIM), (f"  {phase.target_state}", Meaning.DIM)))


def _entered(moment: Moment) -> dict[str, PhaseEntered]:
    found = (moment.log.events[seq] for seq in moment.log.of_kind("phase_entered", moment.seen))
    return {event.phase: event for event in found if isinstance(event, PhaseEntered)}


def _reached(moment: Moment) -> dict[str, PhaseCompleted]:
    found = (moment.log.events[seq] for seq in moment.log.of_kind("phase_completed", moment.seen))
    return {event.phase: event for event in found if isinstance(event, PhaseCompleted)}
