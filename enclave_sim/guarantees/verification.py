"""All guarantees of one payload: which runs it takes, and the reports on them."""

from collections.abc import Callable, Iterator

from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees.judges.admission import admitted
from enclave_sim.guarantees.judges.jitter import jitter_free, loads
from enclave_sim.guarantees.judges.noninterference import noninterference
from enclave_sim.guarantees.judges.runs import attested, deterministic, isolated, zero_trace
from enclave_sim.guarantees.observation import Run, Scenario, observe_scenario
from enclave_sim.guarantees.report import Finding, Report
from enclave_sim.guarantees.variations import with_other_data, with_other_sensors

Progress = Callable[[str], None]


def verify(
    scenario: Scenario,
    *,
    runs: int = 3,
    seed: int = 0,
    secret_data: bool = False,
    progress: Progress = lambda _what: None,
    attend: Callable[[], None] = lambda: None,
) -> Iterator[Report]:
    """Judge a scenario by every guarantee, one report after the other.

    `runs` runs as they are, one of them without native code on the host where that is not too slow; as many other
    loads for jitter; and two runs with other secrets: sensor values, and with `secret_data` the data segments.
    `progress` is told what is done next; what it raises, or `attend`, which is called at every event of every run,
    gives up the verification. Raises ConfigurationError for fewer than two runs, or what cannot be run.
    """
    if runs < 2:
        raise ConfigurationError(f"runs is {runs}; it takes at least 2 to compare")
    repeated = []
    for number in range(runs):
        progress(f"run {number + 1} of {runs}")
        repeated.append(observe_scenario(_variant(scenario, number), attend))
    yield deterministic([_as(run, scenario) for run in repeated])

    loaded: list[Run] = []
    for load in loads(scenario, runs, seed):
        progress(f"load {len(loaded) + 1}")
        loaded.append(observe_scenario(load, attend))

    pairs = []
    for vary, what in ((with_other_sensors, "sensors"), (with_other_data, "data segments")):
        if what == "sensors" or secret_data:
            progress(f"two runs with other {what}")
            pairs.append((what, [observe_scenario(vary(scenario, seed + n), attend) for n in (1, 2)]))

    everything = [*repeated, *loaded, *(run for _, pair in pairs for run in pair)]
    progress("residue")
    yield zero_trace(everything)
    yield _noninterference(pairs)
    yield isolated(everything)
    yield jitter_free([*repeated, *loaded])
    yield admitted(everything)
    yield attested(everything)


def _variant(scenario: Scenario, number: int) -> Scenario:
    """The second run goes without native code, unless the guest itself is executed instruction by instruction."""
    if number != 1 or scenario.options.get("engine", "wasmtime") != "wasmtime":
        return scenario
    options = {**scenario.options, "portable": True}
    return Scenario(scenario.payload, options, scenario.inputs, scenario.limit_ns)


def _as(run: Run, scenario: Scenario) -> Run:
    """The host is no part of a scenario."""
    return Run(scenario, *(getattr(run, name) for name in Run.__slots__ if name != "scenario"))


def _noninterference(pairs: list[tuple[str, list[Run]]]) -> Report:
    findings: list[Finding] = []
    looked: dict[str, int] = {}
    for what, (first, second) in pairs:
        report = noninterference(first, second)
        findings += [Finding(f"other {what}: {f.what}", f.at_ns, f.evidence) for f in report.findings]
        looked |= {name: looked.get(name, 0) + count for name, count in report.looked_at.items()}
    secrets = " and ".join(what for what, _ in pairs)
    return Report("non-interference", tuple(findings), {"secrets": secrets, **looked})
