"""`make mutants`: makes every defect, judges it, and prints what caught it. `python -m tests.mutants NAME...` takes
only some.

Exits with 1 if a defect survives, if a guarantee that must catch it does not, or if the enclave without a defect is not
clean.
"""

import sys
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.table import Table

from tests.mutants.defect import SEARCH, SEARCH_BY_BLOCK, SEARCH_MODES
from tests.mutants.defects import DEFECTS
from tests.mutants.judge import Verdict, judge, judge_mutant
from tests.mutants.trials import TRIALS

_BASELINE_EXAMPLES = 2000
"""Examples of the search that must find nothing without a defect."""


def _judged(name: str) -> Verdict:
    """Run in another process, to which the defect itself cannot be passed."""
    return judge_mutant(DEFECTS[name])


def main(names: list[str]) -> int:
    """Print the table. Returns the exit code."""
    unknown = [name for name in names if name not in DEFECTS]
    if unknown:
        print(f"no mutant is called {', '.join(unknown)}; there are {', '.join(DEFECTS)}", file=sys.stderr)
        return 2
    chosen = [DEFECTS[name] for name in names or DEFECTS]
    table = Table("mutant", "caught by", "what the first report said")
    survivors = []
    with ProcessPoolExecutor() as pool:
        baseline = pool.submit(judge, [*TRIALS, SEARCH, SEARCH_BY_BLOCK, SEARCH_MODES], _BASELINE_EXAMPLES)
        for defect, verdict in zip(chosen, pool.map(_judged, (one.name for one in chosen)), strict=True):
            found = verdict.findings
            if not set(defect.caught_by) <= found.keys():
                survivors.append(defect)
            table.add_row(defect.name, ", ".join(found) or "nobody", next(iter(found.values()), ""))
        dirty = baseline.result().findings
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print(f"{len(chosen)} mutants, {len(chosen) - len(survivors)} caught by the guarantees that must")
    for defect in survivors:
        console.print(f"[bold]{defect.name}[/] is not caught by {', '.join(defect.caught_by)}")
    for guarantee, what in dirty.items():
        console.print(f"[bold]without any defect[/] {guarantee} is broken: {what}")
    return 1 if survivors or dirty else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
