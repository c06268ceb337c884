"""Copied answers: what determines those of a part differs between students, so that a class shares hardly any."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from enclave_sim.labs.boot.judge import BootCase
from enclave_sim.labs.case import Case
from enclave_sim.labs.catalogue import find_lab
from enclave_sim.labs.detective.guest import program_of
from enclave_sim.labs.frame.guest import guest_of
from enclave_sim.labs.judging import judge
from enclave_sim.labs.leak.variants import variants
from enclave_sim.labs.longmode.defects import defects, selector

STUDENTS = [f"student{number}" for number in range(400)]
FACTS: dict[str, Callable[[Case], Any]] = {
    "boot": lambda case: (BootCase.of(case).ns_per_instruction, BootCase.of(case).attestation),
    "frame": lambda case: (guest_of(case).address_of("int"), guest_of(case).pushes * 8 + guest_of(case).room),
    "longmode": lambda case: (defects(case)[:2], selector(case)),
    "leak": lambda case: [(one.region, one.lines) for one in variants(case)],
    "detective": program_of,
}


@pytest.mark.parametrize("name", FACTS)
def test_two_students_hardly_ever_have_the_same_answers(name: str) -> None:
    lab = find_lab(name)
    same = Counter(repr(FACTS[name](lab.case(student))) for student in STUDENTS)
    pairs = sum(times * (times - 1) for times in same.values()) / len(STUDENTS) / (len(STUDENTS) - 1)
    assert pairs < 0.01


def test_a_first_exception_that_others_have_too_earns_nothing_alone() -> None:
    lab = find_lab("longmode")
    first = defects(lab.case("ada"))[0]
    answers = f"[first]\nvector = {first.vector}\nerror_code = {first.error_code}\n"
    judgement = judge(lab, "ada", {"answers.toml": answers.encode()})
    assert judgement.points == 0
    assert judgement.parts[0].messages == ("second.vector: not answered yet.",)
