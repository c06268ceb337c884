"""What all tests have in common."""

import gc
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.collecting import nothing_runs
from tests.long import LONG, lengthen

settings.register_profile("any host", deadline=None)  # hosts differ in speed, and no test may depend on it
settings.register_profile(LONG, deadline=None, derandomize=False, database=None, print_blob=True)
settings.load_profile("any host")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    with nothing_runs():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if settings.get_current_profile_name() == LONG:
        lengthen(items)


def pytest_collection_finish() -> None:
    gc.freeze()  # the tests themselves, thousands of them, are not gone through at every collection


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt this process, and those that it starts, also where it was started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
