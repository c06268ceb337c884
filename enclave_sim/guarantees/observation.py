"""Observed runs: the evidence from which guarantees are judged.

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
from enclave_sim.time_travel.template import Template
from machine.events import Event
from machine.state import Stateful

_DEFAULT_LIMIT_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that determines a run, so that it can be repeated.

        scenario = Scenario("counter", EnclaveOptions.of(cycles=3))
        first, second = observe_scenario(scenario), observe_scenario(scenario)
        deterministic([first, second]).check()

    `with_other_data`, `with_other_memory`, `loads` and others derive scenarios from one. Its `Run` keeps it.
    """

    payload: Any
    """As for `Enclave`: a built-in name, a path, the payload itself, or several of these."""
    options: EnclaveOptions = field(default_factory=EnclaveOptions)
    inputs: tuple[AnyInput, ...] = ()
    limit_ns: int | None = _DEFAULT_LIMIT_NS
    """Limit of virtual time, by default 10 s; None for no limit."""

    def enclave(self, recorder: Any = None) -> Enclave:
        """Make a fresh enclave of this scenario. It has not run yet.

        Args:
            recorder: Gets every event as it happens.

        Returns:
            The enclave.

        Raises:
            ConfigurationError: The scenario cannot be run.
        """
        return self.options.enclave(self.payload, recorder=recorder, inputs=self.inputs)

    @property
    def configuration(self) -> EnclaveConfiguration:
        """The configuration among the options."""
        return self.options.configuration

    @property
    def name(self) -> str:
        """The names of the payloads, for reports."""
        if any(isinstance(one, GuestReplaced) for one in self.inputs):
            return "a replaced guest"
        several = [self.payload] if isinstance(self.payload, str | bytes) else list(self.payload)
        return ", ".join(one if isinstance(one, str) else f"{len(one)} bytes" for one in several)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run, with the watchers' observations.

        run = observe("counter", cycles=3)
        print(run.result.outcome, len(run.events), zero_trace([run]))

    `observe`, `observe_scenario` and `ObservedTemplate` make runs; the guarantees judge them. It holds no enclave and
    is immutable.
    """

    scenario: Scenario
    result: RunResult
    """The result that `Enclave.run` returned."""
    events: tuple[Event, ...]
    residue: Residue
    """The residue; empty if the enclave did not become dormant."""
    final: MachineState
    """The state of the machine at the end."""
    looked_at: dict[str, Counter[str]]
    """Number of observations of each watcher, by kind."""
    findings: dict[str, tuple[Finding, ...]]
    """The findings of each watcher."""
    probes: tuple[Probe, ...]
    """Digests of the state visible to other contexts, for comparison with other runs."""


class Observer(Stateful):
    """The watchers of one enclave, as a recorder. Every event is a checkpoint at which the run can be cancelled."""

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
        """Attach the watchers to an enclave, before it runs."""
        for watcher in self.watchers:
            watcher.machine = enclave.machine
            if isinstance(watcher, MeasurementWatcher):
                watcher.payload = enclave.payloads[0]
            if isinstance(watcher, AttestationWatcher):
                watcher.enclave = enclave
            watcher.engine, watcher.kernel = enclave.configuration.engine, enclave.configuration.kernel

    def record(self, event: Event) -> None:
        """Take one event as it happens."""
        self._cancellation.poll()
        for handler in self._handlers.get(type(event), ()):
            handler(event)

    def run(self, enclave: Enclave, scenario: Scenario) -> Run:
        """Run an enclave with attached watchers to its end or to the scenario's limit."""
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
    """Boot a fresh enclave, run it under watchers, and return their observations.

    Args:
        payload: As for `Enclave`: a built-in name, a path, the payload itself, or several of these.
        inputs: The inputs of the run, in any order.
        limit_ns: Limit of virtual time, by default 10 s; None for no limit.
        **options: As for `EnclaveOptions.of`: fields of `EnclaveConfiguration`, and replacements for built-in parts.

    Returns:
        The run.

    Raises:
        ConfigurationError: The enclave cannot be made.
    """
    return observe_scenario(Scenario(payload, EnclaveOptions.of(**options), tuple(inputs), limit_ns))


def observe_scenario(scenario: Scenario, cancellation: Cancellation | None = None) -> Run:
    """Run a scenario under watchers.

    Args:
        scenario: The scenario.
        cancellation: Polled at every event.

    Returns:
        The run.

    Raises:
        ConfigurationError: The scenario cannot be run.
        Cancelled: `cancellation` was cancelled.
    """
    observer = Observer(cancellation)
    enclave = scenario.enclave(observer)
    observer.attach(enclave)
    return observer.run(enclave, scenario)


class ObservedTemplate:
    """A `Template` under watchers: it boots once. Every `run` is that of a fresh enclave, independent of the others.

        bench = ObservedTemplate("beacon")
        runs = [bench.run(inputs=[Tamper(at_ns=bench.at_ns + delay)]) for delay in (0, 1000)]
        zero_trace(runs).check()

    Args:
        payload: As for `Enclave`.
        **options: As for `EnclaveOptions.of`.

    Raises:
        ConfigurationError: The enclave cannot be made, or it annihilates itself while it boots.
    """

    def __init__(self, payload: Any = "beacon", **options: Any) -> None:
        self._payload, self._options = payload, EnclaveOptions.of(**options)
        self._observer = Observer()
        self._template = Template(payload, recorder=self._observer, prepare=self._observer.attach, **options)
        self.at_ns = self._template.at_ns
        """Virtual time at which every run starts, in ns since reset."""

    def run(
        self,
        guest: bytes | None = None,
        *,
        inputs: Iterable[AnyInput] = (),
        limit_ns: int | None = _DEFAULT_LIMIT_NS,
    ) -> Run:
        """Run from the start.

        Args:
            guest: Replaces the first payload: a WebAssembly module, or a flat binary.
            inputs: The inputs of the run; none may be due before `at_ns`.
            limit_ns: Limit of virtual time, by default 10 s; None for no limit.

        Returns:
            The run.

        Raises:
            ConfigurationError: An input is impossible, or due too early.
            PayloadRejected: The guest is outside the profile or the contract.
        """
        enclave = self._template.start(guest, inputs=inputs)
        scenario = Scenario(self._payload, self._options, enclave.header.inputs, limit_ns)
        return self._observer.run(enclave, scenario)


def gathered(guarantee: str, runs: Sequence[Run], watcher: str) -> Report:
    """Report the findings of one watcher in several runs."""
    looked: Counter[str] = Counter()
    findings: list[Finding] = []
    for run in runs:
        looked += run.looked_at[watcher]
        findings += run.findings[watcher]
    return Report(guarantee, tuple(findings), {"runs": len(runs), **looked})
