"""The changelog lists moved public names correctly."""

import importlib
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
MOVES = re.findall(r"^ *\| (`enclave_sim.*`) \| `(enclave_sim.*)` \|$", TEXT, re.MULTILINE)


ENTRIES = [" ".join(entry.split()) for entry in re.findall(r"^- .*(?:\n  .*)*", TEXT, re.MULTILINE)]


def exists(name: str) -> bool:
    """Return whether a module, or a name in a module, can be imported."""
    module, _, member = name.rpartition(".")
    if found(name):
        return True
    return found(module) and hasattr(importlib.import_module(module), member)


def found(module: str) -> bool:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # there is no parent, or it is not a package
        spec = None
    return spec is not None and spec.origin is not None  # a directory without a module has none


@pytest.mark.parametrize("before", [name for names, _ in MOVES for name in re.findall(r"`([\w.]+)`", names)])
def test_what_moved_is_no_longer_where_it_was(before: str) -> None:
    assert not exists(before)


@pytest.mark.parametrize("now", [now for _, now in MOVES])
def test_what_moved_is_where_the_changelog_says(now: str) -> None:
    assert exists(now)


@pytest.mark.parametrize(
    "name", re.findall(r"`(enclave_sim(?:\.\w+)+)`", re.sub(r"^ *\|.*$", "", TEXT, flags=re.MULTILINE))
)
def test_a_name_outside_the_table_exists(name: str) -> None:
    assert exists(name)


def test_there_are_moves() -> None:
    assert len(MOVES) > 20


def test_no_entry_is_there_twice() -> None:
    assert len(ENTRIES) > 100
    assert [entry for entry, count in Counter(ENTRIES).items() if count > 1] == []
