"""Grades in the formats of those who take them.

* `junit`: a test suite for each lab, a test case for each part and student, as Jenkins' xUnit schema has it;
* `gradescope`: `results.json` of one student;
* `autolab`: one line with the scores of one student, the last line of an autograder's output;
* `csv`: one row for each part and student; `json`: everything, with statistics;
* `statistics`: a page in Markdown, the hardest part first.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from xml.etree import ElementTree

import msgspec

from enclave_sim.errors import ConfigurationError
from enclave_sim.labs.grades import Grade, statistics
from enclave_sim.labs.judging import PartMark
from enclave_sim.labs.outputs import GradeObject, Grades
from enclave_sim.recording.text import one_line, printable


def as_json(grades: Sequence[Grade]) -> str:
    """Return everything, and statistics."""
    found = Grades(tuple(map(GradeObject.of, grades)), tuple(statistics(grades)))
    return json.dumps(msgspec.to_builtins(found), indent=2, ensure_ascii=False) + "\n"


def as_csv(grades: Sequence[Grade]) -> str:
    """Return one row for each part; a directory that could not be judged has one row."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("student", "lab", "version", "part", "points", "of", "submitted", "late", "problem", "directory"))
    for one in grades:
        tail = (one.submitted, _late(one), _cell(one.problem), _cell(one.directory))
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
            continue
        if _late(one):
            ElementTree.SubElement(case, "system-out").text = f"late: {_late(one)}; submitted: {one.submitted}"
        if mark.points < mark.of:
            failed = ElementTree.SubElement(case, "failure", message=f"{mark.points} of {mark.of} points")
            failed.text = _xml(_reasons(one, mark))


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
            "output": _reasons(one, mark),
            "output_format": "text",
        }
        for mark in one.judgement.parts
    ]
    about = f"lab {one.judgement.lab}, version {one.judgement.version}, student {one.judgement.student}"
    if _late(one):
        about = f"{about}; late: {_late(one)}"
    result = {"score": one.points, "output": about, "output_format": "text", "tests": tests}
    return json.dumps(result, indent=2, ensure_ascii=False) + "\n"


def as_autolab(grades: Sequence[Grade]) -> str:
    """Return the line of scores, after the reason if it earns nothing. Raises ConfigurationError for several."""
    one = _only(grades, "autolab")
    if one.judgement is None or one.problem:
        judged = () if one.judgement is None else tuple(mark.part for mark in one.judgement.parts)
        scores = dict.fromkeys(one.parts or judged or ("lab",), 0)
        return f"nothing is earned: {one.problem}\n{json.dumps({'scores': scores})}\n"
    return json.dumps({"scores": {mark.part: mark.points for mark in one.judgement.parts}}) + "\n"


def as_statistics(grades: Sequence[Grade]) -> str:
    """Return a page in Markdown: how each part was solved, the hardest first, and what went wrong most."""
    counted = [one for one in grades if one.judgement is not None and not one.problem]
    late = sum(bool(one.late) for one in counted)
    lines = [
        "# Statistics",
        "",
        f"{len(counted)} of {len(grades)} directories count; late: {late}.",
        "",
        "| Lab | Part | Students | Full marks | Mean | Most common message |",
        "|---|---|---|---|---|---|",
    ]
    for row in statistics(grades):
        message = next((f"{_plain(text)} ({times})" for text, times in row.common.items()), "")
        share = f"{100 * row.mean:.0f}%"
        lines.append(f"| {row.lab} | {row.part} | {row.students} | {row.full} | {share} | {message} |")
    return "\n".join(lines) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Grade]], str]] = {
    "json": as_json,
    "junit": as_junit,
    "csv": as_csv,
    "gradescope": as_gradescope,
    "autolab": as_autolab,
    "statistics": as_statistics,
}
"""Functions from grades to text, by the name of the format."""


_FORMULA = (*"=+-@\t\r", *"\uff1d\uff0b\uff0d\uff20")
"""Beginnings of a formula, as OWASP lists them for CSV: the signs of full width too."""


def _plain(text: str) -> str:
    """Return a text that is one cell of a table, and no markup."""
    return "".join(f"\\{one}" if one in "\\`*_[]<>|#" else one for one in one_line(printable(text)))


def _late(one: Grade) -> str:
    return "unknown" if one.late is None else "yes" if one.late else ""


def _reasons(one: Grade, mark: PartMark) -> str:
    """Return the reasons why a part has not all its points, one a line."""
    late = ("handed in late: late_share of the course applies",) if one.late and mark.points < mark.of else ()
    return "\n".join((*mark.messages, *late))


def _only(grades: Sequence[Grade], name: str) -> Grade:
    if len(grades) != 1:
        raise ConfigurationError(f"format {name} is of one student: name one directory, not {len(grades)}")
    return grades[0]


def _cell(text: str) -> str:
    """Return a text without control characters that no spreadsheet takes for a formula."""
    text = printable(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _xml(text: str) -> str:
    """Return a text without the characters that XML 1.0 cannot have."""
    return "".join(one if one in "\n\t" or (one >= " " and one not in "\ufffe\uffff") else "?" for one in text)
