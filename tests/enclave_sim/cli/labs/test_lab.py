"""`enclave-sim lab`: its commands, from the list to the grades."""

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from enclave_sim.labs.catalogue import LABS
from tests.enclave_sim.cli.command import assert_refused, command


@pytest.fixture
def started(tmp_path: Path) -> Path:
    assert command("lab", "start", "boot", tmp_path / "mine", "--student", "ada").code == 0
    return tmp_path / "mine"


def test_the_list_has_every_lab_with_its_points() -> None:
    rows = json.loads(command("lab", "list", "--json").output)["labs"]
    assert [(row["number"], row["name"], row["points"]) for row in rows] == [
        (number, lab.name, lab.points) for number, lab in enumerate(LABS, 1)
    ]
    assert command("lab", "list").output.count("points") == len(LABS)


def test_a_lab_starts_in_a_directory_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("lab", "start", "1").code == 0
    assert sorted(path.name for path in (tmp_path / "lab-boot").iterdir()) == ["README.md", "answers.toml", "lab.json"]
    assert command("lab", "check", "1").output.startswith("lab boot, student guest: 0 of 10 points\n")


def test_the_same_student_gets_the_same_case_and_another_one_another(tmp_path: Path) -> None:
    for directory, student in (("a", "ada"), ("b", "ada"), ("c", "grace")):
        assert command("lab", "start", "boot", tmp_path / directory, "--student", student).code == 0
    first, same, other = ((tmp_path / name / "README.md").read_text() for name in "abc")
    assert first == same
    assert first.replace("ada", "grace") != other


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("start 99", "there is no lab '99'; there are 1 to"),
        ("start boto", "there is no lab 'boto'; did you mean boot? "),
        ("start boot mine", "mine exists; name a directory to make"),
        ("start boot new --student a/b", "'a/b' is not a student ID: use 1 to 64 letters"),
        ("check boot nowhere", "there is no directory nowhere; enclave-sim lab start makes one"),
        ("check boot .", ". has no lab.json; enclave-sim lab start makes a directory with one"),
        ("hint boot mine --part nose", "lab boot has no part 'nose'; there are modes, phases, rings, sleep"),
        ("verify mine/answers.toml", "mine/answers.toml is not a receipt of enclave-sim lab submit"),
        (f"start boot {'a' * 300}", "[DIR]: the path 'aaaa"),
        (f"check boot {'a/' * 3000}", "[DIR]: the path 'a/a/"),
        (f"author new {'a' * 256}", "DIR: the path 'aaaa"),
        ("grade mine --lab boto", "there is no lab 'boto'; did you mean boot? "),
        ("grade mine mine --format autolab", "format autolab is of one student: name one directory, not 2"),
        ("grade mine . --student ada", "--student is for one directory, not 2"),
        ("grade mine nowhere", "cannot grade nowhere: it does not exist"),
        ("grade mine/answers.toml", "cannot grade mine/answers.toml: it is not a directory"),
    ],
)
def test_a_mistake_is_one_line(words: str, reason: str, started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(started.parent)
    ended = command("lab", *words.split())
    assert_refused(ended)
    assert ended.error.startswith(f"error: {reason}")


def test_hints_come_one_at_a_time_and_cost_nothing(started: Path) -> None:
    before = command("lab", "check", "boot", started, "--json").output
    hints = [command("lab", "hint", "boot", started).output for _ in range(3)]
    assert hints[0].startswith("part modes, hint 1: ")
    assert hints[1].startswith("part modes, hint 2: ")
    assert hints[2] == "part modes: there are no more hints; --part NAME gives those of another part\n"
    assert command("lab", "hint", "boot", started, "--part", "sleep").output.startswith("part sleep, hint 1: ")
    assert command("lab", "check", "boot", started, "--json").output == before


def test_a_submission_has_a_receipt_and_shows_the_idea(started: Path) -> None:
    submitted = command("lab", "submit", "boot", started)
    assert LABS[0].text.debrief.strip() in submitted.output
    receipt = json.loads((started / "receipt.json").read_text())
    assert receipt["signature"] is None
    assert receipt["judgement"] == json.loads(command("lab", "check", "boot", started, "--json").output)
    assert re.fullmatch(r"[0-9a-f]{64}", receipt["judgement"]["runs"][0])
    unsigned = command("lab", "verify", started / "receipt.json")
    assert (unsigned.code, unsigned.output[:40]) == (18, "judged the same again; no signer was named"[:40])
    again = json.loads(command("lab", "verify", started / "receipt.json", "--json").output)
    assert again == {"confirmed": False, "problems": [], "signers": []}


def test_grades_have_every_part_in_every_format(started: Path) -> None:
    parts = [part.name for part in LABS[0].text.part]
    rows = list(csv.DictReader(io.StringIO(command("lab", "grade", started).output)))
    assert [(row["student"], row["part"], row["points"]) for row in rows] == [("ada", part, "0") for part in parts]
    (suite,) = ElementTree.fromstring(command("lab", "grade", started, "--format", "junit").output)
    assert [case.get("name") for case in suite] == parts
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "4", "0")
    results = json.loads(command("lab", "grade", started, "--format", "gradescope").output)
    assert [(test["name"], test["score"], test["max_score"]) for test in results["tests"]] == [
        (part.name, 0, part.points) for part in LABS[0].text.part
    ]
    last = command("lab", "grade", started, "--format", "autolab").output.splitlines()[-1]
    assert json.loads(last) == {"scores": dict.fromkeys(parts, 0)}
    everything = json.loads(command("lab", "grade", started, "--format", "json").output)
    assert [row["part"] for row in everything["statistics"]] == parts


def test_formats_of_one_student_have_a_score_whatever_was_handed_in(started: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for words, reason in (
        ((empty, "--lab", "boot"), "has no lab.json"),
        ((empty,), "has no lab.json"),
        ((started, "--lab", "forge"), "it is of lab boot, not of forge"),
        ((started, "--student", "grace"), "it is the case of student ada, not of grace"),
    ):
        graded = command("lab", "grade", *words, "--format", "autolab")
        said, line = graded.output.splitlines()
        assert (graded.code, graded.error) == (0, "")
        assert reason in said
        scores = json.loads(line)["scores"]
        assert scores
        assert set(scores.values()) == {0}
        named = [one for one in LABS if one.name in words] or LABS[:1]
        assert words == (empty,) or list(scores) == [part.name for part in named[0].text.part]
        results = command("lab", "grade", *words, "--format", "gradescope")
        assert (results.code, json.loads(results.output)["score"]) == (0, 0)
        assert reason in json.loads(results.output)["output"]


def test_a_directory_that_cannot_be_judged_stops_no_other(started: Path, tmp_path: Path) -> None:
    (tmp_path / "=cmd()\x1b").mkdir()
    graded = command("lab", "grade", tmp_path / "=cmd()\x1b", started)
    assert graded.code == 0
    first, *others = csv.DictReader(io.StringIO(graded.output))
    assert "has no lab.json" in first["problem"]
    assert len(others) == 4
    assert "\x1b" not in graded.output
    junit = command("lab", "grade", tmp_path / "=cmd()\x1b", "--format", "junit")
    assert (junit.code, junit.error.count("\n")) == (2, 1)
    assert junit.error.startswith("error: no directory has lab.json, ")
    assert ElementTree.fromstring(junit.output).find("testsuite/testcase/error") is not None
