"""All guarantees for one scenario: the necessary runs, and the reports."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec

from enclave_sim.cancellation import Cancellation
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
    cancellation: Cancellation | None = None,
) -> Iterator[Report]:
    """Judge a scenario by every guarantee, one report after the other.

    The runs are: `runs` of the scenario itself, the second without native code on the host if a coprocessor runs the
    guest; as many under varied load, for jitter; and two for each secret (sensor values, and with `secret_data` the
    data segments).

    Args:
        scenario: The scenario.
        runs: Number of runs of the scenario itself, at least 2.
        seed: Chooses the loads and the secrets.
        secret_data: Data segments are secrets, too.
        progress: Called with a description of each step before it begins.
        cancellation: Polled before each of these steps, and at every event of every run.

    Yields:
        The report of each guarantee.

    Raises:
        ConfigurationError: `runs` is below 2, or the scenario cannot be run.
        Cancelled: `cancellation` was cancelled.
    """
    token = cancellation or Cancellation()

    def begin(what: str) -> None:
        token.poll()
        progress(what)

    if runs < 2:
        raise ConfigurationError(f"runs is {runs}; it takes at least 2 to compare")
    repeated = []
    for number in range(runs):
        begin(f"run {number + 1} of {runs}")
        repeated.append(observe_scenario(_variant(scenario, number), token))
    yield deterministic([_as(run, scenario) for run in repeated])

    loaded: list[Run] = []
    for load in loads(scenario, runs, seed):
        begin(f"load {len(loaded) + 1}")
        loaded.append(observe_scenario(load, token))

    pairs = []
    for vary, what in ((with_other_sensors, "sensors"), (with_other_data, "data segments")):
        if what == "sensors" or secret_data:
            begin(f"two runs with other {what}")
            pairs.append((what, [observe_scenario(vary(scenario, seed + n), token) for n in (1, 2)]))

    everything = [*repeated, *loaded, *(run for _, pair in pairs for run in pair)]
    begin("residue")
    yield zero_trace(everything)
    yield _noninterference(pairs)
    yield isolated(everything)
    yield jitter_free([*repeated, *loaded])
    yield admitted(everything)
    yield attested(everything)


def _variant(scenario: Scenario, number: int) -> Scenario:
    """Return the scenario of a run: the second without native code if a coprocessor runs the guest: else it is slow."""
    if number != 1 or not scenario.configuration.engine.is_coprocessor:
        return scenario
    return replace(scenario, options=msgspec.structs.replace(scenario.options, portable=True))


def _as(run: Run, scenario: Scenario) -> Run:
    """Return the run with the given scenario: native code on the host is not a difference between scenarios."""
    return replace(run, scenario=scenario)


def _noninterference(pairs: list[tuple[str, list[Run]]]) -> Report:
    findings: list[Finding] = []
    looked: dict[str, int] = {}
    for what, (first, second) in pairs:
        report = noninterference(first, second)
        findings += [Finding(f"other {what}: {f.what}", f.at_ns, f.evidence) for f in report.findings]
        looked |= {name: looked.get(name, 0) + count for name, count in report.looked_at.items()}
    secrets = " and ".join(what for what, _ in pairs)
    return Report("non-interference", tuple(findings), {"secrets": secrets, **looked})
