"""The host's own x87 unit, built once per session."""

from collections.abc import Callable, Sequence

import pytest

from tests.machine.instructions.floating_point.host_processor import Case, build, run

Host = Callable[[Sequence[Case]], list[Case]]


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    program = build(tmp_path_factory.mktemp("host_x87"))
    return lambda cases: run(program, cases)
