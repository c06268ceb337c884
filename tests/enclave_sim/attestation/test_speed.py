"""A verifier is quick to start and quick to judge."""

import subprocess
import sys

import pytest

from tests.enclave_sim.attestation.speed import measure


@pytest.mark.speed
def test_one_evidence_file_takes_at_most_six_times_what_its_signatures_take() -> None:
    speed = measure(runs=30)
    assert speed.whole <= 6 * speed.signatures


def test_importing_the_package_loads_nothing_of_the_emulator_and_no_slow_library() -> None:
    code = "import sys; from enclave_sim.attestation import *; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = [
        name for name in loaded if name.startswith("enclave_sim.") and not name.startswith("enclave_sim.attestation")
    ]
    files = ["enclave_sim.files", "enclave_sim.files.reading"]
    assert ours == ["enclave_sim._lazy", "enclave_sim.errors", *files, "enclave_sim.reasons"]
    slow = {"cbor2", "_cbor2", "cwt", "msgspec", "cryptography", "machine", "unicorn", "wasmtime"}
    assert not slow & set(loaded)
