"""Grades in the formats of those who take them, by what those publish about their formats."""

import json
from xml.etree import ElementTree

import msgspec
import pytest

from enclave_sim.labs.grade_formats import FORMATS
from enclave_sim.labs.grades import Grade, statistics, unique
from enclave_sim.labs.judging import Judgement, PartMark
from tests.enclave_sim.labs.consumers import GRADESCOPE_TEST, assert_junit


def grade(student: str, *points: int, problem: str = "") -> Grade:
    parts = tuple(
        PartMark(name, earned, 4, () if earned == 4 else (f"{name} <&> \x07",))
        for name, earned in zip("ab", points, strict=True)
    )
    return Grade(student, Judgement("lab", 1, student, sum(points), 8, parts, (), {}), problem)


GRADES = [
    grade("ada", 4, 2),
    grade("grace", 0, 4),
    Grade("=x", None, "cannot be read \x00"),
    grade("eve", 4, 4, problem="copied"),
    msgspec.structs.replace(grade("late", 4, 4), late=True, submitted="2026-03-01T10:00:00Z"),
]


def test_junit_has_the_elements_and_attributes_of_its_schema() -> None:
    root = ElementTree.fromstring(FORMATS["junit"](GRADES))
    assert root.tag == "testsuites"
    assert_junit(root)


def test_gradescope_has_the_documented_fields() -> None:
    result = json.loads(FORMATS["gradescope"](GRADES[:1]))
    assert result["score"] == sum(test["score"] for test in result["tests"]) == 6
    assert all(test.keys() == GRADESCOPE_TEST for test in result["tests"])
    assert [test["status"] for test in result["tests"]] == ["passed", "failed"]
    for refused in GRADES[2:4]:
        assert json.loads(FORMATS["gradescope"]([refused]))["score"] == 0


def test_autolab_has_one_number_for_each_problem_in_its_last_line() -> None:
    *_, last = FORMATS["autolab"](GRADES[1:2]).splitlines()
    assert json.loads(last) == {"scores": {"a": 0, "b": 4}}
    *reasons, last = FORMATS["autolab"](GRADES[3:4]).splitlines()
    assert any("copied" in line for line in reasons)
    assert json.loads(last) == {"scores": {"a": 0, "b": 0}}


def test_csv_has_no_formulas() -> None:
    assert not [line for line in FORMATS["csv"](GRADES).splitlines() if ",=" in line or line.startswith("=")]


def test_a_grade_with_a_problem_counts_nothing_in_any_format() -> None:
    assert [one.points for one in GRADES] == [6, 4, 0, 0, 8]
    assert FORMATS["csv"](GRADES[3:4]).count("eve,lab,1") == FORMATS["csv"](GRADES[3:4]).count(",0,4,,,copied")


def test_a_refused_directory_takes_no_place_of_the_student_whom_it_names() -> None:
    """A gradebook may keep the last row of a student."""
    given = [grade("ada", 4, 2), grade("ada", 4, 4, problem="the case of another course"), GRADES[3]]
    found = unique(given)
    assert found[0] is given[0]
    assert found[1] == msgspec.structs.replace(given[1], judgement=None)
    assert found[2] is GRADES[3]  # nothing else names that student
    assert FORMATS["csv"](found).count("ada,lab,1") == len(given[0].judgement.parts if given[0].judgement else ())


def test_late_work_is_marked_in_the_formats_that_have_a_place_for_it() -> None:
    late = GRADES[4:]
    assert FORMATS["csv"](late).count(",2026-03-01T10:00:00Z,yes,") == 2
    assert "late: yes; submitted: 2026-03-01T10:00:00Z" in FORMATS["junit"](late)
    assert json.loads(FORMATS["gradescope"](late))["output"].endswith("; late: yes")
    assert json.loads(FORMATS["json"](late))["grades"][0]["late"] is True
    assert "directories count; late: 1." in FORMATS["statistics"](late)


def test_a_part_that_lacks_points_because_it_is_late_says_so() -> None:
    reason = "handed in late: late_share of the course applies"
    late = msgspec.structs.replace(grade("ada", 3, 4), late=True)
    tests = json.loads(FORMATS["gradescope"]([late]))["tests"]
    assert [one["output"].endswith(reason) for one in tests] == [True, False]
    assert FORMATS["junit"]([late]).count(reason) == 1
    assert reason not in FORMATS["gradescope"]([msgspec.structs.replace(late, late=False)])


def test_statistics_have_the_hardest_part_first() -> None:
    rows = statistics([grade("ada", 4, 2), grade("grace", 4, 0), GRADES[2], GRADES[3]])
    assert [(row.part, row.students, row.full, row.mean) for row in rows] == [("b", 2, 0, 0.25), ("a", 2, 2, 1.0)]
    assert rows[0].common == {"b <&> \x07": 2}


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_depends_on_anything_but_the_grades(name: str) -> None:
    assert FORMATS[name](GRADES[:1]) == FORMATS[name](GRADES[:1])


def test_two_labs_of_one_student_are_no_problem() -> None:
    other = Grade("b", Judgement("other", 1, "ada", 1, 8, (), (), {}))
    assert not [one for one in unique([GRADES[0], other]) if one.problem]
