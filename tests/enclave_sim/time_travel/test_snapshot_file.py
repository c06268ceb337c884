"""A snapshot file restores the enclave in another process; other files are refused."""

import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_sim import Enclave, EnclaveError, Phase
from enclave_sim.enclave.devices.enclave_block import EnclaveBlock
from enclave_sim.events import HostCalled
from enclave_sim.inputs import AfterEvent, ExternalInterrupt, SensorValue, Tamper
from enclave_sim.time_travel import snapshot_file, state_codec
from enclave_sim.time_travel.snapshot_file import VERSION, SnapshotError, load, save
from payloads import read
from tests.enclave_sim.time_travel import instants

RUNS: list[tuple[Any, dict[str, Any]]] = [
    ("counter", {"cycles": 3}),
    (("beacon", "counter"), {"cycles": 2, "features": frozenset(["simd"])}),
    ("runner", {"engine": "native", "cycles": 2}),
    ("counter", {"cycles": 2, "trace_memory": "kernel_stack"}),
    ("counter", {"cycles": 3, "inputs": [Tamper(at_ns=50_000, after=AfterEvent("cycle_began", {"cycle": 1}))]}),
    ("shredder", {"inputs": [ExternalInterrupt(at_ns=100_000), SensorValue(at_ns=300_000, sensor=0, value=1)]}),
]


@pytest.mark.parametrize(("payload", "options"), RUNS)
@pytest.mark.parametrize("phase", list(Phase))
def test_an_enclave_goes_on_from_a_file(tmp_path: Path, payload: Any, options: dict[str, Any], phase: Phase) -> None:
    whole = Enclave(payload, **options)
    expected = whole.run()
    enclave = Enclave(payload, **options)
    enclave.run_to(phase)
    save(enclave, tmp_path / "here.snap")
    other = load(tmp_path / "here.snap")
    assert other.machine.clock.now_ns == enclave.machine.clock.now_ns
    assert other.run() == enclave.run() == expected
    assert other.recording is not None
    assert whole.recording is not None
    assert other.recording.events == whole.recording.events
    assert other.recording.digest == expected.digest


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at_ns=st.integers(1, 3_000_000))
def test_at_any_moment(tmp_path: Path, at_ns: int) -> None:
    enclave = Enclave("runner", engine="native", cycles=2, quantum_ns=10_000)
    enclave.run(at_ns)
    save(enclave, tmp_path / "here.snap")
    assert load(tmp_path / "here.snap").run() == enclave.run()


@pytest.mark.parametrize("at_ns", [300_000, 2_000_000, 11_000_000])
def test_a_suspended_guest_catches_up(tmp_path: Path, at_ns: int) -> None:
    enclave = Enclave("digest", quantum_ns=50_000)
    enclave.run(at_ns)
    save(enclave, tmp_path / "here.snap")
    assert load(tmp_path / "here.snap").run().digest == enclave.run().digest


def test_a_guest_that_waits_for_its_host_call_gets_the_answer(tmp_path: Path) -> None:
    enclave = Enclave("counter", cycles=1)
    assert enclave.recording is not None
    digest, calls = Enclave("counter", cycles=1).run().digest, 0
    enclave.boot()
    while enclave.step():
        if isinstance(enclave.recording.events[-1], HostCalled):
            save(enclave, tmp_path / "here.snap")
            assert load(tmp_path / "here.snap").run().digest == digest
            calls += 1
    assert calls > 0


@pytest.mark.slow
def test_another_process_goes_on_too(tmp_path: Path) -> None:
    enclave = Enclave("counter", cycles=2)
    enclave.boot()
    save(enclave, tmp_path / "here.snap")
    program = (
        "from pathlib import Path; from enclave_sim.time_travel.snapshot_file import load;"
        f"print(load(Path({str(tmp_path / 'here.snap')!r})).run().digest)"
    )
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": "7"})
    assert ran.stdout.strip() == enclave.run().digest


def test_the_same_state_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        enclave = Enclave("counter", cycles=2)
        enclave.boot()
        save(enclave, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("snapshots") / "whole.snap"
    enclave = Enclave("beacon")
    enclave.boot()
    save(enclave, path)
    return path.read_bytes()


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(SnapshotError) as error:
        load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_what_is_not_a_snapshot_is_distinguished_from_one(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / "x.snap"
    assert "is not a snapshot" in refused(path, b"")
    assert "is not a snapshot" in refused(path, read("beacon"))
    older = written.replace(f"snapshot {VERSION}".encode(), b"snapshot 1")
    assert f"is a snapshot of version 1; this program reads {VERSION}" in refused(path, older)
    assert "cut short or was changed" in refused(path, written[:-1])
    assert "cut short or was changed" in refused(path, written[:40])
    with pytest.raises(SnapshotError, match="cannot read"):
        load(tmp_path / "nosuch.snap")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_change_is_noticed(tmp_path: Path, written: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(written) - 1))
    change = data.draw(st.sampled_from(["flip", "cut", "insert", "delete"]))
    changed = {
        "flip": written[:at] + bytes([written[at] ^ 1 << data.draw(st.integers(0, 7))]) + written[at + 1 :],
        "cut": written[:at],
        "insert": written[:at] + b"x" + written[at:],
        "delete": written[:at] + written[at + 1 :],
    }[change]
    refused(tmp_path / "x.snap", changed)


def test_what_cannot_be_saved_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(EnclaveError, match="no recording"):
        save(Enclave("beacon", record=False), tmp_path / "x.snap")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("payload", "options"), instants.SCENARIOS, ids=lambda value: str(value)[:40])
def test_another_process_continues_from_any_instant(payload: str, options: dict[str, Any]) -> None:
    assert list(instants.wrong(payload, options, 4, Random(1), sys.executable)) == []


def test_a_state_that_cannot_be_loaded_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enclave = Enclave("counter")
    enclave.boot()
    with monkeypatch.context() as patch:
        patch.setattr(snapshot_file, "encode", lambda state: state_codec.encode(state | {"gate": {"_x": object}}))
        with pytest.raises(SnapshotError, match=r"the state at \d+ ns cannot be saved: type is not a type of state"):
            save(enclave, tmp_path / "x.snap")
    with monkeypatch.context() as patch:
        patch.setattr(EnclaveBlock, "load_state", lambda *_: None)
        enclave.advance(enclave.machine.clock.now_ns + 200_000)
        with pytest.raises(SnapshotError, match="cannot be saved: restored, it is another one"):
            save(enclave, tmp_path / "x.snap")
    assert list(tmp_path.iterdir()) == []
