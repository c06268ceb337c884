"""The guest: its state in the engine, its host calls, and the payloads."""

from collections.abc import Iterator
from dataclasses import dataclass

from enclave_sim import events
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.engine.contract import Backtrace, Frame
from enclave_sim.inspector.model.machine.backtrace import backtrace_rows, place_text
from enclave_sim.inspector.model.moment import GuestPlace, Moment
from enclave_sim.inspector.model.rows import EMPTY, Meaning, Row, Target, View, note, row, title
from enclave_sim.memory_map import region
from enclave_sim.payload.errors import PayloadRejected
from enclave_sim.payload.wasm.sections import SECTION_NAMES, sections

_CALLS_SHOWN = 32
_SHORT_NS, _SHORT_CALLS = 20_000_000, 1000
"""Repeating a guest with at most this much fuel, and this many host calls, takes about 10 ms."""


@dataclass(frozen=True, slots=True)
class GuestState:
    """The progress of the guest in the engine."""

    payload: int
    started: bool
    fuel: int
    """The fuel spent; one unit is a nanosecond."""
    waits: bool
    """True if it is suspended in a host call."""
    answered: int
    """The number of host calls that were answered."""


def guest_state(moment: Moment) -> GuestState | None:
    """Return the state of the guest; None without a guest, or if no engine runs it."""
    state = None if moment.enclave is None else moment.enclave.portable_host()
    progress = None if state is None else state["progress"]
    if progress is None:
        return None
    payload, _module, started, fuel, waits, _answers, answered = progress
    return GuestState(payload, started, fuel, waits, answered)


def guest_view(moment: Moment) -> View:
    """Return the state of the guest, its host calls, and the payloads."""
    enclave = moment.enclave
    if enclave is None:
        return View((note("only an enclave has guests; this is a bare kernel"),))
    native = enclave.configuration.engine.is_flat
    state = _native if native else _state if enclave.configuration.engine.is_coprocessor else _interpreted
    rows = [*state(moment), EMPTY, *_calls(moment)]
    rows += [] if native else [EMPTY, *_payloads(enclave)]
    return View(tuple(rows), None, _subtitle(moment))


def _subtitle(moment: Moment) -> str:
    return "runs next" if moment.run.subject.in_guest else f"ring {moment.machine.cpu.registers.cpl}"


def _native(moment: Moment) -> Iterator[Row]:
    state = moment.machine.cpu.registers
    yield row("a flat x86-64 binary: its instructions are in the code pane")
    yield row(
        f"code is in the staging area, from {region('staging').base:#x}", target=Target(memory=region("staging").base)
    )
    yield row("it runs now" if state.cpl == 3 else "the kernel runs now", Meaning.HERE)


def _state(moment: Moment) -> Iterator[Row]:
    state = guest_state(moment)
    if state is None:
        yield from _no_guest(moment)
        return
    here = Meaning.HERE if moment.run.subject.in_guest else Meaning.PLAIN
    yield row(f"payload {state.payload}: {_doing(moment, state)}", here)
    yield row(f"fuel spent {state.fuel:,} (1 unit = 1 ns), host calls answered {state.answered}")
    made = moment.log.last("guest_instantiated", moment.seen)
    if isinstance(made, events.GuestInstantiated):
        yield _linear_memory(made)
    if state.started:
        yield from _place(moment, state, here)


def _linear_memory(made: events.GuestInstantiated) -> Row:
    start = region("heap").end - made.memory_bytes
    where = Target(memory=start, size=made.memory_bytes)
    return row(f"linear memory {made.memory_bytes:,} bytes at {start:#x}, cycle {made.cycle}", target=where)


def _interpreted(moment: Moment) -> Iterator[Row]:
    """Yield what is known of a guest whose state is in the machine's memory."""
    made, gone = (moment.log.last(kind, moment.seen) for kind in ("guest_instantiated", "guest_destroyed"))
    if not isinstance(made, events.GuestInstantiated) or (gone is not None and gone.seq > made.seq):
        yield from _no_guest(moment)
        return
    state = moment.run.wasm.state
    if state is None:
        yield row(f"payload {made.payload}: its place is not known in this handler; }} goes to its next instruction")
    else:
        here = Meaning.HERE if moment.machine.cpu.registers.cpl == 3 else Meaning.PLAIN
        first, *others = state.lines()
        yield row(f"payload {made.payload}, {first}", here)
        yield from map(row, others[:3])
        frames = tuple(Frame(one.function, one.offset) for one in state.frames)
        yield from backtrace_rows(Backtrace(state.module, frames), more=state.depth - len(frames))
        yield EMPTY
    yield _linear_memory(made)
    for name in ("globals", "values", "calls"):
        yield row(f"{name} at {region(name).base:#x}", target=Target(memory=region(name).base))
    yield row("it runs now" if moment.machine.cpu.registers.cpl == 3 else "the kernel runs now", Meaning.HERE)


