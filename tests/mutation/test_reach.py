"""The map of which tests reach which line, on a small tree."""

from pathlib import Path

import pytest

from tests.mutation.areas import Area
from tests.mutation.mutants import Mutant
from tests.mutation.reach import Reach
from tests.mutation.runner import Runner
from tests.mutation.session import Fate, Session
from tests.mutation.workplace import Workplace

pytest.importorskip("coverage")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
AREA = Area("part", ("part",), ("tests/part",), ())
TESTS = "tests/part/test_capped.py"

MODULE = """\
from functools import cache

from part.limits import LIMIT

NOTHING = None


@cache
def capped(value):
    if value is NOTHING:
        return (
            0
        )
    while value > LIMIT:
        value -= 1
    return value


def unused():
    return 1
"""

CASES = """\
import pytest
from part.capped import capped


@pytest.mark.parametrize("again", [False, True])
def test_nothing_is_zero(again):
    assert capped(None) == 0


def test_nothing_is_no_one():
    assert capped(None) != 1


def test_the_limit_is_not_passed():
    assert capped(9) == 7
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "original"
    for name, text in (("part/capped.py", MODULE), ("part/limits.py", "LIMIT = 7\n"), (TESTS, CASES)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\n')
    (root / "tests/mutation").mkdir()
    for plugin in ("plugin", "contexts"):
        (root / f"tests/mutation/{plugin}.py").write_text((ROOT / f"tests/mutation/{plugin}.py").read_text())
    return root


@pytest.fixture
def reach(tree: Path, tmp_path: Path) -> Reach:
    return Reach.of(AREA, Workplace(tree, tmp_path / "copy"), tmp_path / "maps")


def _functions(tests: tuple[str, ...]) -> list[str]:
    return sorted(test.removeprefix(f"{TESTS}::").partition("[")[0] for test in tests)


@pytest.mark.parametrize("line", [10, 11, 12, 13])
def test_one_case_of_each_test_that_executes_the_statement_is_first_and_then_the_others(
    reach: Reach, line: int
) -> None:
    first, *later = reach.stages("part/capped.py", line)
    reaching = ["test_nothing_is_no_one", "test_nothing_is_zero"]
    assert _functions(first) == (reaching if line > 10 else [*reaching, "test_the_limit_is_not_passed"])
    assert [_functions(tests) for tests in later] == [["test_nothing_is_zero"]]


@pytest.mark.parametrize(("file", "line"), [("part/capped.py", 5), ("part/limits.py", 1)])
def test_a_line_that_runs_at_import_matters_to_all_that_use_the_module_and_its_importers(
    reach: Reach, file: str, line: int
) -> None:
    first, *later = reach.stages(file, line)
    assert len(_functions(first)) == 3
    assert later == [("tests/part",)]


def test_a_line_that_no_test_executes_has_no_tests(reach: Reach, tmp_path: Path) -> None:
    assert list(reach.stages("part/capped.py", 20)) == []
    mutant = Mutant("part/capped.py", "x", 20, "return 1", "return 2", MODULE.replace("return 1", "return 2"))
    runner = Runner(Workplace(reach.root, tmp_path / "another"), reaches={mutant.path: reach})
    [result] = runner.run([mutant], Session(tmp_path / "session"))
    assert (result.fate, result.seconds) == (Fate.SURVIVED, 0.0)


def test_a_map_is_drawn_up_once(reach: Reach, tmp_path: Path) -> None:
    (tmp_path / "maps/part.coverage").unlink()
    assert Reach.of(AREA, Workplace(reach.root, tmp_path / "another"), tmp_path / "maps").seconds == reach.seconds
    assert not (tmp_path / "maps/part.coverage").exists()


def test_what_is_new_or_different_is_not_looked_up(reach: Reach, tmp_path: Path) -> None:
    new = reach.root / "tests/part/test_new.py"
    new.write_text("def test_nothing(): ...\n")
    (reach.root / "part/other.py").write_text("A = 1\n")
    again = Reach.of(AREA, Workplace(reach.root, tmp_path / "another"), tmp_path / "maps")
    assert next(again.stages("part/capped.py", 20)) == ("tests/part/test_new.py",)
    assert [again.knows(file) for file in ("part/capped.py", TESTS)] == [True, True]
    assert [again.knows(file) for file in ("part/other.py", "tests/part/test_new.py")] == [False, False]
    (reach.root / "part/capped.py").write_text(MODULE + "\n")
    assert not reach.knows("part/capped.py")


def test_a_test_that_hangs_ends_the_run(tree: Path, tmp_path: Path) -> None:
    (tree / TESTS).write_text("import time\n\n\ndef test_hangs():\n    time.sleep(1000)\n")
    assert Workplace(tree, tmp_path / "copy").test([TESTS], each=1.0).ended == "timed out"
