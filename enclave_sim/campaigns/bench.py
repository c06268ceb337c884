"""The bench: one enclave under the watchers of the guarantees, on which many runs with faults are made and judged.

Every run is that of a fresh enclave, independent of the runs before it.
"""

import gc
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import msgspec

from enclave_sim.campaigns.faults import (
    AnyFault,
    Injection,
    MemoryBits,
    PartFault,
    PowerLoss,
    RegisterBits,
    StuckMemory,
    StuckRegister,
)
from enclave_sim.campaigns.golden import Golden
from enclave_sim.campaigns.injection import NotActivatedError, inject, mistake_of
from enclave_sim.campaigns.memory_uses import MemoryUses, Use
from enclave_sim.campaigns.outcomes import Outcome, Record, classify
from enclave_sim.campaigns.power_loss import lose_power
from enclave_sim.campaigns.register_uses import Class, RegisterUses, check_window
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError, EnclaveError
from enclave_sim.events import InputTaken, ResidueScanned
from enclave_sim.guarantees.judges.admission import admitted
from enclave_sim.guarantees.judges.jitter import jitter_free
from enclave_sim.guarantees.observation import Observer, Run, Scenario
from enclave_sim.guarantees.report import Finding
from enclave_sim.guarantees.watchers.context_switch import ContextSwitchWatcher
from enclave_sim.guarantees.watchers.machine_state import MachineState
from enclave_sim.memory_map import region_at
from enclave_sim.recording.event_text import event_line
from enclave_sim.recording.outcome.residue import Residue, ResidueRange
from enclave_sim.recording.outcome.summary import KERNEL_STOPPED, RunResult
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.errors import EmulatorFault, MachineError
from machine.events import Event
from machine.host_limit import HostLimit

_GOLDEN_LIMIT_NS = 10_000_000_000
_MARGIN_NS = 1_000_000
_HOST_LIMIT_S = 30.0
_SHOWN = 3
_EVENTS, _MORE_EVENTS = 4, 1000
"""A run may have four times the events of the golden run, and a thousand more."""
_WATCHERS = {"context switches": "zero-trace", "isolation": "isolated", "attestation": "attested"}
_NORMAL_STOPS = ("triple fault", "halted for good", "the kernel ")


class TooManyEventsError(Exception):
    """A run has far more events than the golden run: it goes in circles."""


class _LimitedObserver(Observer):
    """The watchers, and a limit of events: a kernel that faults again and again hangs, long before its virtual time."""

    WIRING = ("limit",)

    def __init__(self) -> None:
        super().__init__()
        self.limit = 1 << 60

    def record(self, event: Event) -> None:
        """See `Recorder`."""
        if event.seq > self.limit:
            raise TooManyEventsError(f"more than {self.limit} events, the last at {event.at_ns} ns")
        super().record(event)

    def expect(self, fault: AnyFault) -> None:
        """Take inverted bits of memory for what they are, and not for residue."""
        for watcher in self.watchers:
            if isinstance(watcher, ContextSwitchWatcher):
                watcher.inverted = fault.inverted if isinstance(fault, MemoryBits) else {}


