"""What a grader refuses, and what must not spoil the grades of others."""

from pathlib import Path

import pytest

from enclave_sim.errors import ConfigurationError
from enclave_sim.labs import workplace
from enclave_sim.labs.catalogue import find_lab
from enclave_sim.labs.grades import grade_directory, unique
from enclave_sim.labs.instants import read_instant
from enclave_sim.labs.judging import judge
from enclave_sim.payload.errors import KeyFileError
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from tests.labs.solutions import boot
from tests.labs.solutions.solution import Workplace

LAB = find_lab("boot")


def solved(directory: Path, student: str, key: bytes = b"") -> Path:
    workplace.start(LAB, directory, student, key)
    case = LAB.case(student, key)
    place = Workplace(LAB.page(case).decode(), LAB.start(case), directory.parent)
    (directory / "answers.toml").write_bytes(boot.solve(place)["answers.toml"])
    return directory


def test_without_a_course_no_key_is_believed(tmp_path: Path) -> None:
    """A student could search for one that gives the case of somebody else."""
    grade = grade_directory(solved(tmp_path / "own", "mallory", b"0123456789abcdef"))
    assert (grade.points, grade.problem) == (0, "its case is one of a course: grade it with --course")


def test_a_refused_directory_takes_nothing_from_the_student_it_names(tmp_path: Path) -> None:
    own = grade_directory(solved(tmp_path / "own", "ada"))
    forged = grade_directory(solved(tmp_path / "forged", "ada", b"0123456789abcdef"))
    assert [one.points for one in unique([own, forged])] == [LAB.points, 0]


def test_a_judge_that_fails_is_a_problem_of_one_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = solved(tmp_path / "own", "ada")

    def fails(*_: object, **__: object) -> None:
        raise ValueError("any")

    monkeypatch.setattr("enclave_sim.labs.grades.judge", fails)
    grade = grade_directory(directory)
    assert (grade.points, grade.problem) == (0, "a defect of the judge, to be reported: ValueError: any")


@pytest.mark.parametrize("code", ["fa\u00a0", "\u2003fa", "f a", "fa\x00", "٣a"])
def test_code_with_strange_spaces_is_no_code_or_the_same(code: str) -> None:
    lab = find_lab("breakout")
    judgement = judge(lab, "ada", {"answers.toml": f'[write]\ncode = """{code}"""\n'.encode()})
    assert judgement.points == 0


def test_the_development_key_is_never_one_of_production() -> None:
    text = development_anchor().to_json()
    with pytest.raises(KeyFileError, match="is the development key, which everyone has"):
        TrustAnchor.from_json(text.replace(b"development, never for production", b"production"))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_outside_the_calendar_is_one_clear_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is outside the calendar"):
        read_instant(text)
