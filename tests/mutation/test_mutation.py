"""The runner of `make mutation` on a small tree; the list of equivalent mutants is up to date."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from tests.mutation import equivalents
from tests.mutation.areas import AREAS, area_of, stages
from tests.mutation.equivalents import Equivalent
from tests.mutation.mutants import Mutant, mutant, python_files, sample, sites
from tests.mutation.report import Score, document
from tests.mutation.runner import Runner, UnsoundTestsError
from tests.mutation.session import Fate, Result, Session
from tests.mutation.workplace import Workplace

ROOT = Path(__file__).resolve().parents[2]

MODULE = """\
LIMIT = 7


def capped(value: "int | None") -> int:
    if value is None:
        return 0
    while value > LIMIT:
        value -= 1
    return value
"""

TESTS = """\
from part.capped import capped


def test_nothing_is_zero():
    assert capped(None) == 0


def test_the_limit_is_not_passed():
    assert capped(9) == 7
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a small source tree whose tests mirror it, with the plugins that the runner loads."""
    root = tmp_path / "original"
    for name, text in (("part/capped.py", MODULE), ("tests/part/test_capped.py", TESTS)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\nmarkers = ["slow", "oracle", "gdb"]\n'
    )
    (root / "tests/mutation").mkdir()
    for plugin in ("plugin", "contexts"):
        (root / f"tests/mutation/{plugin}.py").write_text((ROOT / f"tests/mutation/{plugin}.py").read_text())
    return root


def _made(operator: str, line: str) -> Mutant:
    [site] = [one for one in sites("part/capped.py", MODULE) if one.line == line and one.family.startswith(operator)]
    made = mutant(site, MODULE, seed=1)
    assert made is not None
    return made


def _run(tree: Path, mutants: list[Mutant], session: Session, known: tuple[Equivalent, ...] = ()) -> list[Result]:
    place = tree.parent / f"copy-{len(list(tree.parent.iterdir()))}"
    return list(Runner(Workplace(tree, place), known).run(mutants, session))


@pytest.mark.slow
def test_a_change_that_a_test_notices_is_killed_by_it(tree: Path, tmp_path: Path) -> None:
    [result] = _run(tree, [_made("AddNot", "if value is None:")], Session(tmp_path / "session"))
    assert result.fate is Fate.KILLED
    assert result.killer == "tests/part/test_capped.py::test_nothing_is_zero"
    assert (result.line_number, result.was, result.becomes) == (5, "if value is None:", "if not value is None:")


@pytest.mark.slow
def test_a_change_that_no_test_notices_survives(tree: Path, tmp_path: Path) -> None:
    (tree / "tests/part/test_capped.py").write_text(TESTS.partition("def test_the_limit")[0])
    mutants = [_made("NumberReplacer", "LIMIT = 7")]
    [result] = _run(tree, mutants, Session(tmp_path / "session"))
    assert result.fate is Fate.SURVIVED

    (tree / "tests/part/test_capped.py").write_text(TESTS)
    [same] = _run(tree, mutants, Session(tmp_path / "session"))
    assert same.fate is Fate.SURVIVED, "the session knows it"
    [again] = _run(tree, mutants, Session(tmp_path / "session", retry=True))
    assert again.fate is Fate.KILLED


def test_the_original_is_not_touched_and_the_copy_is_as_before(tree: Path, tmp_path: Path) -> None:
    workplace = Workplace(tree, tmp_path / "copy")
    made = _made("NumberReplacer", "LIMIT = 7")
    with workplace.mutated(made):
        assert (tmp_path / "copy/part/capped.py").read_text() == made.source != MODULE
        assert (tree / "part/capped.py").read_text() == MODULE
    assert (tmp_path / "copy/part/capped.py").read_text() == MODULE


@pytest.mark.slow
def test_a_module_that_cannot_be_imported_says_nothing_of_the_tests(tree: Path, tmp_path: Path) -> None:
    broken = Mutant("part/capped.py", "Broken", 1, "LIMIT = 7", "LIMIT = 7 + None", "LIMIT = 7 + None\n")
    [result] = _run(tree, [broken], Session(tmp_path / "session"))
    assert result.fate is Fate.STILLBORN
    assert Score.of("part", [result]).share == 1.0


@pytest.mark.slow
def test_a_test_that_fails_without_a_mutant_judges_nothing(tree: Path, tmp_path: Path) -> None:
    (tree / "tests/part/test_capped.py").write_text("def test_wrong():\n    assert False\n\n\n" + TESTS)
    with pytest.raises(UnsoundTestsError, match="test_wrong"):
        _run(tree, [_made("AddNot", "if value is None:")], Session(tmp_path / "session"))


def test_equivalents_are_neither_run_nor_counted(tree: Path, tmp_path: Path) -> None:
    made = _made("NumberReplacer", "LIMIT = 7")
    known = (Equivalent(made.path, made.was, made.becomes, "for the test"),)
    results = _run(tree, [made], Session(tmp_path / "session"), known)
    assert [(one.fate, one.killer) for one in results] == [(Fate.EQUIVALENT, "for the test")]
    assert not (tmp_path / "session").exists()


@pytest.mark.slow
def test_endless_tests_end(tree: Path, tmp_path: Path) -> None:
    workplace = Workplace(tree, tmp_path / "copy")
    endless = Mutant("part/capped.py", "Endless", 8, "value -= 1", "pass", MODULE.replace("value -= 1", "pass"))
    with workplace.mutated(endless):
        outcome = workplace.test(["tests/part"], limit=5.0)
    assert outcome.ended == "timed out"


def test_annotations_and_identities_are_left_alone() -> None:
    operators = {name for site in sites("part/capped.py", MODULE) for name, _ in site.changes}
    assert not [
        one
        for one in sites("x.py", "def f(a: int | None) -> int | str: ...\nb: int | str = 1\n")
        if "Bin" in one.family
    ]
    assert "core/ReplaceComparisonOperator_Is_IsNot" in operators
    assert "core/ReplaceComparisonOperator_Is_Eq" not in operators


def test_what_does_nothing_when_the_program_runs_is_left_alone() -> None:
    text = "@dataclass(frozen=True, slots=True)\nclass A: ...\n\n\ndef f(a, *, b): return lambda c, *, d: c\n"
    assert [one.family for one in sites("x.py", text)] == ["RemoveDecorator", "ReplaceTrueWithFalse"]
    assert list(sites("x.py", "if TYPE_CHECKING:\n    from a import b\n")) == []
    assert [one.family for one in sites("x.py", "f = lru_cache(maxsize=8)(g)\n")] == []


def test_a_star_among_parameters_does_not_move_a_change_elsewhere() -> None:
    text = "def f(a, *, b):\n    return a * b\n"
    [site] = [one for one in sites("x.py", text) if one.family == "ReplaceBinaryOperator"]
    for seed in range(20):
        made = mutant(site, text, seed)
        assert made is not None
        assert made.was == "return a * b" != made.becomes
        assert made.source.startswith("def f(a, *, b):")


@pytest.mark.slow
def test_a_seed_draws_the_same_mutants_and_a_larger_sample_holds_the_smaller() -> None:
    few, more = (list(sample(ROOT, ("machine/tpm",), size, seed=3)) for size in (3, 6))
    assert few == more[:3]
    assert [one.name for one in few] != [one.name for one in sample(ROOT, ("machine/tpm",), 3, seed=4)]


def test_other_lines_do_not_change_the_draw(tree: Path) -> None:
    before = [one.was for one in sample(tree, ("part",), 4, seed=1)]
    (tree / "part/capped.py").write_text('"""A line above."""\n\n' + MODULE)
    assert [one.was for one in sample(tree, ("part",), 4, seed=1)] == before


def test_another_directory_does_not_change_the_draw(tree: Path) -> None:
    before = [(one.was, one.becomes) for one in sample(tree, ("part",), 4, seed=1)]
    (tree / "part").rename(tree / "room")
    assert [(one.was, one.becomes) for one in sample(tree, ("room",), 4, seed=1)] == before


@pytest.mark.slow
def test_tests_named_after_the_file_come_first() -> None:
    first, second, third = islice(stages(ROOT, "machine/devices/legacy/pic8259.py"), 3)
    assert first[0] == "tests/machine/devices/legacy/test_pic8259.py"
    assert second == ("tests/machine", "tests/test_data.py")
    assert "tests/firmware" in third


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name)
def test_areas_name_files_and_tests_that_exist(area: object) -> None:
    found = next(one for one in AREAS if one is area)
    assert all(area_of(file) is found for file in python_files(ROOT, found.paths))
    assert all((ROOT / test).exists() for test in (*found.tests, *found.neighbours))


def test_a_path_without_python_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match="no Python file at firmware/src"):
        python_files(ROOT, ["firmware/src"])


def test_the_report_counts_by_area() -> None:
    fates = (Fate.KILLED, Fate.TIMED_OUT, Fate.SURVIVED, Fate.EQUIVALENT, Fate.STILLBORN)
    results = [Result(str(n), "part", "p.py", 1, "op", "a", "b", fate, 1.0) for n, fate in enumerate(fates)]
    report = json.loads(json.dumps(document(results, seed=5)))
    assert report["scores"][-1] == {
        "name": "all",
        "sampled": 5,
        "killed": 2,
        "survived": 1,
        "equivalent": 1,
        "stillborn": 1,
        "seconds": 5.0,
        "share": 0.6667,
    }
    assert [one["fate"] for one in report["mutants"]] == ["killed", "timed out", "survived", "equivalent", "stillborn"]


def test_listed_equivalents_have_a_reason() -> None:
    assert [entry for entry in equivalents.load() if len(entry.reason) < 20] == []


@pytest.mark.slow
def test_listed_equivalents_can_still_be_made(share: Callable[[int], int]) -> None:
    entries = equivalents.load()
    for entry in Random(1).sample(entries, share(len(entries))):
        assert entry.can_be_made(ROOT), entry


def test_a_list_is_read_and_a_change_that_cannot_be_made_is_reported(tree: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.toml"
    text = '[[equivalent]]\npath = "part/capped.py"\nwas = "LIMIT = 7"\nbecomes = "LIMIT = 8"\nreason = "r"\n'
    listed.write_text(text + text.replace("8", "9"))
    assert [entry.can_be_made(tree) for entry in equivalents.load(listed)] == [True, False]
    listed.write_text(text.replace("reason", "because"))
    with pytest.raises(TypeError):
        equivalents.load(listed)
