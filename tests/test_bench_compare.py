"""`python tests/bench.py --compare A B`: what it says of two outputs."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench_compare import NotAnOutputError, changes, compare, load, table
from tests.bench_entries import Entry, entry


def figure(value: float, unit: str = "ms", target: str | None = "<= 2", reference: float = 10.0) -> Entry:
    return entry("a figure", value, unit, target, ("something beside it", reference), 3)


def verdict(before: Entry, after: Entry) -> str:
    (change,) = changes([before], [after])
    return change.verdict


def output(path: Path, *figures: Entry) -> Path:
    path.write_text(json.dumps({"host": {}, "quick": False, "results": figures}))
    return path


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (figure(1.0), figure(1.05), "the same"),
        (figure(1.0), figure(1.2), "worse"),
        (figure(1.2), figure(1.0), "better"),
        (figure(1.0), figure(2.1), "target missed now"),
        (figure(2.1), figure(1.0), "target met now"),
        # A host that is twice as slow makes value and reference twice as large
        (figure(0.5), figure(1.0, reference=20.0), "the same"),
        (figure(0.5), figure(0.5, reference=20.0), "better"),
        # but a ratio is beside its reference already
        (figure(0.5, "ratio"), figure(0.5, "ratio", reference=20.0), "the same"),
        (figure(100.0, "calls/s", ">= 10"), figure(200.0, "calls/s", ">= 10"), "better"),
        (figure(100.0, "calls/s", None), figure(50.0, "calls/s", None), "worse"),
        (figure(100.0, "s", None), figure(50.0, "s", None), "better"),
        (figure(100.0, "s"), figure(50.0, "ms"), "not comparable"),
        (figure(0.0, target=None), figure(50.0, target=None), "not comparable"),
    ],
)
def test_a_figure_is_judged_beside_its_reference(before: Entry, after: Entry, expected: str) -> None:
    assert verdict(before, after) == expected


def test_a_figure_in_one_output_only_is_told() -> None:
    old, new = figure(1.0) | {"name": "old"}, figure(1.0) | {"name": "new"}
    assert [(change.name, change.verdict) for change in changes([old], [new])] == [("new", "new"), ("old", "gone")]


def test_a_lost_target_is_the_exit_status(tmp_path: Path) -> None:
    good, bad = output(tmp_path / "good", figure(1.0)), output(tmp_path / "bad", figure(3.0))
    assert compare(good, bad)[1] == 1
    assert compare(bad, good)[1] == 0
    assert compare(bad, bad)[1] == 0
    assert "1" in compare(good, bad)[0]


def test_the_table_has_a_line_for_each_figure() -> None:
    lines = table(changes([figure(1.0)], [figure(1.5)])).splitlines()
    assert lines[0].split()[:3] == ["figure", "before", "after"]
    assert lines[1].split() == ["a", "figure", "1", "1.5", "ms", "<=", "2", "0.67", "worse"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"results": 5}', '{"results": [{}]}', '{"results": [{"name": "a", "unit": "ms"}]}', "\0"],
)
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other"
    path.write_text(content)
    with pytest.raises(NotAnOutputError, match="is not an output"):
        load(path)
    with pytest.raises(NotAnOutputError, match="cannot read"):
        load(tmp_path / "missing")


@pytest.mark.slow
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from tests import bench

    good, bad = output(tmp_path / "good", figure(1.0)), output(tmp_path / "bad", figure(3.0))

    def run(*arguments: Any) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["bench.py", "--compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            bench.main()
        return ended.value.code, "".join(capsys.readouterr())

    status, text = run(good, bad)
    assert (status, "target missed now" in text) == (1, True)
    assert run(good, good)[0] == 0
    status, text = run(good, tmp_path / "missing")
    assert (status, "cannot read" in text) == (2, True)
