"""Any grade book in any format is what its consumer publishes: directories, problems and messages are any text."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.labs.grade_formats import FORMATS
from enclave_sim.labs.grades import Grade, statistics, unique
from enclave_sim.labs.judging import Judgement, PartMark
from tests.enclave_sim.labs.consumers import GRADESCOPE_TEST, assert_junit

jsonschema = pytest.importorskip("jsonschema")
SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs" / "schemas" / "lab-grade.schema.json").read_text(encoding="utf-8")
)
FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
"""Beginnings that a spreadsheet may take for a formula (OWASP, CSV injection)."""
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["=1+1", "@x", "\t=1", "\r=1", "\uff1d1", 'a"b', "a,b", "a\nb", "]]>", "&<>", "\ud800", "\x00", "|`*_"]
    ),
)
IDS = st.from_regex(r"[a-z0-9][a-z0-9._@+-]{0,8}", fullmatch=True)
NAMES = st.sampled_from(("boot", "gate", "leak"))
TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))


@st.composite
def marks(draw: st.DrawFn, part: str) -> PartMark:
    of = draw(st.integers(0, 4))
    points = draw(st.integers(0, of))
    return PartMark(part, points, of, tuple(draw(st.lists(TEXTS, max_size=2))) if points < of else ())


@st.composite
def grades(draw: st.DrawFn) -> Grade:
    directory, problem = draw(TEXTS), draw(st.one_of(st.just(""), TEXTS))
    if draw(st.integers(0, 4)) == 0:
        return Grade(directory, None, problem or "broken", parts=draw(st.sampled_from(((), ("a", "b")))))
    parts = tuple(draw(marks(name)) for name in ("a", "b", "c")[: draw(st.integers(1, 3))])
    total, most = sum(mark.points for mark in parts), sum(mark.of for mark in parts)
    judgement = Judgement(draw(NAMES), 1, draw(IDS), total, most, parts, (), {"answers.toml": "00"})
    late = draw(st.sampled_from((None, False, True)))
    submitted = "" if late is None else draw(TIMES).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Grade(directory, judgement, problem, submitted, late, tuple(mark.part for mark in parts))


BOOKS = st.lists(grades(), max_size=5).map(unique)


def written(kind: str, book: list[Grade]) -> str:
    """Return the bytes that the command writes, read again."""
    return FORMATS[kind](book).encode("utf-8", "replace").decode()


@given(BOOKS)
def test_csv_has_one_row_for_each_part_and_no_formula(book: list[Grade]) -> None:
    header, *rows = csv.reader(io.StringIO(written("csv", book), newline=""), strict=True)
    assert len(header) == 10
    assert len(rows) == sum(1 if one.judgement is None else len(one.judgement.parts) for one in book)
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        assert 0 <= int(cells["points"]) <= int(cells["of"])
        assert not [cell for cell in row if FORMULA.match(cell)]
        assert cells["late"] in ("", "yes", "unknown")
    assert sum(int(row[4]) for row in rows) == sum(one.points for one in book)


@given(BOOKS)
def test_json_is_as_its_schema_says(book: list[Grade]) -> None:
    found = json.loads(written("json", book))
    jsonschema.validate(found, SCHEMA)
    assert [one["points"] for one in found["grades"]] == [one.points for one in book]


@given(BOOKS)
def test_junit_is_as_its_schema_says(book: list[Grade]) -> None:
    root = ElementTree.fromstring(written("junit", book).encode())
    assert_junit(root)
    judged = sum(1 if one.judgement is None else len(one.judgement.parts) for one in book)
    assert len(root.findall("testsuite/testcase")) == judged


@given(grades())
def test_gradescope_has_a_score_whatever_was_handed_in(one: Grade) -> None:
    result = json.loads(written("gradescope", [one]))
    assert result["score"] == one.points
    for test in result.get("tests", []):
        assert test.keys() == GRADESCOPE_TEST
        assert 0 <= test["score"] <= test["max_score"]
        assert (test["status"] == "passed") is (test["score"] == test["max_score"])
    assert result["output"].strip() or "tests" in result


@given(grades())
def test_autolab_ends_with_one_line_of_scores(one: Grade) -> None:
    *_, last, end = written("autolab", [one]).split("\n")
    assert end == ""
    scores = json.loads(last)["scores"]
    assert sum(scores.values()) == one.points
    assert set(scores) == (set(one.parts) or {"lab"})


@given(BOOKS)
def test_statistics_are_a_table_with_the_hardest_part_first(book: list[Grade]) -> None:
    lines = written("statistics", book).splitlines()
    rows = [line for line in lines[4:] if line]
    assert len(rows) == 2 + len(statistics(book))
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows} == {7}
    means = [row.mean for row in statistics(book)]
    assert means == sorted(means)
    worthless = {
        (one.judgement.lab, mark.part)
        for one in book
        if one.judgement is not None
        for mark in one.judgement.parts
        if mark.of
    }
    assert all(row.mean == 1 for row in statistics(book) if (row.lab, row.part) not in worthless)
