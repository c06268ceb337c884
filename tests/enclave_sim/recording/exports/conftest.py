"""Recordings of every kind of run."""

from collections.abc import Callable

import pytest

from enclave_sim import Enclave
from tests.enclave_sim.recording.exports.runs import RUNS, Run


@pytest.fixture(scope="session")
def run_of() -> Callable[[str], Run]:
    runs: dict[str, Run] = {}

    def make(name: str) -> Run:
        if name not in runs:
            payload, limit_ns, options = RUNS[name]
            enclave = Enclave(payload, **options)
            result = enclave.run(limit_ns)
            assert enclave.recording is not None
            runs[name] = Run(enclave.recording, result)
        return runs[name]

    return make


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest, run_of: Callable[[str], Run]) -> Run:
    """Each of the runs."""
    return run_of(request.param)
