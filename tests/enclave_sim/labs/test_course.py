"""A course: its cases are private, its points count, and a time is believed only from where the course says."""

import json
import re
from pathlib import Path

import pytest

from enclave_sim.errors import EnclaveError
from enclave_sim.labs import workplace
from enclave_sim.labs.authoring import new_course
from enclave_sim.labs.catalogue import LABS, find_lab
from enclave_sim.labs.course import Course
from enclave_sim.labs.grades import Grade, grade_directory
from tests.enclave_sim.cli.command import assert_refused, command
from tests.labs.solutions import breakout, frame
from tests.labs.solutions.solution import Workplace

LAB = find_lab("frame")
SOON, LATER = "2026-03-01T10:00:00Z", "2026-03-02T00:00:01+00:00"
DEADLINE = "deadline = 2026-03-01T23:59:00Z"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    new_course(tmp_path / "systems")
    return tmp_path / "systems" / "course.toml"


def changed(course: Path, old: str, new: str) -> None:
    text = course.read_text()
    assert old in text
    course.write_text(text.replace(old, new, 1))


def with_deadline(course: Path, lab: str = "frame") -> None:
    changed(course, f"[labs.{lab}]\n# deadline", f"[labs.{lab}]\ndeadline")


def solved(course: Path, student: str = "ada", lab: str = "frame") -> Path:
    """Start a lab as the course gives it out, and solve it."""
    into = course.parent.parent / "handout"
    assert command("lab", "author", "start", lab, student, "--course", course, "--into", into).code == 0
    directory = into / student / f"lab-{lab}"
    page = (directory / "README.md").read_text()
    place = Workplace(page, {one.name: one.read_bytes() for one in directory.iterdir()}, directory)
    for name, data in {"frame": frame, "breakout": breakout}[lab].SOLUTION.solve(place).items():
        (directory / name).write_bytes(data)
    return directory


def graded(directory: Path, course: Path) -> Grade:
    return grade_directory(directory, None, Course(course))


def test_a_new_course_has_every_lab_with_its_points(course: Path) -> None:
    assert all(lab in Course(course) for lab in LABS)
    secret = course.with_name("course.secret")
    assert re.fullmatch(r"[0-9a-f]{64}\n", secret.read_text())
    assert secret.stat().st_mode & 0o077 == 0
    assert_refused(command("lab", "author", "new", course.parent))


def test_a_private_case_is_another_one_and_the_same_for_the_same_secret(course: Path, tmp_path: Path) -> None:
    private = solved(course)
    assert command("lab", "start", "frame", tmp_path / "public", "--student", "ada").code == 0
    assert (private / "README.md").read_text() != (tmp_path / "public" / "README.md").read_text()
    key = Course(course).key(LAB, "ada")
    assert Course(course).key(LAB, "ada") == key != Course(course).key(LAB, "grace")
    assert Course(course).key(find_lab("boot"), "ada") != key
    assert len(key) == 16
    new_course(tmp_path / "other")
    assert Course(tmp_path / "other" / "course.toml").key(LAB, "ada") != key


def test_the_private_case_is_judged_by_its_key(course: Path) -> None:
    directory = solved(course)
    grade = graded(directory, course)
    assert (grade.points, grade.problem, grade.late) == (LAB.points, "", False)
    assert json.loads(command("lab", "check", "frame", directory, "--json").output)["points"] == LAB.points


def test_a_case_that_the_course_has_not_given_out_earns_nothing(course: Path, tmp_path: Path) -> None:
    workplace.start(LAB, tmp_path / "mine", "ada")
    assert "not the one that the course has given to ada" in graded(tmp_path / "mine", course).problem
    directory = solved(course)
    assignment = json.loads((directory / "lab.json").read_text())
    for forged in (assignment | {"student": "eve"}, assignment | {"key": "00" * 16}, assignment | {"key": "zz"}):
        (directory / "lab.json").write_text(json.dumps(forged))
        grade = graded(directory, course)
        assert grade.points == 0
        assert grade.problem


def test_points_are_those_of_the_course(course: Path) -> None:
    parts = {part.name: part.points for part in LAB.text.part}
    old = ", ".join(f"{name} = {points}" for name, points in parts.items())
    changed(course, old, ", ".join(f"{name} = {10 * points}" for name, points in parts.items()))
    grade = graded(solved(course), course)
    assert grade.judgement is not None
    assert (grade.points, grade.judgement.of) == (10 * LAB.points, 10 * LAB.points)


def test_a_lab_that_the_course_has_not_is_refused(course: Path, tmp_path: Path) -> None:
    text = course.read_text()
    course.write_text(re.sub(r"\[labs\.boot\].*?\n\n", "", text, flags=re.DOTALL))
    workplace.start(find_lab("boot"), tmp_path / "mine", "ada")
    assert graded(tmp_path / "mine", course).problem == "lab boot is not one of the course"
    assert command("lab", "author", "start", "boot", "ada", "--course", course, "--into", tmp_path / "x").code == 2


