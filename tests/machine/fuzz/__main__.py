"""`make fuzz-machine [N]`: `python -m tests.machine.fuzz [N] [--seed S] [--corpus DIRECTORY] [--reproduce FILE]`.

Exits with 1 if a program broke a rule.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.machine.fuzz.campaign import PATIENCE_S, Campaign
from tests.machine.fuzz.case import Case
from tests.machine.fuzz.oracle import Oracle
from tests.machine.fuzz.trial import rules_broken

_CORPUS = Path(".fuzz-machine")


def main() -> int:
    """Run a campaign, or re-run one finding. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.machine.fuzz", description=__doc__)
    parser.add_argument("cases", type=int, nargs="?", help="how many programs; without it there is no end")
    parser.add_argument("--seed", type=int, default=0, help="which programs (default 0)")
    parser.add_argument("--corpus", type=Path, default=_CORPUS, help="where corpus and findings are kept")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds of the host for one program")
    parser.add_argument("--reproduce", type=Path, help="run the case of a finding once")
    arguments = parser.parse_args()
    if arguments.reproduce is not None:
        return _reproduce(arguments.reproduce, arguments.patience)
    try:
        summary = Campaign(arguments.corpus, arguments.seed, arguments.patience).run(arguments.cases)
    except KeyboardInterrupt:
        return 130
    return 1 if summary.findings else 0


def _reproduce(path: Path, patience_s: float) -> int:
    case = Case.read(json.loads(path.read_text())["case"])
    print(f"{case.state.mode.value}, ring {case.state.ring}: {' '.join(piece.hex() for piece in case.pieces)}")
    found = rules_broken(case, Oracle(), patience_s)
    for rule, what in found.items():
        print(f"{rule}: {what}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
