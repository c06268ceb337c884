"""The golden run: the run of a scenario without faults, to which every run of a campaign is compared.

Until its fault takes effect, a run is the golden run. So each trigger is resolved on the golden run, once, and a run
begins at the last of the golden run's snapshots before its moment.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from enclave_sim.campaigns.faults import AnyTrigger, AtAddress, AtEvent, AtInstruction, AtTime
from enclave_sim.campaigns.injection import run_until
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.inputs.validation import matches
from enclave_sim.enclave.snapshot import EnclaveSnapshot
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import PhaseEntered
from enclave_sim.recording.outcome.summary import KERNEL_STOPPED, RunResult
from machine.events import Event

_SNAPSHOTS = 32
_MAX_VISITS = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """A moment of the golden run. One of the two says when; the other is 0."""

    ns: int = 0
    instructions: int = 0


class Golden:
    """The golden run of an enclave.

    Args:
        enclave: The enclave at power-on, with its recorders.
        limit_ns: A limit of virtual time for it, in ns.

    Raises:
        ConfigurationError: The run does not end within the limit, or the kernel stops.
    """

    def __init__(self, enclave: Enclave, limit_ns: int) -> None:
        self._enclave = enclave
        self._snapshots: list[EnclaveSnapshot] = [enclave.snapshot()]
        self._instructions = [enclave.machine.cpu.hook.retired]
        self.result: RunResult = enclave.run(limit_ns)
        if self.result.outcome in ("LIMIT", KERNEL_STOPPED):
            raise ConfigurationError(
                f"the run without faults ends by {self.result.outcome}; a campaign needs one that ends well"
            )
        assert enclave.recording is not None
        self.events: tuple[Event, ...] = tuple(enclave.recording.events)
        self.instructions = enclave.machine.cpu.hook.retired
        """Instructions retired in the run."""
        self.phases = [(event.at_ns, event.phase) for event in self.events if isinstance(event, PhaseEntered)]
        self._visits: dict[int, list[int]] = {}
        self._final = enclave.machine.ram.image()
        self._times: dict[Moment, int] = {}

    @property
    def end_ns(self) -> int:
        """Virtual time of the end, in ns."""
        return self.result.virtual_ns

    def final_byte(self, address: int) -> int:
        """Return a byte of RAM at the end of the run, by physical address."""
        index = bisect_right(self._final.runs, address, key=lambda run: run[0]) - 1
        base, data = self._final.runs[index] if index >= 0 else (0, b"")
        return data[address - base] if address - base < len(data) else 0

    def time_of(self, moment: Moment | None) -> int | None:
        """Return the virtual time of a moment in ns; None for None."""
        if moment is None or moment.ns:
            return None if moment is None else moment.ns
        if moment not in self._times:
            self.go_to(moment)
            self._times[moment] = self._enclave.machine.clock.now_ns
        return self._times[moment]

    def phase_at(self, ns: int) -> str:
        """Return the name of the boot phase at a virtual time; empty before the first."""
        index = bisect_right(self.phases, (ns, "~")) - 1
        return self.phases[index][1] if index >= 0 else ""

    def span_of(self, phase: str) -> range:
        """Return the virtual times of a phase, in ns, to the beginning of the next or the end of the run.

        Raises:
            ConfigurationError: The run has no such phase.
        """
        for number, (start, name) in enumerate(self.phases):
            if name == phase:
                following = self.phases[number + 1 :]
                return range(start, following[0][0] if following else self.end_ns)
        there = ", ".join(name for _, name in self.phases)
        raise ConfigurationError(f"the run has no phase {phase!r}; it has {there}")

    def prepare(self, moments: Sequence[int], count: int = _SNAPSHOTS) -> None:
        """Take snapshots between the first and the last of some virtual times, evenly, for `go_to`."""
        enclave, first, last = self._enclave, min(moments), min(max(moments), self.end_ns - 1)
        del self._snapshots[1:], self._instructions[1:]
        enclave.restore(self._snapshots[0])
        for number in range(count):
            at_ns = first + (last - first) * number // count
            if at_ns <= enclave.machine.clock.now_ns:
                continue
            run_until(enclave, at_ns)
            if enclave.machine.clock.now_ns > at_ns and not enclave.machine.between_steps:
                continue
            self._snapshots.append(enclave.snapshot())
            self._instructions.append(enclave.machine.cpu.hook.retired)

    def resolve(self, trigger: AnyTrigger) -> Moment | None:
        """Return the moment of a trigger; None if it never comes."""
        match trigger:
            case AtTime(ns):
                return Moment(ns=ns) if ns < self.end_ns else None
            case AtInstruction(count):
                return Moment(instructions=count) if count < self.instructions else None
            case AtEvent(after, delay_ns):
                found = [event for event in self.events if matches(after, event)][after.count - 1 : after.count]
                return self.resolve(AtTime(found[0].at_ns + delay_ns)) if found else None
            case AtAddress(address, count):
                visits = self._visits_of(address)
                return Moment(instructions=visits[count - 1]) if count <= len(visits) else None

    def go_to(self, moment: Moment) -> None:
        """Bring the enclave to a moment."""
        enclave = self._enclave
        if moment.ns:
            index = bisect_right(self._snapshots, moment.ns, key=_time_of) - 1
            enclave.restore(self._snapshots[max(index, 0)])
            run_until(enclave, moment.ns)
            return
        index = bisect_right(self._instructions, moment.instructions) - 1
        enclave.restore(self._snapshots[max(index, 0)])
        machine = enclave.machine
        step_ns = machine.configuration.ns_per_instruction
        while (left := moment.instructions - machine.cpu.hook.retired) > 0 and not enclave.is_over:
            run_until(enclave, machine.clock.now_ns + left * step_ns)

    def _visits_of(self, address: int) -> list[int]:
        """Return the instructions retired before each visit of an address."""
        if address not in self._visits:
            enclave, found = self._enclave, list[int]()
            enclave.restore(self._snapshots[0])
            machine = enclave.machine
            machine.stop_at([address])
            try:
                while len(found) < _MAX_VISITS and not enclave.is_over:
                    enclave.advance(self.end_ns)
                    if not machine.at_stop:
                        if machine.clock.now_ns >= self.end_ns:
                            break
                        continue
                    found.append(machine.cpu.hook.retired)
                    machine.pass_this_address()
            finally:
                machine.stop_at()
            self._visits[address] = found
        return self._visits[address]


def _time_of(snapshot: EnclaveSnapshot) -> int:
    return snapshot.machine.at_ns
