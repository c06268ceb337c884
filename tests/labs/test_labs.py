"""Every lab: its solution gets full marks, its starting point none, and common wrong answers their own messages."""

import re
from collections.abc import Iterator
from functools import cache

import pytest

from enclave_sim.labs.answers import Answers
from enclave_sim.labs.catalogue import LABS
from enclave_sim.labs.judging import Judgement, judge
from enclave_sim.labs.lab import ANSWERS, Lab
from tests.labs.solutions.solution import Wrong
from tests.labs.solving import COMPILED, SOLUTIONS, labs, solved, workplace

SOLVED_BY = [
    pytest.param(lab, student, id=f"{lab.name}-{student}", marks=marks)
    for lab in LABS
    for student, compiled, others in (("ada", pytest.mark.slow, ()), ("grace", pytest.mark.long, pytest.mark.slow))
    for marks in [compiled if lab.name in COMPILED else others]
]
SLOW = COMPILED | {"leak"}
SOLVED, JUDGED = labs(slow=COMPILED), labs(slow=SLOW | {"detective", "forge"})
ENDLESS = "without an end"
WRONG = [
    pytest.param(lab, wrong, id=f"{lab.name}: {wrong.name}", marks=[pytest.mark.slow] * is_slow)
    for lab in LABS
    for number, wrong in enumerate(SOLUTIONS[lab.name].wrong)
    for is_slow in [lab.name in SLOW or number > 1 or wrong.name == ENDLESS]
]


@pytest.mark.slow
@pytest.mark.complete
@pytest.mark.parametrize("lab", labs(slow=SLOW))
def test_an_answer_that_no_part_asks_for_is_noted(lab: Lab) -> None:
    if ANSWERS not in lab.handed_in:
        return
    start = lab.start(lab.case("ada"))[ANSWERS]
    answers = Answers({ANSWERS: solved(lab, "ada")[ANSWERS]})
    assert list(answers.unasked(start)) == []
    part = lab.text.part[0].name
    strange = Answers({ANSWERS: f"top = 1\n[{part}]\nstrange = 1\n".encode()})
    assert [note.split("; ")[0].removeprefix("answers.toml: no part asks for ") for note in strange.unasked(start)] == [
        "top",
        f"{part}.strange",
    ]


@cache
def judged(lab: Lab, student: str) -> Judgement:
    return judge(lab, student, solved(lab, student))


def messages(judgement: Judgement) -> Iterator[str]:
    for mark in judgement.parts:
        yield from mark.messages


@pytest.mark.complete
@pytest.mark.parametrize(("lab", "student"), SOLVED_BY)
def test_the_solution_gets_full_marks(lab: Lab, student: str) -> None:
    judgement = judged(lab, student)
    assert list(messages(judgement)) == []
    assert judgement.points == judgement.of == lab.points


@pytest.mark.complete
@pytest.mark.parametrize("lab", SOLVED)
def test_the_starting_point_gets_no_points_in_any_part(lab: Lab) -> None:
    judgement = judge(lab, "ada", lab.start(lab.case("ada")))
    assert [mark.points for mark in judgement.parts] == [0] * len(judgement.parts)
    assert all(mark.messages for mark in judgement.parts)


@pytest.mark.complete
@pytest.mark.parametrize("lab", SOLVED)
def test_nothing_handed_in_gets_no_points(lab: Lab) -> None:
    assert judge(lab, "ada", {}).points == 0


@pytest.mark.slow
@pytest.mark.complete
@pytest.mark.parametrize(("lab", "wrong"), WRONG)
def test_a_common_wrong_answer_gets_its_own_message_and_less_than_full_marks(lab: Lab, wrong: Wrong) -> None:
    place = workplace(lab, "ada")
    judgement = judge(lab, "ada", wrong.change(dict(solved(lab, "ada")), place))
    said = list(messages(judgement))
    assert any(wrong.message in message for message in said), said
    assert judgement.points < judgement.of


@pytest.mark.complete
@pytest.mark.parametrize("lab", JUDGED)
def test_the_same_files_are_judged_the_same_again(lab: Lab) -> None:
    assert judge(lab, "ada", solved(lab, "ada")) == judged(lab, "ada")


@pytest.mark.complete
@pytest.mark.parametrize("lab", JUDGED)
def test_the_answers_of_another_student_get_nothing(lab: Lab) -> None:
    assert judge(lab, "grace", solved(lab, "ada")).points == 0


@pytest.mark.complete
@pytest.mark.parametrize("lab", SOLVED)
def test_a_lab_is_complete(lab: Lab) -> None:
    text = lab.text
    assert len(SOLUTIONS[lab.name].wrong) >= 4
    assert text.goals
    assert len(text.debrief) > 100
    assert all(len(part.hints) >= 2 for part in text.part)
    assert len({part.name for part in text.part}) == len(text.part)
    filled, page = lab.filled(lab.case("ada")), lab.page(lab.case("ada")).decode()
    hints = [hint for part in filled.part for hint in part.hints]
    assert not [name for name in lab.values(lab.case("ada")) if f"{{{name}}}" in page]
    assert not [hint for hint in hints if re.search(r"\{\w+\}", hint)]
    assert len(set(hints)) == len(hints)
