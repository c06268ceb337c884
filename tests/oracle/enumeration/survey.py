"""Chooses the cases, and runs them on both sides."""

from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random

from tests.machine.programs.program import Mode
from tests.oracle.enumeration.comparison import Verdict, judge
from tests.oracle.enumeration.forms import Form, forms
from tests.oracle.enumeration.isolated import Isolated
from tests.oracle.enumeration.judges import code_for_host
from tests.oracle.enumeration.programs import Case, case
from tests.oracle.enumeration.witnesses import REGIONS, State, of_host, start
from tests.oracle.host_processor.witness import Witness, features

BATCH = 512
_VARIANTS = 8
Judged = tuple[Case, State, State, Verdict]


def all_forms() -> list[Form]:
    """The whole enumeration, mode after mode."""
    return [form for mode in Mode for form in forms(mode)]


def sample(seed: int, of_each: int) -> list[Case]:
    """Some cases of each opcode of each map in each mode; one for VEX, of which nearly all must be refused."""
    random = Random(f"sample {seed}")
    by_opcode: dict[tuple[str, bytes, int], list[Form]] = {}
    for form in all_forms():
        table = form.escape[:2] if form.vex else form.escape
        by_opcode.setdefault((form.mode, table, form.opcode), []).append(form)
    cases = []
    for (_, table, _), group in by_opcode.items():
        chosen = random.sample(group, min(len(group), 1 if len(table) == 2 and table[0] == 0xC4 else of_each))
        cases += [case(form, random.randrange(_VARIANTS)) for form in chosen]
    return cases


def run(cases: Iterable[Case]) -> Iterator[Judged]:
    """Each case with both final states and the result of comparing them."""
    remaining, available = iter(cases), features()
    with Witness(REGIONS) as witness, Isolated() as machine:
        while batch := list(islice(remaining, BATCH)):
            starts = [start(one.program, code_for_host(one)) for one in batch]
            for one, end, ours in zip(batch, witness.run(starts), machine.run(batch), strict=True):
                host = of_host(end, one.program)
                yield one, host, ours, judge(one, host, ours, available)
