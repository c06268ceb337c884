"""Verification in the firmware: the kernel checks signatures in ring 0, and AetherHost takes its word."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

import firmware
import payloads
from enclave_sim import Enclave, Phase, events
from enclave_sim.enclave.devices.mailbox import REFUSED
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.enclave.engine.wasmtime_engine import compile_ahead
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.guarantees import Scenario, admitted
from enclave_sim.guarantees.observation import observe_scenario
from enclave_sim.guarantees.verification import verify as judge
from enclave_sim.memory_map import region
from enclave_sim.payload import artefact, signature
from enclave_sim.payload.errors import PayloadCheck
from enclave_sim.payload.keys import SigningKey, development_anchor, development_key
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.time_travel.replay import replay
from machine.devices.engines.scrub_engine import ScrubEngine
from tests.firmware.plain_pc import lines, load, pc
from tests.mutants.guests import forged
from tests.sampling import sampled

ENGINES = sampled(["wasmtime", "resident"], "wasmtime")
COUNTER = payloads.read("counter")
ENDED = [f"A{step}" for step in range(1, 8)]
STACK = region("kernel_stack")
OTHER = SigningKey("other", b"\1" * 32, b"\1" * 32, development=False)


@cache
def counter() -> tuple[RunResult, Enclave]:
    return run("counter")


def run(payload: Any, engine: str = "wasmtime", **options: Any) -> tuple[RunResult, Enclave]:
    enclave = Enclave(payload, engine=engine, verify="firmware", **options)
    return enclave.run(1_000_000_000), enclave


def of_kind(enclave: Enclave, kind: type) -> list[Any]:
    assert enclave.recording is not None
    return [event for event in enclave.recording.events if isinstance(event, kind)]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name", sampled([name for name in payloads.names() if name != "spinner"], "counter", "trespasser")
)
def test_every_built_in_payload_lives_as_if_the_host_had_verified_it(name: str, engine: str) -> None:
    ours, enclave = run(name, engine)
    hosts = Enclave(name, engine=engine).run(1_000_000_000)
    assert (ours.outcome, ours.signals, ours.residue_bytes) == (hosts.outcome, hosts.signals, 0)
    (verified,) = of_kind(enclave, events.PayloadVerified)
    assert (verified.anchor, verified.development, verified.artefact) == ("development", True, False)


CHANGED = COUNTER[:-1] + bytes([COUNTER[-1] ^ 1])
FORGERIES = {
    "an ELF": (b"\x7fELF" + bytes(100), PayloadCheck.NOT_WASM),
    "cut off": (COUNTER[:-1], PayloadCheck.NOT_WASM),
    "unsigned": (signature.strip(COUNTER), PayloadCheck.UNSIGNED),
    "two sections": (COUNTER + COUNTER[8:], PayloadCheck.MALFORMED_SIGNATURE),
    "another key": (signature.sign(COUNTER, OTHER), PayloadCheck.UNKNOWN_KEY),
    "changed": (CHANGED, PayloadCheck.BAD_ED25519),
    "forged Ed25519": (forged(0), PayloadCheck.BAD_ED25519),
    "forged ML-DSA-65": (forged(1), PayloadCheck.BAD_ML_DSA_65),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", FORGERIES)
def test_a_forgery_is_refused_by_the_kernel_and_erased(what: str, engine: str) -> None:
    module, check = FORGERIES[what]
    result, enclave = run(module, engine)
    assert (result.outcome, result.residue_bytes) == ("PAYLOAD_REJECTED", 0)
    (rejected,) = of_kind(enclave, events.PayloadRejected)
    assert rejected.check == check.name
    assert rejected.message == f"the kernel does not find that {check.value}"
    assert result.detail == f"{check.name}: {rejected.message}"
    assert not of_kind(enclave, events.PayloadVerified)
    assert [step.step for step in result.annihilation] == ENDED


def test_in_production_the_kernel_refuses_a_development_key() -> None:
    result, enclave = run("counter", production=True)
    assert result.detail.startswith("DEVELOPMENT_KEY")
    assert "production=1" in enclave.configuration.command_line([COUNTER])
    good, _ = run(signature.sign(COUNTER, OTHER), production=True, trust_anchors=[OTHER.anchor()])
    assert good.outcome == "COMPLETED"


def test_of_several_payloads_the_forged_one_is_named() -> None:
    result, enclave = run(["counter", forged(1)])
    (rejected,) = of_kind(enclave, events.PayloadRejected)
    assert (rejected.payload, result.outcome) == (1, "PAYLOAD_REJECTED")
    assert [event.payload for event in of_kind(enclave, events.PayloadVerified)] == [0]


def test_aether_host_takes_the_kernels_word_only_if_it_is_configured_to() -> None:
    enclave = Enclave("counter")
    enclave.run_to(Phase.WASM_INIT)
    host = enclave._host
    assert host is not None
    assert host.admit(region("staging").base, len(COUNTER)) == REFUSED


@pytest.mark.slow
def test_compiled_code_runs_on_the_host_which_verifies_its_signatures_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = signature.strip(COUNTER)
    profile = GuestProfile(region("heap").size)
    fingerprint, code = compile_ahead(plain, profile)
    compiled = artefact.attach(plain, fingerprint, code, development_key())
    result, enclave = run(compiled)
    assert result.outcome == "COMPLETED"
    assert [event.artefact for event in of_kind(enclave, events.PayloadVerified)] == [True]
    calls = []
    verify = signature.verify

    def counted(*arguments: Any, **options: Any) -> signature.VerifiedPayload:
        calls.append(arguments)
        return verify(*arguments, **options)

    monkeypatch.setattr(signature, "verify", counted)
    run(compiled)
    assert len(calls) == 1
    run("counter")
    assert len(calls) == 1


def test_a_flat_payload_has_no_signature_to_verify() -> None:
    with pytest.raises(ConfigurationError, match="no signature"):
        Enclave("surveyor", engine="native", verify="firmware")
    with pytest.raises(ConfigurationError, match="verify is 'nobody'; it must be host or firmware"):
        Enclave("counter", verify="nobody")


# Guarantees.


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_every_guarantee_holds(engine: str) -> None:
    scenario = Scenario("counter", EnclaveOptions.of(cycles=2, engine=engine, verify="firmware"))
    reports = list(judge(scenario, runs=2))
    assert [(report.guarantee, report.findings) for report in reports if report.findings] == []


@pytest.mark.parametrize("algorithm", [0, 1])
def test_a_forgery_breaks_no_guarantee(algorithm: int) -> None:
    scenario = Scenario(forged(algorithm), EnclaveOptions.of(verify="firmware"))
    assert admitted([observe_scenario(scenario)]).findings == ()


def test_the_evidence_of_such_a_run_is_accepted() -> None:
    assert run("counter", attestation="require")[0].outcome == "COMPLETED"


@pytest.mark.slow
def test_a_recording_of_such_a_run_can_be_replayed(tmp_path: Path) -> None:
    _, enclave = run("counter", cycles=2)
    assert enclave.recording is not None
    enclave.recording.save(tmp_path / "counter.jsonl")
    assert replay(tmp_path / "counter.jsonl").equal


# The stack, and the time.


@pytest.fixture
def depths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of the kernel's stack that have been used below its caller's frame, whenever that part is scrubbed."""
    found: list[int] = []
    scrub = ScrubEngine._run

    def measured(self: ScrubEngine, base: int, length: int, *, fill: bool) -> None:
        if base == STACK.base and length < STACK.size:
            unused = self._ram.read(base, length)
            found.append(len(unused.lstrip(b"\0")))
        scrub(self, base, length, fill=fill)

    monkeypatch.setattr(ScrubEngine, "_run", measured)
    return found


