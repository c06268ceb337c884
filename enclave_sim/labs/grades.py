"""Grading many directories, and statistics of their grades."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC
from pathlib import Path

import msgspec

from enclave_sim.errors import EnclaveError
from enclave_sim.labs import workplace
from enclave_sim.labs.case import canonical_id
from enclave_sim.labs.course import Course
from enclave_sim.labs.judging import Judgement, PartMark, judge
from enclave_sim.labs.lab import Lab
from enclave_sim.labs.workplace import Assignment
from enclave_sim.recording.text import one_line, printable
from machine.errors import MachineError


class Grade(msgspec.Struct, frozen=True):
    """The grade of one directory."""

    directory: str
    judgement: Judgement | None
    """None if it could not be judged, or if another directory counts for its student."""
    problem: str = ""
    """The reason why it earns nothing, whatever was judged; empty if there is none."""
    submitted: str = ""
    """When it was handed in, in UTC; empty if the course does not know."""
    late: bool | None = False
    """True if that was after the deadline; null if there is a deadline and nobody knows."""
    parts: tuple[str, ...] = ()
    """The parts of the lab that was to be handed in, or that it seems to be; empty if that is not known."""

    @property
    def points(self) -> int:
        """The points that count."""
        return 0 if self.problem or self.judgement is None else self.judgement.points


def grade_directory(
    directory: Path, student: str | None = None, course: Course | None = None, wanted: Lab | None = None
) -> Grade:
    """Judge one directory.

    Args:
        directory: The directory.
        student: The ID of the student who handed it in, if that is known from elsewhere: it must be the directory's.
        course: The course, with its cases, points and deadlines.
        wanted: The lab that was to be handed in, if that is known: it must be the directory's.

    Returns:
        The grade. Whatever is wrong with the directory is a problem of the grade, not an error.

    Raises:
        ConfigurationError: `student` is not an ID.
    """
    name, whose = printable(str(directory)), None if student is None else canonical_id(student)
    parts = () if wanted is None else tuple(part.name for part in wanted.text.part)
    try:
        lab, assignment, files = workplace.read(directory)
        parts = parts or tuple(part.name for part in lab.text.part)
        judgement = judge(lab, assignment.student, files, key=assignment.case_key)
    except (EnclaveError, MachineError) as error:
        return Grade(name, None, one_line(str(error)), parts=parts)
    except Exception as error:  # noqa: BLE001 - a defect of a judge must not lose the grades of the others
        problem = one_line(f"a defect of the judge, to be reported: {type(error).__name__}: {error}")
        return Grade(name, None, problem, parts=parts)
    if problem := _objection(lab, assignment, whose, course, wanted):
        return Grade(name, judgement, problem, parts=parts)
    grade = Grade(name, judgement, parts=parts)
    if course is None:
        return grade
    at = course.submitted(directory, judgement)
    late = course.is_late(lab.name, at)
    return msgspec.structs.replace(
        grade,
        judgement=course.counted(judgement, late=bool(late)),
        submitted="" if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        late=late,
    )


def _objection(lab: Lab, assignment: Assignment, whose: str | None, course: Course | None, wanted: Lab | None) -> str:
    """Return the reason why a directory earns nothing, whatever is in it; empty if there is none."""
    if wanted is not None and lab is not wanted:
        return f"it is of lab {lab.name}, not of {wanted.name}"
    if whose is not None and whose != assignment.student:
        return f"it is the case of student {assignment.student}, not of {whose}"
    if course is not None:
        return course.objection(lab, assignment.student, assignment.case_key)
    return "its case is one of a course: grade it with --course" if assignment.key else ""


def unique(grades: Iterable[Grade]) -> list[Grade]:
    """Let one directory count for each student and lab: of several, the one with the most points.

    Anyone can write the ID of another student into `lab.json`. So a directory that counts for nobody takes nothing from
    the student whom it names, and nobody gains by it.

    Args:
        grades: The grades.

    Returns:
        The grades in the same order, with the problem of those that do not count; these are no longer of the student.
    """
    found = list(grades)
    best: dict[tuple[str, str], Grade] = {}
    for one in found:
        if (whose := _claimed(one)) is not None and (whose not in best or _rank(one) > _rank(best[whose])):
            best[whose] = one
    return [_of_nobody(one, best) if _claimed(one) is None else _unless_surplus(one, best) for one in found]


def _of_nobody(one: Grade, best: dict[tuple[str, str], Grade]) -> Grade:
    """Return a refused grade: without the student if another directory of that student counts."""
    named = None if one.judgement is None else (one.judgement.student, one.judgement.lab)
    return msgspec.structs.replace(one, judgement=None) if named in best else one


def _claimed(one: Grade) -> tuple[str, str] | None:
    """Return the student and the lab of a grade that counts so far."""
    return None if one.judgement is None or one.problem else (one.judgement.student, one.judgement.lab)


def _rank(one: Grade) -> tuple[int, bool]:
    """Return what the best of several directories has most of: points, and a known time."""
    return one.points, bool(one.submitted)


def _unless_surplus(one: Grade, best: dict[tuple[str, str], Grade]) -> Grade:
    assert one.judgement is not None
    student, lab = one.judgement.student, one.judgement.lab
    counts = best[student, lab]
    if one is counts:
        return one
    problem = f"another directory is of student {student} and lab {lab}, and counts: {counts.directory}"
    return Grade(one.directory, None, problem, parts=one.parts)


class PartStatistics(msgspec.Struct, frozen=True):
    """Figures of one part."""

    lab: str
    """The lab's name."""
    part: str
    """The part's name."""
    students: int
    """The number of grades that count."""
    full: int
    """The number of those with full marks."""
    mean: float
    """The mean share of its points; 1 if it has none."""
    common: dict[str, int]
    """The most common messages, each with the number of students."""


def statistics(grades: Sequence[Grade]) -> list[PartStatistics]:
    """Return how each part was solved, the hardest first."""
    parts: dict[tuple[str, str], list[PartMark]] = {}
    for one in grades:
        for mark in one.judgement.parts if one.judgement is not None and not one.problem else ():
            assert one.judgement is not None
            parts.setdefault((one.judgement.lab, mark.part), []).append(mark)
    rows = [_statistics(lab, part, marks) for (lab, part), marks in parts.items()]
    return sorted(rows, key=lambda row: (row.mean, row.lab, row.part))


def _statistics(lab: str, part: str, marks: Sequence[PartMark]) -> PartStatistics:
    messages = Counter(message for mark in marks for message in mark.messages)
    common = sorted(messages.items(), key=lambda item: (-item[1], item[0]))[:3]
    mean = round(sum(mark.points / mark.of if mark.of else 1 for mark in marks) / len(marks), 3)
    return PartStatistics(lab, part, len(marks), sum(mark.points == mark.of for mark in marks), mean, dict(common))