class Bench:
    """One enclave on which runs with faults are made, one after the other.

        bench = Bench("beacon")
        record = bench.run(Injection(RegisterBits("rsp", 1 << 40), AtTime(1_400_000)))

    Args:
        payload: As for `Enclave`.
        limit_ns: Virtual time at which a run counts as hanging, in ns; by default twice that of the golden run, and
            1 ms more.
        host_limit: Host seconds for one run; a run that takes longer is an emulator limit.
        **options: As for `EnclaveOptions.of`.

    Raises:
        ConfigurationError: The enclave cannot be made, or breaks a guarantee without any fault.
    """

    def __init__(
        self,
        payload: Any = "beacon",
        *,
        limit_ns: int | None = None,
        host_limit: float = _HOST_LIMIT_S,
        **options: Any,
    ) -> None:
        self.scenario = Scenario(payload, EnclaveOptions.of(**options))
        self._host_limit = host_limit
        self._begin()
        self.limit_ns = limit_ns or 2 * self.golden.end_ns + _MARGIN_NS
        """Virtual time at which a run counts as hanging."""
        self._moments: Sequence[int] = ()
        self.uses: RegisterUses | None = None
        """The uses of the general registers, if they were traced."""
        self.makes_all = False
        """True to make even the runs whose faults are known not to be activated."""

    def _begin(self) -> None:
        self._observer = _LimitedObserver()
        self.enclave = self.scenario.enclave(self._observer)
        self._observer.attach(self.enclave)
        self._judged_scenario = replace(self.scenario, payload=list(self.enclave.payloads))  # so that none reads files
        self.golden = Golden(self.enclave, _GOLDEN_LIMIT_NS)
        self._observer.limit = _EVENTS * len(self.golden.events) + _MORE_EVENTS
        self._judged_golden = self._judged(self.golden.result, self.golden.events)
        broken = [(name, found) for name, found in self._findings(self._judged_golden) if found]
        if broken:
            name, found = broken[0]
            raise ConfigurationError(f"the run without faults breaks {name}: {found[0].what}")

    def prepare(self, moments: Sequence[int]) -> None:
        """Take snapshots for runs whose faults come between the first and the last of some virtual times."""
        self._moments = moments
        if moments:
            self.golden.prepare(moments)

    def trace_registers(self, window: range) -> RegisterUses:
        """Find the uses of the general registers in a window of instructions, and know from now on what is not read.

        Args:
            window: Numbers of instructions retired.

        Returns:
            The uses.

        Raises:
            ConfigurationError: The window is not in the run, or too long.
        """
        self.uses = RegisterUses(self.enclave, self.golden, window)
        return self.uses

    def trace_memory(self, addresses: range, window: range) -> list[Class]:
        """Find the classes of equivalent moments of bytes of RAM.

        Args:
            addresses: Physical addresses.
            window: Numbers of instructions retired.

        Returns:
            The classes.

        Raises:
            ConfigurationError: The window is not in the run, or there are too many classes.
        """
        check_window(window, self.golden.instructions)
        return self.memory_uses.classes(addresses, window)

    @cached_property
    def memory_uses(self) -> MemoryUses:
        """The uses of RAM, found by another golden run when they are first asked for."""
        return MemoryUses(self.scenario.enclave(), self.golden.end_ns)

    def run(self, injection: Injection) -> Record:
        """Make one run with a fault, and judge it.

        Args:
            injection: The fault and its moment.

        Returns:
            The record.

        Raises:
            ConfigurationError: The fault is impossible.
        """
        problem = mistake_of(injection.fault, self.enclave.machine.ram.size)
        if problem is not None:
            raise ConfigurationError(f"{type(injection.fault).__name__}: {problem}")
        try:
            with HostLimit(self._host_limit):
                return self._run(injection)
        except TooManyEventsError as error:
            return self._unfinished(injection, (str(error),), Outcome.HANG)
        except (EmulatorFault, MachineError, EnclaveError) as error:
            return self._unfinished(injection, (f"{type(error).__name__}: {error}",))
        except Exception as error:  # noqa: BLE001 - a damaged machine may meet any defect of ours: it is a result
            last = traceback.extract_tb(error.__traceback__)[-1]
            return self._unfinished(injection, (f"{type(error).__name__}: {error}", f"{last.name}, line {last.lineno}"))

    def _unfinished(
        self, injection: Injection, evidence: tuple[str, ...], outcome: Outcome = Outcome.EMULATOR_LIMIT
    ) -> Record:
        at_ns = self.golden.time_of(self.golden.resolve(injection.trigger))
        phase = "" if at_ns is None else self.golden.phase_at(at_ns)
        del self.enclave, self.golden, self._observer, self._judged_golden
        gc.collect()  # an enclave is a circle of objects with megabytes of snapshots and translated code
        self._begin()  # whatever happened, the next run is that of a fresh enclave
        self.prepare(self._moments)
        region = target_of(injection.fault)
        return Record(injection, outcome, at_ns=at_ns, phase=phase, region=region, evidence=evidence)

    def _run(self, injection: Injection) -> Record:
        moment = self.golden.resolve(injection.trigger)
        region = target_of(injection.fault)
        if moment is None:
            return Record(injection, Outcome.NOT_ACTIVATED, region=region, evidence=("its moment never comes",))
        self.golden.go_to(moment)
        machine = self.enclave.machine
        at_ns, rip = machine.clock.now_ns, machine.cpu.linear_rip
        record = Record(
            injection,
            Outcome.NOT_ACTIVATED,
            at_ns=at_ns,
            instructions=machine.cpu.hook.retired,
            rip=rip,
            phase=self.golden.phase_at(at_ns),
            region=region,
            place=self.enclave.program.place(rip),
        )
        known = "" if self.makes_all else self._unused(injection.fault, machine.cpu.hook.retired, at_ns)
        if known:
            return msgspec.structs.replace(record, evidence=(known,))
        self._observer.expect(injection.fault)
        if isinstance(injection.fault, PowerLoss):
            found, others = lose_power(self.enclave, self.golden, injection.fault)
            record = msgspec.structs.replace(record, evidence=others)
            return self._concluded(record, self.enclave.run(self.limit_ns), [("remanent", tuple(found))])
        try:
            inject(self.enclave, injection.fault, self.limit_ns)
        except NotActivatedError as reason:
            return msgspec.structs.replace(record, evidence=(str(reason),))
        result = self.enclave.run(self.limit_ns)
        return self._concluded(record, result)

    def _unused(self, fault: AnyFault, instructions: int, at_ns: int) -> str:
        """Say why nothing reads the value that a fault changes; empty if something may read it."""
        if isinstance(fault, RegisterBits) and self.uses is not None:
            overwritten = self.uses.is_read(fault.register, instructions) is False
            return "the register is overwritten before it is read" if overwritten else ""
        if not isinstance(fault, MemoryBits):
            return ""
        uses = {self.memory_uses.of(address, instructions, at_ns) for address in fault.inverted}
        if Use.READ in uses:
            return ""
        if Use.LEFT in uses:
            return "nothing reads the memory before the end, where the inverted bits are still there"
        return "the memory is overwritten before it is read"

    def _concluded(
        self, record: Record, result: RunResult, before: Sequence[tuple[str, tuple[Finding, ...]]] = ()
    ) -> Record:
        """Return the record of a run that has ended, with what was found before it began."""
        recording = self.enclave.recording
        assert recording is not None
        first = first_difference(self.golden.events, recording.events)
        remains = isinstance(first, ResidueScanned) and all(
            self._is_fault(one, record.injection.fault) for one in self.enclave.residue.ranges
        )
        first = None if remains else first
        same = first is None
        judged = self._judged_golden if same else self._judged(result, recording.events)
        findings = (*before, *self._findings(judged, record.injection.fault))
        broken = [(name, found) for name, found in findings if found]
        outcome = classify(result, self.golden.result, tuple(name for name, _ in broken))
        evidence = [line for _, found in broken for one in found[:_SHOWN] for line in one.lines()]
        evidence += record.evidence
        if result.outcome == KERNEL_STOPPED and not result.detail.startswith(_NORMAL_STOPS):
            outcome, evidence = Outcome.EMULATOR_LIMIT, [result.detail]
        if remains:
            evidence.append("the inverted bits themselves are still there at the end")
        if first is not None:
            evidence.append(f"first difference: {event_line(first)}")
        return msgspec.structs.replace(
            record,
            outcome=outcome,
            guarantees=tuple(name for name, _ in broken),
            cause=result.outcome,
            detail=result.detail,
            end_ns=result.virtual_ns,
            same=same,
            digest=result.digest,
            evidence=tuple(evidence),
        )

    # Guarantees

    def _judged(self, result: RunResult, events: Sequence[Event]) -> list[tuple[str, tuple[Finding, ...]]]:
        """Return the findings of the judges that look at the events only."""
        state = MachineState(result.virtual_ns, {}, {}, {})
        seen = self._looked_at(), self._found()
        run = Run(self._judged_scenario, result, tuple(events), Residue((), 0), state, *seen, ())
        return [("jitter-free", jitter_free([run]).findings), ("admitted", admitted([run]).findings)]

    def _looked_at(self) -> dict[str, Any]:
        return {watcher.NAME: watcher.looked_at for watcher in self._observer.watchers}

    def _found(self) -> dict[str, tuple[Finding, ...]]:
        return {watcher.NAME: tuple(watcher.findings) for watcher in self._observer.watchers}

    def _is_fault(self, residue: ResidueRange, fault: AnyFault | None) -> bool:
        """Report whether residue is nothing but the inverted bits themselves, where no byte was left without them."""
        if not isinstance(fault, MemoryBits):
            return False
        expected = {address: self.golden.final_byte(address) ^ bits for address, bits in fault.inverted.items()}
        return all(expected.get(residue.base + n) == byte for n, byte in enumerate(residue.data))

    def _findings(
        self, judged: list[tuple[str, tuple[Finding, ...]]], fault: AnyFault | None = None
    ) -> Iterable[tuple[str, tuple[Finding, ...]]]:
        """Yield each guarantee with its violations in the run that has just ended."""
        for watcher in self._observer.watchers:
            if watcher.NAME in _WATCHERS:
                yield _WATCHERS[watcher.NAME], tuple(watcher.findings)
        if self.enclave.dormant:
            ranges = [one for one in self.enclave.residue.ranges if not self._is_fault(one, fault)]
            lines = tuple(Finding(f"residue in {r.region}: {len(r.data)} bytes at {r.base:#x}") for r in ranges)
            yield "residue", lines
        yield from judged


def first_difference(golden: Sequence[Event], events: Sequence[Event]) -> Event | None:
    """Return the first event that the golden run does not have at that place and time; None if all are the same.

    The inputs taken, which are the fault itself, do not count.
    """
    shift = 0
    for event in events:
        if isinstance(event, InputTaken):
            shift += 1
            continue
        index = event.seq - shift
        if index >= len(golden) or msgspec.structs.replace(event, seq=index) != golden[index]:
            return event
    return events[-1] if len(events) - shift < len(golden) else None


def target_of(fault: AnyFault) -> str:
    """Return what a fault hits: a region of memory, a kind of register, or a part."""
    if isinstance(fault, MemoryBits | StuckMemory):
        found = region_at(fault.address)
        return found.name if found is not None else "unmapped"
    if isinstance(fault, RegisterBits | StuckRegister):
        return "general registers" if fault.register in GENERAL_REGISTERS else fault.register
    return fault.part if isinstance(fault, PartFault) else str(fault.__struct_config__.tag)
