"""Pytest plugin for the run that maps tests to the lines that they execute: one coverage.py context for each test."""

import json
import os
import sys
from collections.abc import Iterator
from functools import _lru_cache_wrapper
from pathlib import Path

import pytest
from coverage import Coverage

from tests.mutation.plugin import TIMES

_seconds: dict[str, float] = {}


def _cached() -> Iterator["_lru_cache_wrapper[object]"]:
    """Return the cached functions of the tree that pytest runs in, except those of tests."""
    here = f"{os.getcwd()}/"
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(here) and not name.startswith("tests"):
            yield from (value for value in vars(module).values() if isinstance(value, _lru_cache_wrapper))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Count what the test executes as the test's; clear caches first, so that cached calls count, too."""
    for function in _cached():
        function.cache_clear()
    running = Coverage.current()
    assert running is not None
    running.switch_context(item.nodeid)
    return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the seconds of setting up, running and tearing down."""
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration


def pytest_sessionfinish() -> None:
    """Write the times."""
    Path(os.environ[TIMES]).write_text(json.dumps(_seconds))
