"""Tests each mutant of a sample, with the tests most likely to kill it first."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.mutation.areas import area_of, stages
from tests.mutation.equivalents import Equivalent, reason_for
from tests.mutation.mutants import Mutant
from tests.mutation.reach import Reach, Tests
from tests.mutation.session import Fate, Result, Session
from tests.mutation.workplace import Ended, Workplace

SHORTEST_LIMIT = 30.0
"""Seconds that every run of tests may take, so that load on the host does not kill mutants."""
LONGEST_LIMIT = 1800.0
"""Seconds for tests whose time is not known yet."""


_FATES = {Ended.FAILED: Fate.KILLED, Ended.TIMED_OUT: Fate.TIMED_OUT}


class UnsoundTestsError(Exception):
    """The tests fail without a mutant, so they say nothing about mutants."""


def _say_nothing(text: str) -> None:
    """Show no progress."""


@dataclass
class Runner:
    """Runs the tests for one mutant after another in one workplace."""

    workplace: Workplace
    known: tuple[Equivalent, ...] = ()
    reaches: dict[str, Reach] = field(default_factory=dict)
    """Maps of areas, by name. For other files tests are chosen by name."""
    timeout_ratio: float = 6.0
    """Factor over the time without a mutant after which tests count as endless."""
    say: Callable[[str], None] = _say_nothing
    """Called with the current progress."""
    _untouched: dict[Tests, float] = field(default_factory=dict)
    _sound: set[str] = field(default_factory=set)

    def run(self, mutants: Iterable[Mutant], session: Session) -> Iterator[Result]:
        """Yield the result of each mutant; those already in the session are not run again. Raises UnsoundTestsError."""
        for mutant in mutants:
            reason = reason_for(mutant, self.known)
            found = session.results.get(mutant.name)
            if reason is not None:
                found = Result.of(mutant, _area(mutant), Fate.EQUIVALENT, 0.0, reason)
            elif found is None or found.fate is Fate.EQUIVALENT:
                found = self._judge(mutant)
                session.add(found)
            yield found

    def _judge(self, mutant: Mutant) -> Result:
        seconds = 0.0
        reach = self._reach(mutant)
        named = stages(self.workplace.root, mutant.path)
        for tests in named if reach is None else reach.stages(mutant.path, mutant.line_number):
            with self.workplace.mutated(mutant):
                limit, each = self._limits(tests, reach)
                outcome = self.workplace.test(tests, limit=limit, each=each)
                judged = "::" in outcome.killer or outcome.ended is not Ended.FAILED
                stillborn = not judged and not self.workplace.can_import(mutant.path)
            seconds += outcome.seconds
            if outcome.ended is Ended.PASSED:
                self._untouched.setdefault(tests, outcome.seconds)
                continue
            if outcome.ended is Ended.TIMED_OUT:
                if reach is None:
                    self._measure(tests)
            elif judged:
                self._confirm(outcome.killer)
            fate = Fate.STILLBORN if stillborn else _FATES[outcome.ended]
            return Result.of(mutant, _area(mutant), fate, round(seconds, 1), outcome.killer)
        return Result.of(mutant, _area(mutant), Fate.SURVIVED, round(seconds, 1))

    def _reach(self, mutant: Mutant) -> Reach | None:
        reach = self.reaches.get(_area(mutant))
        return reach if reach is not None and reach.knows(mutant.path) else None

    def _measure(self, tests: Tests) -> None:
        """Tests that do not end kill the mutant only if they end without it."""
        if tests not in self._untouched:
            self.say(f"without a mutant: {len(tests)} sets of tests, from {tests[0]}")
            outcome = self.workplace.test(tests, limit=LONGEST_LIMIT, pristine=True)
            if outcome.ended is not Ended.PASSED:
                raise UnsoundTestsError(f"without a mutant, the tests {outcome.ended}: {outcome.killer or tests}")
            self._untouched[tests] = outcome.seconds

    def _limits(self, tests: Tests, reach: Reach | None) -> tuple[float, float | None]:
        """Return the time limit for all tests, and that for each test, which does not apply to collection."""
        if reach is not None:
            together = SHORTEST_LIMIT + self.timeout_ratio * reach.together(tests)
            return together, max(SHORTEST_LIMIT, self.timeout_ratio * reach.slowest(tests))
        known = self._untouched.get(tests)
        return LONGEST_LIMIT if known is None else max(SHORTEST_LIMIT, self.timeout_ratio * known), None

    def _confirm(self, test: str) -> None:
        """A failing test kills the mutant only if it passes without it."""
        if test not in self._sound:
            outcome = self.workplace.test([test], pristine=True)
            if outcome.ended is not Ended.PASSED:
                raise UnsoundTestsError(f"without a mutant, {test} fails")
            self._sound.add(test)


def _area(mutant: Mutant) -> str:
    area = area_of(mutant.path)
    return mutant.path if area is None else area.name
