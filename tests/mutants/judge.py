"""Judges the enclave as it is, or as a defect made it: which guarantees are broken, and what their reports say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from enclave_sim.errors import KernelDied
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
    zero_trace,
)
from enclave_sim.recording.outcome.residue import Residue
from machine.errors import EmulatorFault
from tests.machine.fuzz.properties import search
from tests.mutants.defect import LOUD, RING_3, SEARCH, Defect
from tests.mutants.trials import TRIALS

MOST_EXAMPLES, _SEED = 20_000, 2
"""Of a search: within so many it has to find what is wrong."""


@dataclass(frozen=True)
class Verdict:
    """What broke, with the first finding of each, in the order in which it was noticed."""

    findings: dict[str, str]

    @property
    def caught(self) -> bool:
        """Whether anything noticed."""
        return bool(self.findings)


def judge(names: Sequence[str], examples: int = MOST_EXAMPLES, enough: frozenset[str] = frozenset()) -> Verdict:
    """Run these trials, and hold them to every guarantee; a search goes on for so many examples.

    Args:
        names: The trials.
        examples: The most that a search tries.
        enough: Guarantees; once all of them are known to be broken, nothing more is run. Empty: all is run.
    """
    findings: dict[str, str] = {}
    if SEARCH in names and (found := search(_SEED, examples)) is not None:
        findings[RING_3] = f"{found.rule}: {found.what} (example {found.examples})"
    try:
        for report in _reports([name for name in names if name != SEARCH]):
            if not report.holds:
                findings.setdefault(report.guarantee, report.findings[0].what)
                if enough and enough <= findings.keys():
                    break
    except (KernelDied, EmulatorFault) as error:
        findings.setdefault(LOUD, str(error))
    return Verdict(findings)


def judge_mutant(defect: Defect, *, briefly: bool = False) -> Verdict:
    """Make it, and run what exercises it; `briefly`, only until those that must catch it have done so."""
    with defect.made():
        return judge(defect.trials, enough=frozenset(defect.caught_by if briefly else ()))


def _reports(names: Sequence[str]) -> Iterator[Report]:
    runs = []
    for name in names:
        scenario, *others = TRIALS[name].scenarios()
        first = observe_scenario(scenario)
        runs.append(first)
        yield zero_trace([_briefly(first)])
        yield isolated([first])
        yield admitted([first])
        yield attested([first])
        for other in others:
            yield noninterference(first, observe_scenario(other))
        yield deterministic([first, observe_scenario(scenario)])
    yield jitter_free(runs)


def _briefly(run: Run) -> Run:
    """With one range of residue: to ask for the last writer of each of a thousand takes long."""
    return replace(run, residue=Residue(run.residue.ranges[:1], run.residue.scanned_bytes))
