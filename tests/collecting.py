"""Restrictions on test files while pytest imports them. Every worker imports all files, whichever tests it runs."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings

from machine.machine import Machine


def _refuse(*_arguments: object, **_options: object) -> None:
    raise AssertionError("a machine or a process is started while tests are collected: use a fixture or @cache")


@contextmanager
def nothing_runs() -> Iterator[None]:
    """Refuse machines, and enclaves with them, processes, and a change of Hypothesis' profile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "__init__", _refuse)
        patch.setattr(subprocess.Popen, "__init__", _refuse)
        profile = settings.get_current_profile_name()
        yield
    assert (loaded := settings.get_current_profile_name()) == profile, f"a test file loads {loaded!r} for all tests"
