"""The boot-phase timeline: which phases were entered and completed, when, and the target states."""

from enclave_sim.events import AnnihilationBegan, AnnihilationStep, PhaseCompleted, PhaseEntered
from enclave_sim.inspector.model.machine import bits
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import EMPTY, Meaning, Row, Target, View, note, row, title
from enclave_sim.specification import Phase, Status, Step
from machine.events import ModeSwitched

_STATUS = {flag.value.bit_length() - 1: str(flag.name) for flag in Status}


def phase_marks(moment: Moment) -> str:
    """All phases in one line: `+` completed, `>` under way, `.` ahead."""
    if moment.enclave is None:
        return ""
    entered, completed = _entered(moment), _completed(moment)
    marks = []
    for phase in Phase:
        mark = "+" if phase.name in completed else ">" if phase.name in entered else "."
        marks.append(f"{mark}{phase.name}")
    began = moment.log.last("annihilation_began", moment.seen)
    end = "+DORMANT" if moment.enclave.dormant else ">ANNIHILATION" if began is not None else ".ANNIHILATION"
    return " ".join([*marks, end])


def phase_view(moment: Moment) -> View:
    """One row for each phase and each step of annihilation, and the status word; changes of mode without an enclave."""
    if moment.enclave is None:
        return _modes(moment)
    entered, completed = _entered(moment), _completed(moment)
    rows: list[Row] = []
    here = 0
    for phase in Phase:
        begun, done = entered.get(phase.name), completed.get(phase.name)
        if begun is not None:
            here = len(rows)
        rows.append(_phase_row(phase, begun, done))
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
    """What there is of phases in a kernel of one's own."""
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
    """The status word, bit by bit."""
    words = " ".join(bits.names_of(status, _STATUS))
    return [Row(((f"{status:#010x} ", Meaning.PLAIN), (words or "no bit is set", Meaning.NAME)))]


def _phase_row(phase: Phase, begun: PhaseEntered | None, done: PhaseCompleted | None) -> Row:
    name = f"{phase.value:02d} {phase.name:<11}"
    if done is not None:
        when = f"{done.at_ns:>13,} ns"
        parts = ((f"+ {name}", Meaning.GOOD), (when, Meaning.DIM), (f"  {done.state}", Meaning.GOOD))
        return Row(parts, Target(event=done.seq, at_ns=done.at_ns))
    if begun is not None:
        when = f"since {begun.at_ns:>7,} ns"
        parts = ((f"> {name}", Meaning.HERE), (when, Meaning.DIM), (f"  {phase.target_state}?", Meaning.HERE))
        return Row(parts, Target(event=begun.seq, at_ns=begun.at_ns))
    return Row(((f". {name}", Meaning.DIM), (" " * 16, Meaning.DIM), (f"  {phase.target_state}", Meaning.DIM)))


def _entered(moment: Moment) -> dict[str, PhaseEntered]:
    found = (moment.log.events[seq] for seq in moment.log.of_kind("phase_entered", moment.seen))
    return {event.phase: event for event in found if isinstance(event, PhaseEntered)}


def _completed(moment: Moment) -> dict[str, PhaseCompleted]:
    found = (moment.log.events[seq] for seq in moment.log.of_kind("phase_completed", moment.seen))
    return {event.phase: event for event in found if isinstance(event, PhaseCompleted)}
