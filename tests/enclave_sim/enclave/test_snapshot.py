"""An enclave continues from a snapshot as from the original moment, including its recording."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim import Enclave, EnclaveError, Phase
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.recording.writer import RecordingWriter
from machine.bus.ram import RamImage
from machine.events import Event
from tests.sampling import sampled

RUNS: list[tuple[Any, dict[str, Any]]] = [
    ("counter", {"cycles": 3}),
    ("spinner", {}),
    (("beacon", "counter"), {"cycles": 2}),
    ("runner", {"engine": "native"}),
]


@cache
def whole(payload: str, limit_ns: int | None, **options: Any) -> tuple[RunResult, list[Event], RamImage]:
    """The result of an uninterrupted run."""
    enclave = Enclave(payload, **options)
    result = enclave.run(limit_ns)
    assert enclave.recording is not None
    return result, list(enclave.recording.events), enclave.machine.ram.image()


@pytest.mark.slow
@pytest.mark.parametrize(("payload", "options"), RUNS)
@pytest.mark.parametrize("phase", sampled(Phase, Phase.MEM_MAP))
def test_every_phase_can_be_gone_back_to(payload: Any, options: dict[str, Any], phase: Phase) -> None:
    expected = Enclave(payload, **options).run()
    enclave = Enclave(payload, **options)
    assert enclave.run_to(phase)
    snapshot = enclave.snapshot()
    for _ in range(3):
        assert enclave.run() == expected
        assert enclave.recording is not None
        assert enclave.recording.digest == expected.digest
        enclave.restore(snapshot)
        assert enclave.phase is phase


@settings(max_examples=40)
@given(st.integers(1, 3_000_000), st.integers(1, 3_000_000))
def test_any_moment_can_be_gone_back_to(first_ns: int, second_ns: int) -> None:
    """Wherever the flat guest is: in its own code, in the kernel, asleep, dormant."""
    options: dict[str, Any] = {"engine": "native", "cycles": 2, "quantum_ns": 10_000}
    enclave = Enclave("runner", **options)
    enclave.run(first_ns)
    snapshot = enclave.snapshot()
    enclave.run(first_ns + second_ns)
    enclave.restore(snapshot)
    assert enclave.run() == whole("runner", None, **options)[0]


@pytest.mark.slow
@settings(max_examples=30)
@given(st.sampled_from(["digest", "spinner", "counter", "beacon"]), st.integers(1, 12_000_000), st.integers(1, 900_000))
def test_a_suspended_guest_is_gone_back_to(payload: str, first_ns: int, second_ns: int) -> None:
    """The guest is computing, in a host call, or preempted: it catches up when resumed."""
    options: dict[str, Any] = {"cycles": 2, "quantum_ns": 50_000}
    limit_ns = 15_000_000
    _, events, ram = whole(payload, limit_ns, **options)
    enclave = Enclave(payload, **options)
    enclave.run(first_ns)
    snapshot = enclave.snapshot()
    for _ in range(2):
        enclave.run(first_ns + second_ns)
        enclave.restore(snapshot)
    again = enclave.snapshot()
    enclave.run(limit_ns)
    assert enclave.recording is not None
    assert enclave.recording.events == events
    assert enclave.machine.ram.changed_pages(ram) == []
    enclave.restore(again)
    enclave.run(limit_ns)
    assert enclave.recording.events == events


def test_a_recording_on_its_way_to_a_file_cannot_be_taken_back(tmp_path: Path) -> None:
    with RecordingWriter.open(tmp_path / "recording") as writer:
        enclave = Enclave("beacon", writer=writer)
        with pytest.raises(EnclaveError, match="written to a file"):
            enclave.snapshot()
