"""Fixtures and hooks for all tests."""

import gc
import signal
from collections.abc import Callable, Generator, Iterator
from functools import partial

import pytest
from hypothesis import settings

from tests.collecting import nothing_runs
from tests.profiles import QUICK, register, scale, seeded
from tests.releasing import release
from tests.sampling import shorten

register()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    with nothing_runs():
        return (yield)


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    profile = settings.get_current_profile_name()
    scale(items, profile)
    for item in items:
        if "share" in getattr(item, "fixturenames", ()):
            item.add_marker("seeded")
    if profile == QUICK:
        shorten(items)


def pytest_collection_finish() -> None:
    gc.freeze()  # the thousands of tests themselves are not traversed at every garbage collection


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    module = item.getparent(pytest.Module)
    if module is not None and (nextitem is None or nextitem.getparent(pytest.Module) is not module):
        release(module.obj)


@pytest.fixture(scope="session")
def share(pytestconfig: pytest.Config) -> Callable[[int], int]:
    """Returns how many of some seeded cases to try. Hypothesis' current profile is not asked: nested runs change it."""
    return partial(seeded, profile=pytestconfig.getoption("--hypothesis-profile"))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and a hangup interrupt this process and its children, even if it was started with them ignored."""
    before = [(one, signal.signal(one, signal.default_int_handler)) for one in (signal.SIGINT, signal.SIGHUP)]
    yield
    for one, handler in before:
        signal.signal(one, handler)
