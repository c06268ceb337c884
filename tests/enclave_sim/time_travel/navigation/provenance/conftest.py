"""A kernel that executes all programs of instruction_cases.py, one after the other."""

import pytest

from tests.machine.assembler import Assembler


@pytest.fixture(scope="session")
def assembler(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Assembler:
    """Caches built kernels for the next run, if pytest has a cache."""
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    return Assembler(tmp_path_factory.mktemp("kernels") if cache is None else cache.mkdir("kernels"))
