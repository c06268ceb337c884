"""Random programs of ring 3 and ring 0 end in the same state on QEMU, on Bochs and on our machine.

`ORACLE_SEED` (default 1) and `ORACLE_PROGRAMS` (default 1000) choose others; for long runs with progress there is
`python -m tests.oracle.random_programs SEED COUNT`.
"""

import os
from collections import Counter
from dataclasses import replace

import pytest

from tests.oracle.random_programs import batch, generator
from tests.oracle.random_programs.alone import BOCHS_ALONE, QEMU_ALONE
from tests.oracle.random_programs.layout import VECTOR_END, VECTOR_TIMER
from tests.oracle.random_programs.report import describe, minimal
from tests.oracle.random_programs.third import judge
from tests.oracle.random_programs.verdict import third_differences

SEED = int(os.environ.get("ORACLE_SEED", "1"))
COUNT = int(os.environ.get("ORACLE_PROGRAMS", "500"))
_MAX_SHOWN = 3


@pytest.mark.slow
def test_random_programs_end_alike() -> None:
    environment = generator.environment(SEED)
    programs = [generator.program(SEED, index) for index in range(COUNT)]
    excused: Counter[str] = Counter()
    ends: Counter[int] = Counter()
    unexplained = []
    for index, pair in enumerate(batch.run(environment, programs, third=True)):
        ends[pair.qemu.named["vector"]] += 1
        judgement = judge(pair)
        excused.update(judgement.excuses)
        if judgement.differs:
            unexplained.append((index, pair))
    shown = [describe(SEED, index, minimal(environment, pair)) for index, pair in unexplained[:_MAX_SHOWN]]
    assert not unexplained, f"{len(unexplained)} of {COUNT} differ\n\n" + "\n\n".join(shown)
    assert excused.total() < COUNT // 4, excused
    assert ends[VECTOR_END] > COUNT // 4  # most run to completion, and the others end in many ways
    assert ends[VECTOR_TIMER] > COUNT // 20
    assert len(ends) > 8


def test_a_seed_makes_the_same_programs_each_time() -> None:
    once, again = ([generator.program(7, index).packed() for index in range(50)] for _ in range(2))
    assert once == again
    assert once != [generator.program(8, index).packed() for index in range(50)]


def test_bochs_is_asked_about_nearly_every_program() -> None:
    environment = generator.environment(5)
    pairs = list(batch.run(environment, [generator.program(5, index) for index in range(60)], third=True))
    assert sum(third_differences(pair) == {} for pair in pairs) > 50
    changed = [replace(pair, ours=replace(pair.ours, named={**pair.ours.named, "R9": 77})) for pair in pairs]
    assert sum("R9" in third_differences(pair) for pair in changed) > 40
    assert sum(judge(pair).differs for pair in changed) > 30


def test_every_excuse_cites_the_manual_or_what_is_not_offered() -> None:
    assert all("(volume " in each.manual or "not " in each.manual for each in (*BOCHS_ALONE, *QEMU_ALONE))
