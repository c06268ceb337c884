"""Judges the enclave with or without a defect: which guarantees are broken, and what their reports say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from enclave_sim.errors import KernelDied
from enclave_sim.events import KernelStopped
from enclave_sim.guarantees import (
    Report,
    Run,
    admitted,
    attested,
    deterministic,
    isolated,
    jitter_free,
    noninterference,
    observe_scenario,
    short_lived,
    zero_trace,
)
from enclave_sim.recording.outcome.residue import Residue
from enclave_sim.recording.outcome.summary import KERNEL_STOPPED
from firmware import Firmware
from machine.errors import EmulatorFault
from tests.machine.fuzz import oracle, segments
from tests.machine.fuzz.properties import search
from tests.machine.fuzz.search import search_cases
from tests.mutants.defect import BY_BLOCK, LOUD, RING_3, SEARCH, SEARCH_BY_BLOCK, SEARCH_MODES, Defect
from tests.mutants.trials import TRIALS

MAX_EXAMPLES, _SEED = 20_000, 2
"""Examples within which a search must find the defect."""
_CASES = {
    SEARCH_BY_BLOCK: (BY_BLOCK, (oracle.BY_BLOCK, oracle.STOPS_BY_BLOCK)),
    SEARCH_MODES: (RING_3, (oracle.INTERRUPT, oracle.FETCHED, oracle.LIMITED, oracle.KEPT, *segments.RULES)),
}
"""Searches among the fuzzer's cases: what is broken if a case breaks one of these rules."""


@dataclass(frozen=True)
class Verdict:
    """The broken guarantees in the order of discovery, each with its first finding."""

    findings: dict[str, str]

    @property
    def caught(self) -> bool:
        """Whether anything noticed."""
        return bool(self.findings)


def judge(
    names: Sequence[str],
    examples: int = MAX_EXAMPLES,
    enough: frozenset[str] = frozenset(),
    kernel: Firmware | None = None,
) -> Verdict:
    """Run these trials and check every guarantee; a search tries up to `examples`.

    Args:
        names: The trials.
        examples: The most that a search tries.
        enough: Guarantees; the run stops once all of them are known to be broken. If empty, everything runs.
        kernel: The firmware to boot; None for the built-in one.
    """
    findings: dict[str, str] = {}
    if SEARCH in names and (found := search(_SEED, examples)) is not None:
        findings[RING_3] = f"{found.rule}: {found.what} (example {found.examples})"
    for name, (broken, rules) in _CASES.items():
        if name in names and (found := search_cases(_SEED, examples, rules)) is not None:
            findings[broken] = f"{found.rule}: {found.what} (example {found.examples})"
    try:
        for report in _reports([name for name in names if name in TRIALS], kernel):
            if report.findings:  # a defect may leave no guest that runs, and so no evidence about secrets
                findings.setdefault(report.guarantee, report.findings[0].what)
                if enough and enough <= findings.keys():
                    break
    except (KernelDied, EmulatorFault) as error:
        findings.setdefault(LOUD, str(error))
    return Verdict(findings)


def judge_mutant(defect: Defect, *, briefly: bool = False) -> Verdict:
    """Make the defect and run its trials; if `briefly`, only until the guarantees that must catch it have done so."""
    with defect.made() as kernel:
        return judge(defect.trials, enough=frozenset(defect.caught_by if briefly else ()), kernel=kernel)


def _reports(names: Sequence[str], kernel: Firmware | None) -> Iterator[Report]:
    runs = []
    for name in names:
        scenario, *others = TRIALS[name].scenarios(kernel)
        first = observe_scenario(scenario)
        runs.append(first)
        if kernel is not None and first.result.outcome == KERNEL_STOPPED:
            raise KernelDied(next(one.reason for one in first.events if isinstance(one, KernelStopped)))
        yield zero_trace([_briefly(first)])
        yield isolated([first])
        yield admitted([first])
        yield attested([first])
        for one in TRIALS[name].promises:
            yield short_lived(scenario, one.secret, within_ns=one.within_ns, only_in=one.only_in)
        for other in others:
            yield noninterference(first, observe_scenario(other))
        yield deterministic([first, observe_scenario(scenario)])
    yield jitter_free(runs)


def _briefly(run: Run) -> Run:
    """Stop at one range of residue: finding the last writer of each of a thousand takes long."""
    return replace(run, residue=Residue(run.residue.ranges[:1], run.residue.scanned_bytes))
