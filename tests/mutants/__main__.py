"""`make mutants`: makes every defect, judges it, and prints who caught it. `python -m tests.mutants NAME...` for some.

Exits with 1 if a defect survives, or is not caught by those who must, or if the enclave without a defect is not clean.
"""

import sys
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.table import Table

from tests.mutants.defects import DEFECTS
from tests.mutants.judge import Verdict, judge
from tests.mutants.trials import TRIALS


def judged(name: str) -> Verdict:
    """The verdict on one mutant."""
    defect = DEFECTS[name]
    with defect.made():
        return judge(defect.trials)


def main(names: list[str]) -> int:
    """Print the table. Returns the exit code."""
    unknown = [name for name in names if name not in DEFECTS]
    if unknown:
        print(f"no mutant is called {', '.join(unknown)}; there are {', '.join(DEFECTS)}", file=sys.stderr)
        return 2
    chosen = names or list(DEFECTS)
    table = Table("mutant", "caught by", "what the first report said")
    survivors = []
    with ProcessPoolExecutor() as pool:
        baseline = pool.submit(judge, list(TRIALS))
        for name, verdict in zip(chosen, pool.map(judged, chosen), strict=True):
            found = verdict.findings
            if not set(DEFECTS[name].caught_by) <= found.keys():
                survivors.append(name)
            table.add_row(name, ", ".join(found) or "nobody", next(iter(found.values()), ""))
        dirty = baseline.result().findings
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print(f"{len(chosen)} mutants, {len(chosen) - len(survivors)} caught by the guarantees that must")
    for name in survivors:
        console.print(f"[bold]{name}[/] is not caught by {', '.join(DEFECTS[name].caught_by)}")
    for guarantee, what in dirty.items():
        console.print(f"[bold]without any defect[/] {guarantee} is broken: {what}")
    return 1 if survivors or dirty else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
