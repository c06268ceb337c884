"""The VMM in a child process. It needs Linux on x86-64."""

import platform
import sys
from collections.abc import Iterator

import pytest

from tests.firmware.vmm.harness import Harness, program, removable_program


def _needs_linux() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("the VMM's test harness runs on x86-64 Linux only")


@pytest.fixture(scope="session")
def harness() -> Iterator[Harness]:
    _needs_linux()
    harness = Harness(program())
    yield harness
    harness.close()


@pytest.fixture(scope="session")
def removable() -> Iterator[Harness]:
    _needs_linux()
    harness = Harness(removable_program())
    yield harness
    harness.close()
