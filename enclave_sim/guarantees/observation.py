"""Runs that are watched: the evidence that guarantees are judged by.

run = observe("counter", cycles=3)             # a fresh enclave
bench = ObservedTemplate("beacon")             # or boot once, and run often
run = bench.run(guest, inputs=inputs)
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.guarantees.report import Finding, Report
from enclave_sim.guarantees.watchers.attestation import AttestationWatcher
from enclave_sim.guarantees.watchers.context_switch import ContextSwitchWatcher
from enclave_sim.guarantees.watchers.interference import InterferenceWatcher, Probe
from enclave_sim.guarantees.watchers.isolation import IsolationWatcher
from enclave_sim.guarantees.watchers.machine_state import MachineState
from enclave_sim.guarantees.watchers.measurement import MeasurementWatcher
from enclave_sim.guarantees.watchers.watcher import Watcher
from enclave_sim.inputs import AnyInput, GuestReplaced
from enclave_sim.recording.outcome.residue import Residue
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.specification import EngineName
from enclave_sim.time_travel.template import Template
from machine.events import Event
from machine.state import Stateful

_DEFAULT_LIMIT_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a run is made from, so that it can be made again."""

    payload: Any
    options: EnclaveOptions = field(default_factory=EnclaveOptions)
    inputs: tuple[AnyInput, ...] = ()
    limit_ns: int | None = _DEFAULT_LIMIT_NS

    def enclave(self, recorder: Any = None) -> Enclave:
        """Make a fresh enclave that will run so."""
        return self.options.enclave(self.payload, recorder=recorder, inputs=self.inputs)

    @property
    def configuration(self) -> EnclaveConfiguration:
        """The configuration among the options."""
        return self.options.configuration

    @property
    def name(self) -> str:
        """What runs, for people."""
        if any(isinstance(one, GuestReplaced) for one in self.inputs):
            return "a replaced guest"
        several = [self.payload] if isinstance(self.payload, str | bytes) else list(self.payload)
        return ", ".join(one if isinstance(one, str) else f"{len(one)} bytes" for one in several)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over, and what was seen."""

    scenario: Scenario
    result: RunResult
    events: tuple[Event, ...]
    residue: Residue
    final: MachineState
    """The machine at the end."""
    looked_at: dict[str, Counter[str]]
    """How often each watcher looked at what."""
    findings: dict[str, tuple[Finding, ...]]
    """What each watcher found."""
    probes: tuple[Probe, ...]
    """What other contexts could see, for comparisons with other runs."""


class Observer(Stateful):
    """The watchers of one enclave, as a recorder. Every event is a checkpoint, at which the run can be cancelled."""

    PARTS: ClassVar[tuple[str, ...]] = ("watchers",)
    WIRING: ClassVar[tuple[str, ...]] = ("_cancellation", "_handlers")

    def __init__(self, cancellation: Cancellation | None = None) -> None:
        self._cancellation = cancellation or Cancellation()
        self.watchers: list[Watcher] = [
            ContextSwitchWatcher(),
            IsolationWatcher(),
            InterferenceWatcher(),
            MeasurementWatcher(),
            AttestationWatcher(),
        ]
        self._handlers: dict[type, list[Any]] = {}
        for watcher in self.watchers:
            for kind, handler in watcher.handlers().items():
                self._handlers.setdefault(kind, []).append(handler)

    def attach(self, enclave: Enclave) -> None:
        """Look at this enclave; to be called before it runs."""
        for watcher in self.watchers:
            watcher.machine = enclave.machine
            if isinstance(watcher, MeasurementWatcher):
                watcher.payload = enclave.payloads[0]
            if isinstance(watcher, AttestationWatcher):
                watcher.enclave = enclave
            watcher.native = enclave.configuration.engine is EngineName.NATIVE

    def record(self, event: Event) -> None:
        """Take one event, while it happens."""
        self._cancellation.poll()
        for handler in self._handlers.get(type(event), ()):
            handler(event)

    def run(self, enclave: Enclave, scenario: Scenario) -> Run:
        """Run an enclave that is attached, to its end or to the scenario's limit."""
        result = enclave.run(scenario.limit_ns)
        (probes,) = (tuple(w.probes) for w in self.watchers if isinstance(w, InterferenceWatcher))
        return Run(
            scenario,
            result,
            tuple(enclave.recording.events) if enclave.recording is not None else (),
            enclave.residue if enclave.dormant else Residue((), 0),
            MachineState.of(enclave.machine),
            {watcher.NAME: watcher.looked_at.copy() for watcher in self.watchers},
            {watcher.NAME: tuple(watcher.findings) for watcher in self.watchers},
            probes,
        )


def observe(
    payload: Any = "beacon",
    *,
    inputs: Iterable[AnyInput] = (),
    limit_ns: int | None = _DEFAULT_LIMIT_NS,
    **options: Any,
) -> Run:
    """Boot a fresh enclave, run it, and watch. The arguments are those of `EnclaveOptions.of`.

    Raises ConfigurationError for what cannot be run. Virtual time is limited to 10 s.
    """
    return observe_scenario(Scenario(payload, EnclaveOptions.of(**options), tuple(inputs), limit_ns))


def observe_scenario(scenario: Scenario, cancellation: Cancellation | None = None) -> Run:
    """Run and watch what a scenario describes. Raises Cancelled at the event at which that was cancelled."""
    observer = Observer(cancellation)
    enclave = scenario.enclave(observer)
    observer.attach(enclave)
    return observer.run(enclave, scenario)


class ObservedTemplate:
    """`Template`, watched: boots once; every `run` is that of a fresh enclave, and independent of the others."""

    def __init__(self, payload: Any = "beacon", **options: Any) -> None:
        self._payload, self._options = payload, EnclaveOptions.of(**options)
        self._observer = Observer()
        self._template = Template(payload, recorder=self._observer, prepare=self._observer.attach, **options)
        self.at_ns = self._template.at_ns
        """Virtual time at which every run starts."""

    def run(
        self,
        guest: bytes | None = None,
        *,
        inputs: Iterable[AnyInput] = (),
        limit_ns: int | None = _DEFAULT_LIMIT_NS,
    ) -> Run:
        """Run from the start, with another guest if one is given. See `Template.start` for what may be raised."""
        enclave = self._template.start(guest, inputs=inputs)
        scenario = Scenario(self._payload, self._options, enclave.header.inputs, limit_ns)
        return self._observer.run(enclave, scenario)


def gathered(guarantee: str, runs: Sequence[Run], watcher: str) -> Report:
    """What one watcher found in several runs."""
    looked: Counter[str] = Counter()
    findings: list[Finding] = []
    for run in runs:
        looked += run.looked_at[watcher]
        findings += run.findings[watcher]
    return Report(guarantee, tuple(findings), {"runs": len(runs), **looked})
