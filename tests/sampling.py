"""Parameters split between the fast set and the slow set: named one by one, or a sample of every long table."""

from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import pytest

MOST = 3
"""How many cases of one test function are in the fast set."""


def sampled(values: Iterable[Any], *fast: Any) -> list[Any]:
    """Parameters for `parametrize`: all but those in `fast` are marked slow. A tuple has a value for each name."""
    found = [*values]
    assert all(one in found for one in fast)
    return [one if one in fast else _slow(one) for one in found]


def explored(values: Iterable[Any], *kept: Any) -> list[Any]:
    """Parameters for `parametrize`: all but those in `kept` are marked long. A tuple has a value for each name."""
    found = [*values]
    assert all(one in found for one in kept)
    return [one if one in kept else _marked(one, pytest.mark.long) for one in found]


def _slow(one: Any) -> Any:
    return _marked(one, pytest.mark.slow)


def _marked(one: Any, mark: pytest.MarkDecorator) -> Any:
    return pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=mark)


def shorten(items: Iterable[pytest.Item]) -> None:
    """Mark all but MOST cases of each test function slow; those that are marked already do not count.

    Hashes of the cases' names choose, so a new case displaces at most one other, and every run tries the same. Of
    parameters with few values, each value is tried. A function marked `complete` keeps all its cases.
    """
    functions: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    for item in items:
        if hasattr(item, "callspec") and not {"slow", "complete"} & {mark.name for mark in item.iter_markers()}:
            functions[item.parent.nodeid if item.parent else "", getattr(item, "originalname", "")].append(item)
    for cases in functions.values():
        if len(cases) > MOST:
            kept = {id(case) for case in _sample(cases)}
            for case in cases:
                if id(case) not in kept:
                    case.add_marker("slow")


def _sample(cases: list[Any]) -> list[Any]:
    ordered = sorted(cases, key=lambda case: sha256(case.nodeid.encode()).digest())
    values: defaultdict[str, set[int]] = defaultdict(set)
    for case in cases:
        for name, index in case.callspec.indices.items():
            values[name].add(index)
    missing = {(name, index) for name, found in values.items() if len(found) <= MOST for index in found}
    first: list[Any] = []
    for case in ordered:
        if new := missing & case.callspec.indices.items():
            missing -= new
            first.append(case)
    return [*first, *(case for case in ordered if case not in first)][:MOST]
