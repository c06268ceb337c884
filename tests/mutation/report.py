"""Counts of a sample, area by area, and the mutants that are still alive."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from tests.mutation.session import Fate, Result

GOAL = 0.95
"""Share of the non-equivalent mutants that tests must kill."""


@dataclass(frozen=True)
class Score:
    """Counts for one area, or for all of them."""

    name: str
    sampled: int
    killed: int
    survived: int
    equivalent: int
    stillborn: int
    seconds: float

    @classmethod
    def of(cls, name: str, results: Sequence[Result]) -> "Score":
        """Count results."""
        fates = Counter(result.fate for result in results)
        return cls(
            name,
            sampled=len(results),
            killed=fates[Fate.KILLED] + fates[Fate.TIMED_OUT],
            survived=fates[Fate.SURVIVED],
            equivalent=fates[Fate.EQUIVALENT],
            stillborn=fates[Fate.STILLBORN],
            seconds=round(sum(result.seconds for result in results), 1),
        )

    @property
    def share(self) -> float:
        """Killed mutants among those that a test could kill; 1 if there are none."""
        judged = self.killed + self.survived
        return self.killed / judged if judged else 1.0


def scores(results: Sequence[Result]) -> list[Score]:
    """Return the score of each area, and the total at the end."""
    areas = list(dict.fromkeys(result.area for result in results))
    each = [Score.of(area, [one for one in results if one.area == area]) for area in areas]
    return [*each, Score.of("all", results)]


def table(results: Sequence[Result]) -> Table:
    """Return the scores as a table for the terminal."""
    shown = Table("area", "sampled", "killed", "survived", "equivalent", "stillborn", "score", "seconds")
    for one in scores(results):
        counts = (one.sampled, one.killed, one.survived, one.equivalent, one.stillborn)
        shown.add_row(one.name, *map(str, counts), f"{one.share:.1%}", f"{one.seconds:.0f}")
    return shown


def document(results: Sequence[Result], *, seed: int) -> dict[str, object]:
    """Return everything as data for JSON."""
    return {
        "seed": seed,
        "goal": GOAL,
        "scores": [{**asdict(one), "share": round(one.share, 4)} for one in scores(results)],
        "mutants": [asdict(result) for result in results],
    }
