"""Engine native: a flat x86-64 binary is the guest of a whole enclave, and everything else works as usual."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import payloads
from enclave_sim import Enclave, Phase, Status, events
from enclave_sim.errors import ConfigurationError
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.specification import Step

_BOOT = Status.ARCH_LOCKED | Status.MEM_SANITIZED | Status.PAYLOAD_VERIFIED | Status.ACTIVE
READY = _BOOT | Status.ATTESTED | Status.SIGNAL_READY


def run(payload: Any, **options: Any) -> tuple[Enclave, RunResult]:
    enclave = Enclave(payload, engine="native", **options)
    return enclave, enclave.run()


@pytest.mark.parametrize(
    ("name", "outcome", "detail"),
    [
        ("runner", "COMPLETED", ""),
        ("surveyor", "COMPLETED", ""),
        ("quitter", "SHRED_SELF", ""),
        ("stray", "GUEST_FAULT", "#PF page fault"),
        ("vandal", "GUEST_FAULT", "#PF page fault"),
        ("smuggler", "GUEST_FAULT", "#PF page fault"),
        ("usurper", "GUEST_FAULT", "#GP general protection"),
        ("forger", "GUEST_FAULT", "#GP general protection"),
    ],
)
def test_every_flat_payload_ends_in_annihilation_without_residue(name: str, outcome: str, detail: str) -> None:
    _, result = run(name, cycles=2, quantum_ns=20_000)
    assert (result.outcome, result.detail) == (outcome, detail)
    assert [step.step for step in result.annihilation] == [step.name for step in Step]
    assert [phase.state for phase in result.phases] == [phase.target_state for phase in Phase]
    assert result.clean


def test_a_flat_guest_reads_the_status_word_and_finds_nothing_of_the_cycle_before() -> None:
    _, result = run("surveyor", cycles=3)
    assert result.signals[0::2] == (READY | Status.FIRST_CYCLE, READY | Status.TIMER_WAKE, READY | Status.TIMER_WAKE)
    assert result.signals[1::2] == (0, 0, 0)


def test_a_flat_guest_is_preempted_and_goes_on_correctly() -> None:
    _, often = run("runner", quantum_ns=2_000)
    _, never = run("runner")
    assert (often.preemptions > 20, never.preemptions) == (True, 0)
    assert often.signals == never.signals == (20_000, 0)


def test_host_calls_are_recorded_as_those_of_any_guest() -> None:
    enclave, result = run("surveyor")
    assert enclave.recording is not None
    called = enclave.recording.of_kind(events.HostCalled)
    assert [(e.name, e.argument) for e in called] == [
        ("get_status", 0),
        ("emit_signal", result.signals[0]),
        ("emit_signal", 0),
    ]
    returned = enclave.recording.of_kind(events.HostReturned)
    assert [(e.number, e.result) for e in returned] == [(0, result.signals[0]), (1, 0), (1, 0)]


def test_the_same_run_gives_the_same_digest_and_names_its_engine() -> None:
    (first, one), (_, two) = run("runner", quantum_ns=3_000), run("runner", quantum_ns=3_000)
    assert one.digest == two.digest
    assert first.header.configuration["engine"] == "native"
    assert Enclave("beacon").header.configuration["engine"] == "wasmtime"


@pytest.mark.slow  # the fast set has it with the engine for WebAssembly
def test_portable_makes_no_difference() -> None:
    assert run("forger", portable=True)[1].digest == run("forger")[1].digest


def test_the_tamper_line_ends_a_flat_guest_too() -> None:
    enclave = Enclave("runner", engine="native")
    assert enclave.boot()
    enclave.tamper()
    assert enclave.run().outcome == "TAMPER"


@pytest.mark.parametrize(
    ("payload", "options", "words"),
    [
        ("runner", {"production": True}, "no signature: not for production"),
        ("runner", {"features": frozenset(["simd"])}, "no WebAssembly features"),
        (["runner", "stray"], {}, "the kernel takes 1 with engine native"),
        (payloads.read("beacon"), {}, "engine native runs flat x86-64 binaries"),
        ("beacon", {}, "beacon is a WebAssembly module, which needs engine wasmtime"),
        (bytes((2 << 20) + 1), {}, "do not fit the staging area"),
    ],
)
def test_what_a_flat_payload_cannot_have_is_refused(payload: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Enclave(payload, engine="native", **options)


def test_an_engine_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigurationError, match="engine is 'quantum'; it must be wasmtime or resident or native"):
        Enclave("beacon", engine="quantum")


def test_the_command_line_runs_a_file(tmp_path: Path) -> None:
    file = tmp_path / "own.bin"
    file.write_bytes(payloads.read_flat("usurper"))
    command = [sys.executable, "-m", "enclave_sim", "run", str(file), "--engine", "native", "--quiet"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split()[0], ran.stderr) == (4, "GUEST_FAULT", "")
