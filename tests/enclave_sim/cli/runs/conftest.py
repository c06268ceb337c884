"""A kernel for `enclave-sim boot`."""

from pathlib import Path

import pytest

from tests.enclave_sim.cli.runs.boot_command import leave, say, write


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A kernel that prints a greeting and exits with 42."""
    return write(tmp_path, say(b"hello\n") + leave(42))
