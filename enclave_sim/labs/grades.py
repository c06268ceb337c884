"""Grading many directories, and the grades in the formats of those who take them.

* `junit`: a test suite for each lab, a test case for each part and student, as Jenkins' xUnit schema has it;
* `gradescope`: `results.json` of one student;
* `autolab`: one line with the scores of one student, the last line of an autograder's output;
* `csv`: one row for each part and student; `json`: everything, with statistics.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from enclave_sim.errors import ConfigurationError, EnclaveError
from enclave_sim.labs import workplace
from enclave_sim.labs.judging import Judgement, judge
from enclave_sim.recording.text import one_line, printable
from machine.errors import MachineError


class Grade(msgspec.Struct, frozen=True):
    """The grade of one directory."""

    directory: str
    judgement: Judgement | None
    """None if it could not be judged."""
    problem: str = ""
    """The reason why it earns nothing, whatever was judged; empty if there is none."""

    @property
    def points(self) -> int:
        """The points that count."""
        return 0 if self.problem or self.judgement is None else self.judgement.points


def grade_directory(directory: Path, student: str | None = None) -> Grade:
    """Judge one directory.

    Args:
        directory: The directory.
        student: The ID of the student who handed it in, if that is known from elsewhere: it must be the directory's.

    Returns:
        The grade. Whatever is wrong with the directory is a problem of the grade, not an error.
    """
    name = printable(str(directory))
    try:
        lab, assignment, files = workplace.read(directory)
        judgement = judge(lab, assignment.student, files)
    except (EnclaveError, MachineError) as error:
        return Grade(name, None, one_line(str(error)))
    if student is not None and student != assignment.student:
        return Grade(name, judgement, f"it is the case of student {assignment.student}, not of {student}")
    return Grade(name, judgement)


def unique(grades: Iterable[Grade]) -> list[Grade]:
    """Refuse all directories with the same student and lab: only one of them can be that student's."""
    found = list(grades)
    times = Counter((one.judgement.student, one.judgement.lab) for one in found if one.judgement is not None)
    return [
        msgspec.structs.replace(one, problem="several directories are of this student and lab")
        if one.judgement is not None and not one.problem and times[one.judgement.student, one.judgement.lab] > 1
        else one
        for one in found
    ]


def statistics(grades: Sequence[Grade]) -> list[dict[str, object]]:
    """Return how each part was solved, the hardest first: students, mean share of its points, common messages."""
    parts: dict[tuple[str, str], list[tuple[float, tuple[str, ...]]]] = {}
    for one in grades:
        for mark in one.judgement.parts if one.judgement is not None and not one.problem else ():
            assert one.judgement is not None
            parts.setdefault((one.judgement.lab, mark.part), []).append((mark.points / mark.of, mark.messages))
    rows = []
    for (lab, part), marks in parts.items():
        messages = Counter(message for _, several in marks for message in several)
        common = sorted(messages.items(), key=lambda item: (-item[1], item[0]))[:3]
        mean = round(sum(share for share, _ in marks) / len(marks), 3)
        rows.append({"lab": lab, "part": part, "students": len(marks), "mean": mean, "common": dict(common)})
    return sorted(rows, key=lambda row: (row["mean"], row["lab"], row["part"]))


def as_json(grades: Sequence[Grade]) -> str:
    """Return everything, and statistics."""
    rows = [{**msgspec.to_builtins(one), "points": one.points} for one in grades]
    return json.dumps({"grades": rows, "statistics": statistics(grades)}, indent=2, ensure_ascii=False) + "\n"


def as_csv(grades: Sequence[Grade]) -> str:
    """Return one row for each part; a directory that could not be judged has one row."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("student", "lab", "version", "part", "points", "of", "problem", "directory"))
    for one in grades:
        tail = (_cell(one.problem), _cell(one.directory))
        if one.judgement is None:
            table.writerow(("", "", "", "", 0, 0, *tail))
            continue
        whose = (one.judgement.student, one.judgement.lab, one.judgement.version)
        for mark in one.judgement.parts:
            table.writerow((*whose, mark.part, 0 if one.problem else mark.points, mark.of, *tail))
    return out.getvalue()


def as_junit(grades: Sequence[Grade]) -> str:
    """Return a JUnit report: a part without full marks is a failure, a directory that cannot be judged an error."""
    suites = ElementTree.Element("testsuites", name="enclave-sim labs")
    by_lab: dict[str, list[Grade]] = {}
    for one in grades:
        by_lab.setdefault("" if one.judgement is None else one.judgement.lab, []).append(one)
    for lab, several in by_lab.items():
        suite = ElementTree.SubElement(suites, "testsuite", name=lab or "unreadable")
        for one in several:
            _junit_cases(suite, one)
        cases = list(suite)
        suite.set("tests", str(len(cases)))
        suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
        suite.set("errors", str(sum(case.find("error") is not None for case in cases)))
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'


def _junit_cases(suite: ElementTree.Element, one: Grade) -> None:
    if one.judgement is None:
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(one.directory), name="judged")
        ElementTree.SubElement(case, "error", message=_xml(one.problem))
        return
    for mark in one.judgement.parts:
        case = ElementTree.SubElement(suite, "testcase", classname=one.judgement.student, name=mark.part)
        if one.problem:
            ElementTree.SubElement(case, "error", message=_xml(one.problem))
        elif mark.points < mark.of:
            failed = ElementTree.SubElement(case, "failure", message=f"{mark.points} of {mark.of} points")
            failed.text = _xml("\n".join(mark.messages))


def as_gradescope(grades: Sequence[Grade]) -> str:
    """Return results.json. Raises ConfigurationError unless there is one directory."""
    one = _only(grades, "gradescope")
    if one.judgement is None or one.problem:
        return json.dumps({"score": 0, "output": one.problem, "output_format": "text"}, indent=2) + "\n"
    tests = [
        {
            "name": mark.part,
            "score": mark.points,
            "max_score": mark.of,
            "status": "passed" if mark.points == mark.of else "failed",
            "output": "\n".join(mark.messages),
            "output_format": "text",
        }
        for mark in one.judgement.parts
    ]
    about = f"lab {one.judgement.lab}, version {one.judgement.version}, student {one.judgement.student}"
    result = {"score": one.points, "output": about, "output_format": "text", "tests": tests}
    return json.dumps(result, indent=2, ensure_ascii=False) + "\n"


def as_autolab(grades: Sequence[Grade]) -> str:
    """Return the line of scores. Raises ConfigurationError unless there is one directory that could be judged."""
    one = _only(grades, "autolab")
    if one.judgement is None:
        raise ConfigurationError(one.problem)
    scores = {mark.part: 0 if one.problem else mark.points for mark in one.judgement.parts}
    return json.dumps({"scores": scores}) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Grade]], str]] = {
    "json": as_json,
    "junit": as_junit,
    "csv": as_csv,
    "gradescope": as_gradescope,
    "autolab": as_autolab,
}
"""Functions from grades to text, by the name of the format."""


def _only(grades: Sequence[Grade], name: str) -> Grade:
    if len(grades) != 1:
        raise ConfigurationError(f"format {name} is of one student: name one directory, not {len(grades)}")
    return grades[0]


def _cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _xml(text: str) -> str:
    """Return a text without the characters that XML 1.0 cannot have."""
    return "".join(one if one in "\n\t" or (one >= " " and one not in "\ufffe\uffff") else "?" for one in text)
