"""Programs of ring 0 and of 16-bit code end alike on QEMU, on Bochs and on our machine.

`ORACLE_SEED` (default 1) chooses others; `python -m tests.oracle.protected_programs` runs more of them.
"""

import dataclasses
import os

import pytest

from tests.oracle.protected_programs import batch
from tests.oracle.protected_programs.__main__ import sample, survey
from tests.oracle.protected_programs.batch import Ended
from tests.oracle.protected_programs.coverage import Coverage
from tests.oracle.protected_programs.forms import PLACES, all_forms, forms
from tests.oracle.protected_programs.verdict import EXCUSES, judge

SEED = int(os.environ.get("ORACLE_SEED", "1"))
COUNT = 500


@pytest.mark.slow
def test_programs_of_protected_mode_end_alike() -> None:
    coverage = survey(sample(SEED, COUNT))
    assert coverage.differences == [], coverage.report()
    both = sum(count for name, count in coverage.forms.items() if name.endswith("QEMU, Bochs"))
    assert both > COUNT * 3 // 4, coverage.report()


def test_every_form_is_asked_about_or_has_a_reason() -> None:
    found = list(all_forms())
    assert len({form.name for form, _ in found}) == len(found)
    asked = list(forms())
    assert {form.place for form in asked} == set(PLACES)
    system = {(form.escape, form.opcode) for form in asked if form.place.ring == 0}
    wanted = [(b"", op) for op in (0x9A, 0xCA, 0xCF, 0xC8, 0xFA)] + [(b"\x0f", op) for op in (0, 1, 2, 3, 0x22, 0x30)]
    assert system >= set(wanted)
    assert len(asked) + sum(bool(reason) for _, reason in found) == len(found)


def test_a_program_is_the_same_each_time() -> None:
    assert [case.record for case in sample(3, 50)] == [case.record for case in sample(3, 50)]


@pytest.fixture(scope="module")
def ended() -> Ended:
    """An INC that runs to its end on all three."""
    form = next(form for form in forms() if form.name == "ring 0, 32 bits: 40")
    (found,) = batch.run([batch.make(form, 0)])
    assert judge(found).witnesses == ("QEMU", "Bochs")
    return found


@pytest.mark.parametrize("field", ["EAX", "EIP", "CS", "vector", "GDTR", "GDT[0x20]", "stack[0x300]", "CR0"])
def test_any_other_value_is_a_difference(ended: Ended, field: str) -> None:
    wrong = dataclasses.replace(ended, ours={**ended.ours, field: ended.ours[field] ^ 1})
    assert field in judge(wrong).difference
    coverage = Coverage()
    coverage.add(wrong, judge(wrong))
    assert "1 cases differ" in coverage.report()


@pytest.mark.parametrize("witness", ["qemu", "bochs"])
def test_one_witness_alone_is_a_difference_too_unless_the_table_has_it(ended: Ended, witness: str) -> None:
    state = {**ended.ours, "EAX": 5}
    changed = dataclasses.replace(ended, qemu=state) if witness == "qemu" else dataclasses.replace(ended, bochs=state)
    verdict = judge(changed)
    assert len(verdict.witnesses) == 1
    assert verdict.difference


def test_the_flag_that_qemu_never_sets_is_held_to_bochs(ended: Ended) -> None:
    without = {**ended.qemu, "EFLAGS": ended.qemu["EFLAGS"] ^ 1 << 16}
    assert not judge(dataclasses.replace(ended, qemu=without)).difference
    assert judge(dataclasses.replace(ended, ours={**ended.ours, "EFLAGS": ended.ours["EFLAGS"] ^ 1 << 16})).difference


def test_every_excuse_cites_the_manual() -> None:
    assert all("(volume " in each.manual for each in EXCUSES)
    assert {each.wrong for each in EXCUSES} == {"QEMU", "Bochs", "both", "either"}
