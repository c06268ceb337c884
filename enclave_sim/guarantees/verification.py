"""All guarantees for one scenario: the necessary runs, and the reports."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import msgspec

from enclave_sim.cancellation import Cancellation
from enclave_sim.errors import ConfigurationError, OptionError
from enclave_sim.guarantees.judges.admission import admitted
from enclave_sim.guarantees.judges.jitter import jitter_free, loads
from enclave_sim.guarantees.judges.lifetime import ShortLived, short_lived
from enclave_sim.guarantees.judges.noninterference import noninterference
from enclave_sim.guarantees.judges.runs import attested, deterministic, isolated, zero_trace
from enclave_sim.guarantees.observation import Run, Scenario, observe_scenario
from enclave_sim.guarantees.report import Finding, Report
from enclave_sim.guarantees.variations import SECRETS
from enclave_sim.similar import did_you_mean

Progress = Callable[[str], None]
_UNLESS_GIVEN = "wake", "memory"
"""Secrets that a guest may ignore altogether. It need not be able to see both. Only memory if there are inputs: after a
sleep of another length they would meet something else."""


def verify(
    scenario: Scenario,
    *,
    runs: int = 3,
    seed: int = 0,
    secrets: Sequence[str] = (),
    promises: Sequence[ShortLived] = (),
    progress: Progress = lambda _what: None,
    cancellation: Cancellation | None = None,
) -> Iterator[Report]:
    """Judge a scenario by every guarantee, one report after the other.

    The runs are: `runs` of the scenario itself, the second without native code on the host if a coprocessor runs the
    guest; as many under varied load, for jitter; and two for each secret.

    Args:
        scenario: The scenario.
        runs: Number of runs of the scenario itself, at least 2.
        seed: Chooses the loads and the secrets.
        secrets: Names of `enclave_sim.guarantees.variations.SECRETS`; by default what ends a sleep, and memory.
        promises: Secrets that must be short-lived: each has a report of its own, of one more run.
        progress: Called with a description of each step before it begins.
        cancellation: Polled before each of these steps, and at every event of every run.

    Yields:
        The report of each guarantee.

    Raises:
        OptionError: `runs` is below 2.
        ConfigurationError: A secret does not exist, or the scenario cannot be run.
        Cancelled: `cancellation` was cancelled.
    """
    token = cancellation or Cancellation()

    def begin(what: str) -> None:
        token.poll()
        progress(what)

    if runs < 2:
        raise OptionError("runs", f"is {runs}; it takes at least 2 to compare")
    for unknown in (name for name in secrets if name not in SECRETS):
        near = did_you_mean(unknown, SECRETS)
        raise ConfigurationError(f"there is no secret {unknown!r}; {near}there are {', '.join(SECRETS)}")
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
    for what in dict.fromkeys(secrets or _UNLESS_GIVEN[bool(scenario.inputs) :]):
        begin(f"two runs with other {what}")
        pairs.append((what, [observe_scenario(SECRETS[what](scenario, seed + n), token) for n in (1, 2)]))

    everything = [*repeated, *loaded, *(run for _, pair in pairs for run in pair)]
    begin("residue")
    yield zero_trace(everything)
    yield _noninterference(pairs, all_needed=bool(secrets))
    yield isolated(everything)
    yield jitter_free([*repeated, *loaded])
    yield admitted(everything)
    yield attested(everything)
    for one in promises:
        begin(f"lifetimes of {one.secret}")
        yield short_lived(scenario, one.secret, within_ns=one.within_ns, only_in=one.only_in, cancellation=token)


def _variant(scenario: Scenario, number: int) -> Scenario:
    """Return the scenario of a run: the second without native code if a coprocessor runs the guest: else it is slow."""
    if number != 1 or not scenario.configuration.engine.is_coprocessor:
        return scenario
    return replace(scenario, options=msgspec.structs.replace(scenario.options, portable=True))


def _as(run: Run, scenario: Scenario) -> Run:
    """Return the run with the given scenario: native code on the host is not a difference between scenarios."""
    return replace(run, scenario=scenario)


def _noninterference(pairs: list[tuple[str, list[Run]]], *, all_needed: bool) -> Report:
    """Judge the pairs of runs of all secrets. It has no evidence if one is invisible that is needed, or if all are."""
    reports = {what: noninterference(first, second) for what, (first, second) in pairs}
    findings = [
        Finding(f"other {what}: {f.what}", f.at_ns, f.evidence) for what, r in reports.items() for f in r.findings
    ]
    seen = [what for what, report in reports.items() if report.findings or not report.no_evidence]
    looked: dict[str, int] = {}
    for what in seen:
        numbers = {name: one for name, one in reports[what].looked_at.items() if isinstance(one, int)}
        looked |= {name: looked.get(name, 0) + one for name, one in numbers.items()}
    unseen = [f"{what}: {report.no_evidence}" for what, report in reports.items() if what not in seen]
    missing = unseen[0] if unseen and (all_needed or not seen) else ""
    named = {"secrets": " and ".join(seen) or "none", **looked}
    return Report("non-interference", tuple(findings), named, no_evidence=missing)
