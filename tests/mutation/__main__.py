"""`make mutation [PATHS]`: changes the source in small ways, and counts the changes that no test notices.

Exits with 0 if at least 95 % of the sampled mutants that are not equivalent were killed, with 1 if fewer were, with 2
for bad arguments or if the tests fail without a mutant. Without PATHS, a sample of each area is taken.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from tests.mutation import equivalents
from tests.mutation.areas import AREAS, area_of
from tests.mutation.mutants import Mutant, sample
from tests.mutation.reach import Reach
from tests.mutation.report import GOAL, document, scores, table
from tests.mutation.runner import Runner, UnsoundTestsError
from tests.mutation.session import Fate, Result, Session
from tests.mutation.workplace import Workplace

ROOT = Path(__file__).resolve().parents[2]


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="file, directory or area to mutate (default: all areas)"
    )
    parser.add_argument("--sample", type=int, default=40, metavar="N", help="mutants of each area or PATH (default 40)")
    parser.add_argument("--seed", type=int, default=1, help="draws the sample (default 1)")
    parser.add_argument("--session", type=Path, default=Path(".mutation/session.jsonl"), help="file to go on from")
    parser.add_argument("--retry", action="store_true", help="run again what survived in the session")
    parser.add_argument("--timeout-ratio", type=float, default=6.0, metavar="R", help="times the unchanged run's time")
    parser.add_argument("--list", action="store_true", help="show the sample and run nothing")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser.parse_args(arguments)


def _groups(paths: list[str]) -> list[tuple[str, ...]]:
    areas = {area.name: area.paths for area in AREAS}
    return [areas.get(path) or (_inside(path),) for path in paths or areas]


def _inside(path: str) -> str:
    return Path(path).resolve().relative_to(ROOT).as_posix()


def _reaches(mutants: Iterable[Mutant], session: Session, workplace: Workplace, directory: Path) -> dict[str, Reach]:
    """Return the maps of the areas of mutants that are to be judged."""
    areas = {area_of(mutant.path) for mutant in mutants if mutant.name not in session.results}
    return {area.name: Reach.of(area, workplace, directory) for area in AREAS if area in areas}


def main(arguments: list[str]) -> int:
    """Run a sample. Returns the exit code."""
    chosen = _arguments(arguments)
    screen = Console(stderr=True, highlight=False)
    try:
        groups = _groups(chosen.paths)
        drawn = {mutant.name: mutant for group in groups for mutant in sample(ROOT, group, chosen.sample, chosen.seed)}
    except (FileNotFoundError, ValueError) as error:
        screen.print(error)
        return 2
    if chosen.list:
        for mutant in drawn.values():
            print(f"{mutant.path}:{mutant.line_number} {mutant.operator}\n-{mutant.was}\n+{mutant.becomes}")
        return 0
    session = Session(chosen.session, retry=chosen.retry)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="mutation-") as place:
        workplace = Workplace(ROOT, Path(place, "tree"))
        reaches = _reaches(drawn.values(), session, workplace, chosen.session.parent)
        runner = Runner(workplace, equivalents.load(), reaches, chosen.timeout_ratio, screen.print)
        try:
            for result in runner.run(drawn.values(), session):
                results.append(result)
                screen.print(f"[{len(results)}/{len(drawn)}] {_line(result)}", markup=False, soft_wrap=True)
        except UnsoundTestsError as error:
            screen.print(error)
            return 2
    if chosen.json:
        print(json.dumps(document(results, seed=chosen.seed), indent=1))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(table(results))
    return 0 if scores(results)[-1].share >= GOAL else 1


def _line(result: Result) -> str:
    where = f"{result.fate} in {result.seconds:.1f} s: {result.path}:{result.line_number} {result.operator}"
    return f"{where}\n  - {result.was}\n  + {result.becomes}" if result.fate is Fate.SURVIVED else where


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
