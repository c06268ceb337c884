"""`python -m tests.oracle.protected_programs [SEED [COUNT]]`: programs of protected mode on QEMU, on Bochs and here.
SEED chooses COUNT programs (default 2000); `all [VARIANT]` takes every form, with the operands of that number, and
keeps the results in build/protected_programs.json. `--json` prints the report as JSON. Exits with 1 if anything
differs.
"""

import json
import sys
from pathlib import Path
from random import Random

from tests.oracle.protected_programs import batch
from tests.oracle.protected_programs.coverage import Coverage
from tests.oracle.protected_programs.forms import forms
from tests.oracle.protected_programs.programs import SystemCase
from tests.oracle.protected_programs.verdict import judge

STATE = Path("build/protected_programs.json")
_VARIANTS = 8
_PROGRESS_EVERY = 5000


def sample(seed: int, count: int) -> list[SystemCase]:
    """Programs of as many forms."""
    random = Random(f"protected programs {seed}")
    return [batch.make(form, random.randrange(_VARIANTS)) for form in random.sample(list(forms()), count)]


def survey(cases: list[SystemCase]) -> Coverage:
    """Run and judge them."""
    coverage = Coverage()
    for ended in batch.run(cases):
        coverage.add(ended, judge(ended))
        if coverage.cases % _PROGRESS_EVERY == 0:
            print(f"{coverage.cases} of {len(cases)}, {len(coverage.differences)} differ", file=sys.stderr, flush=True)
    return coverage


def main(arguments: list[str]) -> int:
    """Run the command line. Returns the exit code."""
    words = [word for word in arguments if word != "--json"]
    if words[:1] == ["all"]:
        variant = int(words[1]) if len(words) > 1 else 0
        coverage = survey([batch.make(form, variant) for form in forms()])
        STATE.parent.mkdir(parents=True, exist_ok=True)
        STATE.write_text(json.dumps(coverage.as_json()))
    else:
        seed, count = (int(word) for word in (*words, *("1", "2000")[len(words) :]))
        coverage = survey(sample(seed, count))
    print(json.dumps(coverage.as_json(), indent=1) if "--json" in arguments else coverage.report())
    return 1 if coverage.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