@pytest.mark.parametrize(("at", "late", "share"), [(SOON, False, 1), (LATER, True, 2)])
def test_the_time_of_a_signed_receipt_decides(course: Path, at: str, late: bool, share: int) -> None:
    with_deadline(course)
    changed(course, "late_share = 1.0", "late_share = 0.5")
    directory = solved(course)
    key = course.with_name("course.key.json")
    assert command("lab", "submit", "frame", directory, "--key", key, "--at", at).code == 0
    grade = graded(directory, course)
    assert grade.judgement is not None
    assert (grade.late, grade.problem) == (late, "")
    assert grade.points == sum(mark.of // share for mark in grade.judgement.parts)
    assert grade.submitted == at.replace("+00:00", "Z")


def test_a_time_that_nobody_vouches_for_does_not_count(course: Path, tmp_path: Path) -> None:
    with_deadline(course)
    directory = solved(course)
    assert graded(directory, course).late is None
    assert command("lab", "submit", "frame", directory, "--at", SOON).code == 0
    assert graded(directory, course).late is None, "not signed"
    new_course(tmp_path / "mine")
    key = course.with_name("course.key.json")
    other = tmp_path / "mine" / "course.key.json"
    assert command("lab", "submit", "frame", directory, "--key", other, "--at", SOON).code == 0
    assert graded(directory, course).late is None, "signed by another key"
    assert command("lab", "submit", "frame", directory, "--key", key, "--at", LATER).code == 0
    receipt = directory / "receipt.json"
    receipt.write_text(receipt.read_text().replace("2026-03-02", "2026-02-02"))
    assert graded(directory, course).late is None, "another time than was signed"
    assert command("lab", "submit", "frame", directory, "--key", key, "--at", SOON).code == 0
    assert graded(directory, course).late is False
    (directory / "answers.toml").write_text((directory / "answers.toml").read_text() + "\n# after the deadline\n")
    assert graded(directory, course).late is None, "other files than those of the receipt"


def test_a_receipt_elsewhere_is_not_read(course: Path) -> None:
    directory, elsewhere = solved(course), course.with_name("receipt.json")
    key = course.with_name("course.key.json")
    assert command("lab", "submit", "frame", directory, "--key", key, "--at", SOON).code == 0
    assert graded(directory, course).submitted
    (directory / "receipt.json").rename(elsewhere)
    (directory / "receipt.json").symlink_to(elsewhere)
    assert not graded(directory, course).submitted


def test_the_file_of_submissions_decides_if_the_course_names_one(course: Path) -> None:
    with_deadline(course)
    changed(course, "# submissions", "submissions")
    times = course.with_name("submitted.toml")
    times.write_text(f"[ada]\nframe = {LATER}\n[grace]\nboot = {SOON}\n")
    assert graded(solved(course), course).late is True
    assert graded(solved(course, "grace"), course).late is None
    grades = json.loads(
        command(
            "lab",
            "grade",
            course.parent.parent / "handout" / "ada" / "lab-frame",
            "--course",
            course,
            "--format",
            "json",
        ).output
    )
    assert [(one["late"], one["submitted"]) for one in grades["grades"]] == [(True, "2026-03-02T00:00:01Z")]


def test_the_statistics_are_a_page_with_the_hardest_part_first(course: Path) -> None:
    good, bad = solved(course), solved(course, "grace")
    answers = bad / "answers.toml"
    answers.write_text(re.sub(r"rip = \d+", "rip = 1", answers.read_text()))
    page = command("lab", "grade", good, bad, "--course", course, "--format", "statistics").output
    rows = [line for line in page.splitlines() if line.startswith("| frame")]
    assert "2 of 2 directories count; late: 0." in page
    assert rows[0].startswith("| frame | return | 2 | 1 | 50% | ")
    assert "return.rip: This is not the return address. (1)" in rows[0]
    assert len(rows) == len(LAB.text.part)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[labs.frame]", "[labs.frame-1]", "there is no lab 'frame-1'; did you mean frame? "),
        ("late_share = 1.0", "late_share = 2.0", "late_share is 2.0; it must be from 0 to 1"),
        ("# deadline = 2026-03-01T23:59:00Z", "deadline = 2026-03-01T23:59:00", "has no time zone: write it as"),
        ("# deadline = 2026-03-01T23:59:00Z", "deadline = 1", "is a whole number; it must be a date and time or null"),
        ("points = { modes = 1", "points = { nodes = 1", "the points of lab boot must name its parts: modes, phases"),
        (
            "points = { modes = 1",
            "points = { modes = '1'",
            "lab 'boot': points[...] is a text; it must be a whole number",
        ),
        ("points = { modes = 1", "points = { modes = -1", "the points of a part of lab boot must be 0 to 1000000"),
        ("[labs.boot]", "[labs.boot", "it cannot be understood from line"),
        ("name = ", "title = ", "title is unknown"),
        ("course.secret", "course.toml", "is not a secret of 32 bytes in hexadecimal"),
        ("course.secret", "nothing", "cannot read"),
        ("# submissions", "submissions", "cannot read"),
        ('anchor = "course.anchor.json"', 'anchor = "course.secret"', "course.secret"),
    ],
)
def test_a_mistake_in_a_course_is_one_line(course: Path, old: str, new: str, reason: str) -> None:
    changed(course, old, new)
    with pytest.raises(EnclaveError, match=re.escape(reason)) as raised:
        Course(course)
    assert "\n" not in str(raised.value)
    assert_refused(command("lab", "grade", course.parent, "--course", course))


@pytest.mark.parametrize("at", ["yesterday", "2026-03-01", "2026-03-01T12:00:00", ""])
def test_a_time_must_be_one_with_its_zone(at: str, course: Path) -> None:
    directory = solved(course)
    assert_refused(command("lab", "submit", "frame", directory, "--at", at))
