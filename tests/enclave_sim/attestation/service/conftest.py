"""A verifier for each test."""

from collections.abc import Iterator

import pytest

from tests.enclave_sim.attestation.service.rig import Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.database.close()
