"""What a grader refuses, and what must not spoil the grades of others."""

import json
from pathlib import Path

import pytest

from enclave_sim.errors import ConfigurationError
from enclave_sim.labs import workplace
from enclave_sim.labs.catalogue import find_lab
from enclave_sim.labs.grades import grade_directory, unique
from enclave_sim.labs.instants import read_instant
from enclave_sim.labs.judging import judge
from enclave_sim.payload.errors import KeyFileError
from enclave_sim.payload.keys import SigningKey, TrustAnchor, development_anchor
from tests.enclave_sim.cli.command import command
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


@pytest.mark.parametrize("given", ["ADA", " ada ", "\uff21\uff24\uff21", "Ada\n", "\u1d43da"])
def test_one_student_has_one_id_however_it_is_written(given: str, tmp_path: Path) -> None:
    assert LAB.case(given).student == "ada"
    assert LAB.page(LAB.case(given)) == LAB.page(LAB.case("ada"))
    assert judge(LAB, given, {}).student == "ada"
    workplace.start(LAB, tmp_path / "own", given)
    other = tmp_path / "other"
    workplace.start(LAB, other, "ada")
    (other / "lab.json").write_text((other / "lab.json").read_text().replace('"ada"', json.dumps(given)))
    grades = unique([grade_directory(tmp_path / "own", given), grade_directory(other, "ada")])
    assert [one.judgement is None for one in grades] == [False, True]
    assert "another directory is of student ada and lab boot" in grades[1].problem


@pytest.mark.parametrize(
    "given", ["\u0430da", "ad\u0430", "a\u200bda", "a\u202eda", "a" * 65, "\ufdfa" * 5, "a" * 10**6, "", " "]
)
def test_no_look_alike_is_another_student(given: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a student ID"):
        LAB.case(given)


def test_what_a_student_writes_reaches_no_terminal_as_it_is() -> None:
    lab = find_lab("leak")
    proof = '"\\u001b[31m\\u202e" = 1, payloads = ["counter"]'
    judgement = judge(lab, "ada", {"answers.toml": f"[a]\nproof = {{ {proof} }}\n".encode()})
    (said,) = [one for one in judgement.parts[0].messages if one.endswith(" is unknown.")]
    assert said.isprintable()
    assert "\\x1b[31m\\u202e" in said


def test_what_a_receipt_claims_reaches_no_terminal_as_it_is(tmp_path: Path) -> None:
    directory = tmp_path / "own"
    workplace.start(LAB, directory, "ada")
    assert command("lab", "submit", "boot", directory).code == 0
    receipt = directory / "receipt.json"
    receipt.write_text(receipt.read_text().replace('"student": "ada"', '"student": "\u009b31m\u202eada"'))
    refused = command("lab", "verify", directory)
    assert refused.code == 13
    assert 'the receipt claims "\\x9b31m\\u202eada"' in refused.output


def test_what_is_no_directory_spoils_no_grades(tmp_path: Path) -> None:
    own, file, link = solved(tmp_path / "own", "ada"), tmp_path / "file", tmp_path / "link"
    file.write_text("x")
    link.symlink_to("nowhere")
    graded = command("lab", "grade", file, own, link)
    assert graded.code == 0
    points = [row.split(",")[4] for row in graded.output.splitlines()[1:]]
    assert points == ["0", "1", "4", "2", "3", "0"]


@pytest.mark.slow
def test_work_that_lacks_nothing_is_to_be_handed_in(tmp_path: Path) -> None:
    own = solved(tmp_path / "own", "ada")
    assert command("lab", "check", "boot", own).output.splitlines()[-1].endswith(f"enclave-sim lab submit boot {own}")
    (own / "answers.toml").write_text("")
    assert "lab submit" not in command("lab", "check", "boot", own).output


@pytest.mark.slow
def test_a_receipt_is_confirmed_only_by_a_key_that_the_verifier_names(tmp_path: Path) -> None:
    """Neither the key in `lab.json`, which gives any case, nor a signature of one's own says anything."""
    assert command("lab", "author", "new", tmp_path / "course").code == 0
    course, key = tmp_path / "course" / "course.toml", tmp_path / "course" / "course.key.json"
    assert command("lab", "author", "start", "boot", "ada", "--course", course, "--into", tmp_path).code == 0
    SigningKey.generate("own", development=False).save(tmp_path / "own.key.json")
    given, chosen = tmp_path / "ada" / "lab-boot", solved(tmp_path / "chosen", "ada", b"0123456789abcdef")
    outcomes = {}
    for directory in (given, chosen):
        for signer in (key, tmp_path / "own.key.json"):
            assert command("lab", "submit", "boot", directory, "--key", signer).code == 0
            for words in ((), ("--course", course)):
                ended = command("lab", "verify", directory / "receipt.json", *words)
                outcomes[directory.name, signer.name[:3], bool(words)] = ended.code, ended.output
    assert [at for at, (code, _) in outcomes.items() if code == 0] == [("lab-boot", "cou", True)]
    assert "signature: it was not made by the key of course" in outcomes["lab-boot", "own", True][1]
    assert "not the one that the course has given to ada" in outcomes["chosen", "cou", True][1]
    assert "its case is one of a course: verify it with --course" in outcomes["chosen", "own", False][1]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_outside_the_calendar_is_one_clear_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is outside the calendar"):
        read_instant(text)
