"""One part of a sweep: consecutive arrival points of one enclave, each tried and judged.

At each point the enclave is stopped between two steps. The input is applied, one step is executed, and if that has not
entered the handler, the input is pending. Two consecutive points are equal if the earlier one, a step later, is in the
same state as the later one: processor, RAM, devices, TPM, host, guest and watchers. Then all that follows is equal,
too, and only the first of them is executed to the end. So are an NMI and the tamper signal, where both have the same
effect.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.snapshot import EnclaveSnapshot
from enclave_sim.errors import KernelDied
from enclave_sim.events import AnnihilationBegan, InputTaken, PhaseEntered
from enclave_sim.guarantees import attested, isolated, jitter_free, zero_trace
from enclave_sim.guarantees.observation import Observer, Scenario
from enclave_sim.sweeps.outcomes import KERNEL_DIED, Arrival, Entry, Example, Outcome, Table, joined
from firmware import layout
from machine.events import Event, InterruptDelivered

_JUDGES = (zero_trace, isolated, jitter_free, attested)
_NMI = 2
_OF_POSITIONS = frozenset(["_counted_ns", "_timeless"])
"""Of the clock: they number the steps of one instant for positions, and decide about nothing else."""
_JOINED_AFTER = 1000


class Part:
    """Tries arrival points, in order.

    Args:
        scenario: The run without the input.
        collapse: False to execute every point to its end, for comparison.
    """

    def __init__(self, scenario: Scenario, *, collapse: bool = True) -> None:
        self._observer = Observer()
        self._enclave: Enclave = scenario.enclave(self._observer)
        self._observer.attach(self._enclave)
        self._scenario = scenario
        self._collapse = collapse
        self._pending: dict[Arrival, tuple[Any, Entry]] = {}
        """By kind: the state a step after the last point, if the input was still pending, and that point's class."""
        self._tried: list[tuple[Any, Entry, Any]] = []
        """Of this point: the state after each input, the class, and the state a step later if the input was pending."""

    def run(self, points: Sequence[int], kinds: Sequence[Arrival], progress: Callable[[int], None]) -> Table:
        """Try points.

        Args:
            points: Virtual times in ns, each at the end of a step.
            kinds: What arrives.
            progress: Called after each point with the number of points done.

        Returns:
            The classes.
        """
        found: list[Entry] = []
        enclave = self._enclave
        for done, at_ns in enumerate(points, 1):
            if enclave.machine.clock.now_ns < at_ns:
                enclave.advance(at_ns)
            here = enclave.snapshot()
            self._tried.clear()
            found += [self._try(here, kind) for kind in kinds]
            enclave.restore(here)
            if len(found) > _JOINED_AFTER:
                found = list(joined([Table(tuple(found))]).entries)
            progress(done)
        return joined([Table(tuple(found))])

    def _try(self, here: EnclaveSnapshot, kind: Arrival) -> Entry:
        """Let the input arrive here. Return the class of this run alone."""
        enclave, at_ns = self._enclave, here.machine.at_ns
        enclave.restart(here, [kind.at(at_ns)])
        before = self._pending.pop(kind, None)
        now = self._state() if self._collapse else None
        entry, after = self._equal_to(now, kind, at_ns) if before is None or before[0] != now else (before[1], None)
        if entry is None or (before is not None and entry is before[1]):
            known = entry
            try:
                enclave.step()
            except KernelDied as error:
                return Entry(self._died(kind, error), 1, 1, Example(at_ns, ""))
            after = self._state() if self._collapse and not self._is_taken(kind) else None
            entry = Entry(known.outcome, 1, 0, known.first) if known is not None else self._to_the_end(kind, at_ns)
        self._tried.append((now, entry, after))
        if after is not None:
            self._pending[kind] = after, entry
        return entry

    def _equal_to(self, now: Any, kind: Arrival, at_ns: int) -> tuple[Entry | None, Any]:
        """Return the class of another input here after which the state is the same, and the state a step later.

        What a kernel that stops is called depends on the input, so such a class is no answer.
        """
        for state, entry, after in self._tried:
            if now is not None and state == now and entry.outcome.holds:
                return Entry(msgspec.structs.replace(entry.outcome, arrival=kind), 1, 0, Example(at_ns, "")), after
        return None, None

    def _state(self) -> tuple[Any, ...]:
        """Return everything that decides about the rest of the run, but for what was recorded before."""
        state = self._enclave.snapshot()
        machine, watchers = state.machine, self._observer.save_state()
        parts = [{name: part[name] for name in part if name not in _OF_POSITIONS} for part in machine.parts]
        rest = machine.at_ns, machine.processor, machine.devices, machine.ram
        return rest, parts, state.gate, state.trace, state.reached, state.outside, watchers

    def _events(self) -> list[Event]:
        recording = self._enclave.recording
        assert recording is not None, "the enclave of a sweep keeps its recording"
        return recording.events

    def _is_taken(self, kind: Arrival) -> bool:
        return _delivered(self._events(), kind) is not None

    def _to_the_end(self, kind: Arrival, at_ns: int) -> Entry:
        """Run to the end, and judge."""
        try:
            run = self._observer.run(self._enclave, replace(self._scenario, inputs=(kind.at(at_ns),)))
        except KernelDied as error:
            return Entry(self._died(kind, error), 1, 1, Example(at_ns, ""))
        broken = tuple(report.guarantee for report in (judge([run]) for judge in _JUDGES) if report.findings)
        detail = run.result.detail.partition(", POST code")[0]  # where the kernel stopped is no class of its own
        outcome = Outcome(kind, run.result.outcome, detail, self._taken_in(run.events, kind), broken)
        return Entry(outcome, 1, 1, Example(at_ns, run.result.digest))

    def _died(self, kind: Arrival, error: KernelDied) -> Outcome:
        return Outcome(kind, KERNEL_DIED, str(error), self._taken_in(self._events(), kind), ())

    def _taken_in(self, events: Sequence[Event], kind: Arrival) -> str:
        place = _delivered(events, kind)
        return "never" if place is None else _phase(events[:place])


def _delivered(events: Sequence[Event], kind: Arrival) -> int | None:
    """Return the position of the event with which the handler of an input was entered; None if it was not."""
    vector = layout()["VECTOR_EXTERNAL"] if kind is Arrival.EXTERNAL else _NMI
    taken = False
    for place, event in enumerate(events):
        taken = taken or isinstance(event, InputTaken)
        if taken and isinstance(event, InterruptDelivered) and event.vector == vector:
            return place
    return None


def _phase(events: Sequence[Event]) -> str:
    """Return the boot phase after these events."""
    if any(isinstance(event, AnnihilationBegan) for event in events):
        return "annihilation"
    entered = [event.phase for event in events if isinstance(event, PhaseEntered)]
    return entered[-1] if entered else "before PROT_ENTRY"