def test_the_stack_of_the_verification_is_what_the_layout_says_and_it_is_scrubbed(depths: list[int]) -> None:
    _, enclave = run("counter")
    layout = firmware.layout()
    assert depths[0] <= layout["VERIFICATION_STACK"] <= layout["KERNEL_STACK_SIZE"] - 8192
    assert layout["VERIFICATION_STACK"] - depths[0] < 4096, "it may be smaller"
    scrubbed = [event for event in of_kind(enclave, events.Scrubbed) if event.base == STACK.base]
    assert scrubbed[0].cause == "boot"


def test_no_vector_register_is_used() -> None:
    enclave = Enclave("counter", verify="firmware")
    enclave.run_to(Phase.WASM_INIT)
    vectors = enclave.machine.cpu.context.vector_registers
    assert vectors.count(0) == len(vectors) > 0


def test_the_verification_takes_the_time_of_its_instructions() -> None:
    """docs/payloads.md names it."""
    _, enclave = counter()
    entered = next(e.at_ns for e in of_kind(enclave, events.PhaseEntered) if e.phase == "WASM_INIT")
    (verified,) = of_kind(enclave, events.PayloadVerified)
    assert 3_500_000 < verified.at_ns - entered < 5_500_000


# A PC without AetherHost.


def reported(*modules: bytes, words: str = "") -> list[str]:
    machine = pc()
    load(machine, f"guest=resident {words}", modules)
    machine.run(60_000_000_000)
    return lines(machine)


ANCHORS = b"[" + development_anchor().to_json() + b"]"


@pytest.mark.slow
def test_without_a_mailbox_the_kernel_verifies_by_itself() -> None:
    assert reported(COUNTER, ANCHORS)[-9:] == ["SIGNAL 00000001", "COMPLETED 00000000", *ENDED]


@pytest.mark.slow
@pytest.mark.parametrize("what", sampled(FORGERIES, "changed"))
def test_without_a_mailbox_a_forgery_is_refused(what: str) -> None:
    module, check = FORGERIES[what]
    refused = f"REFUSED {firmware.built_in().description.checks.index(check.name):08x}"
    assert reported(module, ANCHORS) == ["PROT_ENTRY", "MEM_MAP", refused, "PAYLOAD_REJECTED 00000000", *ENDED]


@pytest.mark.slow
def test_without_a_mailbox_anchors_are_the_last_module() -> None:
    assert reported(ANCHORS, COUNTER) == ["PROT_ENTRY", "MEM_MAP", "KERNEL_FAULT 00000109", *ENDED]
    assert reported(COUNTER) == ["PROT_ENTRY", "MEM_MAP", "KERNEL_FAULT 00000109", *ENDED]


@pytest.mark.slow
def test_the_word_production_refuses_a_development_key_there_too() -> None:
    refused = f"REFUSED {firmware.built_in().description.checks.index('DEVELOPMENT_KEY'):08x}"
    assert refused in reported(COUNTER, ANCHORS, words="production=1")
