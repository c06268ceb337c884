"""A verifier is quick to start and quick to judge."""

import subprocess
import sys

from tests.enclave_sim.attestation.speed import measure


def test_one_evidence_file_takes_at_most_5_ms() -> None:
    assert measure(runs=30).whole <= 5


def test_importing_the_package_loads_nothing_of_the_emulator_and_no_slow_library() -> None:
    code = "import sys; from enclave_sim.attestation import *; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = [
        name for name in loaded if name.startswith("enclave_sim.") and not name.startswith("enclave_sim.attestation")
    ]
    assert ours == ["enclave_sim._lazy", "enclave_sim.errors"]
    slow = {"cbor2", "_cbor2", "cwt", "msgspec", "cryptography", "machine", "unicorn", "wasmtime"}
    assert not slow & set(loaded)
