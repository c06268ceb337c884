"""Long runs: `python -m tests.oracle.random_programs SEED COUNT [SEEDS]` runs COUNT programs of each of SEEDS seeds."""

import sys
from collections import Counter

from tests.oracle.random_programs import batch, generator
from tests.oracle.random_programs.report import describe, minimal
from tests.oracle.random_programs.third import judge


def main(seed: int, count: int, seeds: int = 1) -> int:
    """Print differences as they are found. Returns the exit code."""
    differing = 0
    for each in range(seed, seed + seeds):
        environment = generator.environment(each)
        programs = [generator.program(each, index) for index in range(count)]
        excused: Counter[str] = Counter()
        for index, pair in enumerate(batch.run(environment, programs, third=True)):
            judgement = judge(pair)
            excused.update(judgement.excuses)
            if judgement.differs:
                differing += 1
                print(describe(each, index, minimal(environment, pair)), flush=True)
            if index % 250 == 249:
                print(f"seed {each}: {index + 1} of {count}, {differing} differ", file=sys.stderr, flush=True)
        print(f"seed {each}: {count} programs; excused: {dict(excused)}", flush=True)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
