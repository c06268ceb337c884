"""What all tests have in common."""

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.collecting import nothing_runs

settings.register_profile("any host", deadline=None)  # hosts differ in speed, and no test may depend on it
settings.load_profile("any host")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    with nothing_runs():
        return (yield)


def pytest_collection_finish() -> None:
    gc.freeze()  # the tests themselves, thousands of them, are not gone through at every collection
