"""The native code of the guest engines."""

import pytest

from enclave_sim.enclave.engine.native import ENTRY_POINTS
from enclave_sim.enclave.engine.native.build import HERE
from machine.processor.native.build import ARCHITECTURES, build


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", ENTRY_POINTS)
def test_the_committed_code_is_what_the_source_builds(source: str, architecture: str) -> None:
    built = build(HERE / f"{source}.c", ENTRY_POINTS[source], architecture)
    assert built == (HERE / f"{source}.{architecture}.bin").read_bytes()
