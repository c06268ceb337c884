"""Runs of an enclave, and checks that hold after every annihilation."""

from typing import Any

from enclave_sim import Enclave
from enclave_sim.events import AnnihilationStep, Scrubbed
from enclave_sim.recording.outcome.summary import RunResult

GUEST_FAULTS = {"trespasser": 14, "abyss": 14, "divider": 0, "mismatch": 6}


def run(payload: Any, **options: Any) -> tuple[Enclave, RunResult]:
    enclave = Enclave(payload, **options)
    return enclave, enclave.run()


def kinds(enclave: Enclave, *wanted: type) -> list[Any]:
    assert enclave.recording is not None
    return [event for event in enclave.recording.events if isinstance(event, wanted)]


def assert_annihilated(enclave: Enclave, result: RunResult, cause: str) -> None:
    """Assert steps A1 to A7 in order, dormancy and no residue, whatever the cause."""
    assert result.outcome == cause
    assert [step.step for step in kinds(enclave, AnnihilationStep)] == ["A1", "A2", "A3", "A4", "A5", "A6", "A7"]
    assert result.halted
    assert result.residue_bytes == 0
    assert enclave.scan_residue().scanned_bytes == 16 << 20
    assert all(event.verified for event in kinds(enclave, Scrubbed))
