"""The report of a campaign: for each stratum its outcomes, with intervals, and the failures extrapolated to all faults.

The docstrings of these types are the published descriptions of what `campaign report --json` prints.
"""

import msgspec

from enclave_sim.campaigns.outcomes import Outcome
from enclave_sim.campaigns.statistics import clopper_pearson, wilson
from enclave_sim.campaigns.store import Store, StratumRow


class OutcomeCount(msgspec.Struct, frozen=True):
    """The runs of a stratum with one outcome."""

    outcome: str
    """Its name."""
    runs: int
    """The number of runs."""
    weight: int
    """The number of faults at moments that they stand for."""
    share: float
    """The estimated share of all faults at moments of the stratum."""
    wilson: tuple[float, float]
    """The share's interval by Wilson; of a stratum that was run completely both ends are the share."""
    clopper_pearson: tuple[float, float]
    """The same by Clopper and Pearson, which never covers less than it promises."""
    extrapolated: float
    """The estimated number of faults at moments with this outcome."""


class StratumReport(msgspec.Struct, frozen=True):
    """One stratum."""

    name: str
    """Model, what is hit, and when."""
    population: int
    """The number of faults at moments in it."""
    planned: int
    """The number of runs that the plan asks for."""
    done: int
    """The number of runs made."""
    complete: bool
    """True if the runs made stand for the whole population: there is nothing to estimate."""
    outcomes: tuple[OutcomeCount, ...]
    """The outcomes that occurred, in the order of their definitions."""
    failures: float
    """The extrapolated number of failures: broken guarantees, dead kernels, hangs, late detection, corruption."""
    failures_interval: tuple[float, float]
    """Its interval, by Wilson."""


class GuaranteeCount(msgspec.Struct, frozen=True):
    """The runs that broke one guarantee."""

    guarantee: str
    """Its name."""
    runs: int
    """The number of runs."""


class CampaignReport(msgspec.Struct, frozen=True):
    """A campaign so far."""

    planned: int
    """The number of runs that the plan asks for."""
    done: int
    """The number of runs made."""
    confidence: float
    """The confidence of the intervals."""
    population: int
    """The number of faults at moments in all strata."""
    failures: float
    """The extrapolated number of failures in all strata."""
    failures_interval: tuple[float, float]
    """The sum of the ends of the strata's intervals, which is wider than it must be."""
    guarantees: tuple[GuaranteeCount, ...]
    """The guarantees that were broken, the most frequent first."""
    strata: tuple[StratumReport, ...]
    """The strata, in the order of the plan."""


def report_of(store: Store, confidence: float) -> CampaignReport:
    """Return the report of a store.

    Args:
        store: The store.
        confidence: The confidence of the intervals, between 0 and 1.

    Returns:
        The report.
    """
    counted: dict[int, dict[str, tuple[int, int]]] = {}
    for stratum, outcome, runs, weight in store.query(
        "SELECT stratum, outcome, count(*), sum(weight) FROM runs GROUP BY stratum, outcome"
    ):
        assert isinstance(stratum, int)
        assert isinstance(runs, int)
        assert isinstance(weight, int)
        counted.setdefault(stratum, {})[str(outcome)] = (runs, weight)
    strata = tuple(_stratum(one, counted.get(one.stratum, {}), confidence) for one in store.strata())
    broken: dict[str, int] = {}
    for names, runs in store.query("SELECT guarantees, count(*) FROM runs WHERE guarantees != '' GROUP BY guarantees"):
        for name in str(names).split():
            broken[name] = broken.get(name, 0) + int(runs or 0)
    guarantees = sorted(broken.items(), key=lambda item: (-item[1], item[0]))
    return CampaignReport(
        planned=sum(one.planned for one in strata),
        done=sum(one.done for one in strata),
        confidence=confidence,
        population=sum(one.population for one in strata),
        failures=sum(one.failures for one in strata),
        failures_interval=(
            sum(one.failures_interval[0] for one in strata),
            sum(one.failures_interval[1] for one in strata),
        ),
        guarantees=tuple(GuaranteeCount(name, runs) for name, runs in guarantees),
        strata=strata,
    )


def _stratum(row: StratumRow, counted: dict[str, tuple[int, int]], confidence: float) -> StratumReport:
    done = sum(runs for runs, _ in counted.values())
    weight = sum(weights for _, weights in counted.values())
    complete = weight == row.population
    found: list[OutcomeCount] = []
    failing, failing_weight = 0, 0
    for outcome in Outcome:
        runs, weights = counted.get(outcome.value, (0, 0))
        if not runs:
            continue
        share = weights / weight
        exact = (share, share)
        low_high = exact if complete else wilson(runs, done, confidence)
        surely = exact if complete else clopper_pearson(runs, done, confidence)
        found.append(OutcomeCount(outcome.value, runs, weights, share, low_high, surely, share * row.population))
        if outcome.failure:
            failing, failing_weight = failing + runs, failing_weight + weights
    share = failing_weight / weight if weight else 0.0
    low, high = (share, share) if complete else wilson(failing, done, confidence)
    return StratumReport(
        name=row.name,
        population=row.population,
        planned=row.planned,
        done=done,
        complete=complete,
        outcomes=tuple(found),
        failures=share * row.population,
        failures_interval=(low * row.population, high * row.population),
    )
