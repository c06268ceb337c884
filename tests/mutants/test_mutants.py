"""Every deliberate defect is caught by the guarantee that must catch it, and nothing is found without a defect."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import firmware
from tests.mutants.defect import (
    ADMITTED,
    ATTESTED,
    BY_BLOCK,
    DETERMINISTIC,
    ISOLATED,
    JITTER_FREE,
    LOUD,
    NON_INTERFERENCE,
    RING_3,
    SEARCH,
    SEARCH_BY_BLOCK,
    SEARCH_MODES,
    SHORT_LIVED,
    ZERO_TRACE,
    Defect,
    Edit,
    Kernel,
    NativeHook,
    Replacement,
    Several,
)
from tests.mutants.defects import ALL, DEFECTS, documented
from tests.mutants.judge import judge, judge_mutant
from tests.mutants.trials import TRIALS
from tests.sampling import explored, sampled

FOUND_LATE = {"fault-before-fetch", "string-length", "block-stores", "block-fault", "far-call-supervisor"}
"""Defects that a search finds after thousands of examples: in `make mutants`, which tries all, and `make test-long`."""
PAGE = Path(__file__).parents[2] / "docs" / "mutants.md"


@pytest.mark.parametrize("name", sampled(TRIALS, "counter", "runner", "tampered", "vandal", "resident"))
def test_without_a_defect_every_guarantee_holds(name: str) -> None:
    assert judge([name]).findings == {}


@pytest.mark.slow
def test_without_a_defect_a_search_finds_nothing() -> None:
    assert judge([SEARCH, SEARCH_BY_BLOCK, SEARCH_MODES], examples=150).findings == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", explored(DEFECTS, *(DEFECTS.keys() - FOUND_LATE)))
def test_a_defect_is_caught_by_the_guarantees_that_must(name: str) -> None:
    assert set(DEFECTS[name].caught_by) <= judge_mutant(DEFECTS[name], briefly=True).findings.keys()


def test_there_are_many_defects_and_one_at_least_for_each_guarantee() -> None:
    assert len(ALL) == len(DEFECTS) >= 20
    wanted = {
        LOUD,
        DETERMINISTIC,
        ZERO_TRACE,
        ISOLATED,
        JITTER_FREE,
        NON_INTERFERENCE,
        ADMITTED,
        ATTESTED,
        SHORT_LIVED,
        RING_3,
        BY_BLOCK,
    }
    assert {guarantee for defect in ALL for guarantee in defect.caught_by} == wanted
    assert all(defect.caught_by for defect in ALL)


@pytest.mark.parametrize("name", DEFECTS)
def test_what_a_defect_changes_is_there(name: str, tmp_path: Path) -> None:
    """Checked without building anything: the old texts are in the sources, and the other defects' attributes exist."""
    change = DEFECTS[name].change
    for part in change.changes if isinstance(change, Several) else (change,):
        if isinstance(part, Kernel | NativeHook):
            part.changed(tmp_path)
        else:
            with ExitStack() as stack:
                part.made(stack)


def test_a_defect_names_trials_that_there_are() -> None:
    assert {name for defect in ALL for name in defect.trials} <= TRIALS.keys() | {
        SEARCH,
        SEARCH_BY_BLOCK,
        SEARCH_MODES,
    }


@pytest.mark.slow
def test_a_defect_is_gone_afterwards() -> None:
    with DEFECTS["idt-dormant"].made() as kernel:
        assert kernel is not None
        assert kernel.image != firmware.built_in().image
        assert kernel.symbols["gate"]
    replaced = next(one for one in ALL if isinstance(one.change, Replacement))
    assert isinstance(replaced.change, Replacement)
    owner, name = replaced.change.owner, replaced.change.name
    genuine = getattr(owner, name)
    with replaced.made() as kernel:
        assert kernel is None
        assert getattr(owner, name) is replaced.change.value
    assert getattr(owner, name) is genuine


@pytest.mark.parametrize("text", ["no such line", "scrub(ARENA_BASE"])
def test_a_source_that_is_no_longer_what_it_was_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.c").write_text(2 * "scrub(ARENA_BASE, ARENA_SIZE);\n")
    with pytest.raises(ValueError, match="it must be there once"):
        Edit("a.c", text).apply(tmp_path)


def test_the_page_lists_every_defect() -> None:
    assert documented() in PAGE.read_text("utf-8")


def test_a_defect_that_nobody_catches_survives() -> None:
    class Harmless:
        def made(self, stack: Any) -> None:
            """Nothing is changed."""

    harmless = Defect("harmless", "nothing is wrong", Harmless(), ("counter",), (ISOLATED,))
    assert not judge_mutant(harmless).caught