def _no_guest(moment: Moment) -> Iterator[Row]:
    yield row("there is no guest now", Meaning.DIM)
    trapped = moment.log.last("guest_trapped", moment.seen)
    if isinstance(trapped, events.GuestTrapped):
        target = Target(event=trapped.seq, at_ns=trapped.at_ns)
        yield row(f"the last one trapped: {trapped.detail} ({trapped.trap})", Meaning.BAD, target)
        backtrace = _asked(moment)
        if backtrace is not None:
            yield from _where(backtrace, Meaning.BAD)


def find_guest(moment: Moment) -> str:
    """Find the guest's current function, however long it takes, keep it, and return its description.

    Args:
        moment: The moment, which keeps the result.

    Returns:
        A description of the function, or the reason why it is not known.

    Raises:
        Cancelled: The search was cancelled.
    """
    state = guest_state(moment)
    if state is None or not state.started:
        return "no guest is running now"
    backtrace = _backtrace(moment, state)
    return _UNKNOWN if backtrace is None else place_text(backtrace)


_UNKNOWN = "the function is not known: the guest cannot be repeated, since its memory was changed from outside"


def _backtrace(moment: Moment, state: GuestState) -> Backtrace | None:
    place = _place_of(moment, state)
    if place not in moment.backtraces:
        moment.backtraces[place] = _asked(moment)
    return moment.backtraces[place]


def _asked(moment: Moment) -> Backtrace | None:
    return None if moment.enclave is None else moment.enclave.guest_backtrace()


def _place_of(moment: Moment, state: GuestState) -> GuestPlace:
    made = moment.log.last("guest_instantiated", moment.seen)
    return (-1 if made is None else made.seq, state.fuel, state.waits, state.answered)


def _place(moment: Moment, state: GuestState, here: Meaning) -> Iterator[Row]:
    is_short = state.fuel <= _SHORT_NS and state.answered <= _SHORT_CALLS
    if not is_short and _place_of(moment, state) not in moment.backtraces:
        yield note("F finds the function it is in, by repeating the guest up to here")
        return
    backtrace = _backtrace(moment, state)
    yield from [note(_UNKNOWN)] if backtrace is None else _where(backtrace, here)


def _where(backtrace: Backtrace, meaning: Meaning) -> Iterator[Row]:
    yield row(place_text(backtrace), meaning)
    yield EMPTY
    yield from backtrace_rows(backtrace)


def _doing(moment: Moment, state: GuestState) -> str:
    if not state.started:
        return "instantiated, and not entered yet"
    called = moment.log.last("host_called", moment.seen)
    if state.waits and isinstance(called, events.HostCalled):
        return f"suspended in aether.{called.name}({_argument(called)})"
    return "computing" if moment.run.subject.in_guest else "preempted"


def _argument(called: events.HostCalled) -> str:
    return str(called.argument) if called.name == "emit_signal" else ""


def _calls(moment: Moment) -> Iterator[Row]:
    yield title("host calls, the last first")
    places = moment.log.of_kind("host_called", moment.seen)
    if not places:
        yield row("none so far", Meaning.DIM)
    answers = moment.log.of_kind("host_returned", moment.seen)
    results = {}
    for seq in answers[-_CALLS_SHOWN:]:
        event = moment.log.events[seq]
        asked = [place for place in places[-2 * _CALLS_SHOWN :] if place < seq]
        if asked and isinstance(event, events.HostReturned):
            results[asked[-1]] = event.result
    for seq in reversed(places[-_CALLS_SHOWN:]):
        called = moment.log.events[seq]
        if isinstance(called, events.HostCalled):
            answer = f" = {results[seq]:#x}" if seq in results else ""
            parts = (
                (f"{called.at_ns:>13,}  ", Meaning.DIM),
                (f"{called.name}({_argument(called)}){answer}", Meaning.NAME),
            )
            yield Row(parts, Target(event=seq, at_ns=called.at_ns))


def _payloads(enclave: Enclave) -> Iterator[Row]:
    for number, module in enumerate(enclave.payloads):
        yield title(f"payload {number}: {len(module):,} bytes")
        yield row(f"sha256 {enclave.header.payload_sha256[number]}", Meaning.DIM)
        try:
            for one in sections(module):
                name = SECTION_NAMES.get(one.id, f"section {one.id}")
                yield row(f"  {one.offset:>6}  {name} {one.name or ''}".rstrip() + f", {len(one.payload):,} bytes")
        except PayloadRejected as error:
            yield row(str(error), Meaning.BAD)
