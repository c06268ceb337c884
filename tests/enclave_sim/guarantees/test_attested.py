"""The guarantee `attested`: it holds for the genuine enclave, and for no kernel or verifier that omits a step."""

import io
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from elftools.elf.elffile import ELFFile

import firmware
import payloads
from enclave_sim import Attestation, Phase
from enclave_sim.attestation import Evidence
from enclave_sim.enclave.attester import expected_measurements
from enclave_sim.enclave.attester.built_in import BuiltInVerifier
from enclave_sim.enclave.attester.contract import Judgement
from enclave_sim.enclave.attester.expected_measurements import attestation_key_names
from enclave_sim.events import PhaseCompleted
from enclave_sim.guarantees import ObservedTemplate, Report, attested, observe
from enclave_sim.inputs import AfterEvent, MemoryFault, Tamper
from firmware import Firmware
from machine.state import Stateful
from tests.enclave_sim.enclave.measured_boot.support import Interposer, model, without_ml_dsa

RETURN, RETURN_TRUE = b"\xc3", b"\xb8\x01\x00\x00\x00\xc3"
REQUIRE: dict[str, Any] = {"attestation": Attestation.REQUIRE}
EDITED = MemoryFault(
    at_ns=0, after=AfterEvent("verifier_challenged"), address=firmware.built_in().symbols["event_log"], bits=1
)


def kernel(function: str, code: bytes) -> Firmware:
    """Return a kernel with one function replaced by this code."""
    image = bytearray(firmware.built_in().image)
    for segment in ELFFile(io.BytesIO(image)).iter_segments():
        at = firmware.built_in().symbols[function] - segment["p_paddr"]
        if 0 <= at < segment["p_filesz"]:
            image[segment["p_offset"] + at : segment["p_offset"] + at + len(code)] = code
    assert image != firmware.built_in().image
    return msgspec.structs.replace(firmware.built_in(), image=bytes(image))


def accepting(_verifier: BuiltInVerifier, _evidence: Evidence) -> Judgement:
    return Judgement(True, "whatever it is")


def findings(report: Report) -> list[str]:
    assert report.holds == (not report.findings)
    return [finding.what for finding in report.findings]


@pytest.mark.parametrize(
    ("payload", "options"),
    [
        *((name, {"cycles": 2}) for name in payloads.names()),
        *((name, {"engine": "native"}) for name in payloads.flat_names()),
        (["counter", "beacon"], {"cycles": 3, **REQUIRE, "post_quantum": True}),
        ("beacon", {"attestation": Attestation.OFF}),
        (payloads.read("beacon")[:-1], {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_holds_for_the_enclave_as_it_is(payload: Any, options: dict[str, Any]) -> None:
    run = observe(payload, **options)
    attested([run]).check()
    looked = attested([run]).looked_at
    measured = options.get("attestation") is not Attestation.OFF
    assert (looked.get("measurements", 0) > 0) == measured
    assert looked.get("quotes", 0) == run.result.attestation.accepted


def completed(phase: Phase) -> int:
    (event,) = (e for e in observe("beacon").events if isinstance(e, PhaseCompleted) and e.phase == phase.name)
    return event.at_ns


@pytest.mark.parametrize("phase", Phase)
def test_it_holds_where_tampering_ends_it(phase: Phase) -> None:
    run = observe("beacon", inputs=[Tamper(at_ns=completed(phase) + 1)])
    assert run.result.outcome == "TAMPER"
    attested([run]).check()


@pytest.mark.parametrize("at_ns", [150_000, 700_000, 1_000_000, 1_200_000])
def test_it_holds_where_tampering_ends_it_while_the_tpm_is_at_work(at_ns: int) -> None:
    run = observe("beacon", inputs=[Tamper(at_ns=at_ns)])
    assert run.result.outcome == "TAMPER"
    attested([run]).check()


def test_it_holds_where_evidence_is_refused_and_the_kernel_ends_it() -> None:
    run = observe("beacon", **REQUIRE, inputs=[EDITED])
    assert run.result.outcome == "ATTESTATION_REFUSED"
    attested([run]).check()


def test_it_holds_where_evidence_is_refused_and_nobody_demands_it() -> None:
    run = observe("beacon", inputs=[EDITED], cycles=2)
    assert run.result.attestation.refused == 2
    attested([run]).check()


def test_it_holds_of_every_run_from_a_template() -> None:
    bench = ObservedTemplate("counter", cycles=2, **REQUIRE)
    attested([bench.run(), bench.run(inputs=[Tamper(at_ns=bench.at_ns + 100)]), bench.run()]).check()


def test_a_cap_left_out() -> None:
    run = observe("beacon", firmware=kernel("cap_tpm", RETURN))
    assert run.result.outcome == "COMPLETED"
    assert findings(attested([run])) == ["the runtime PCR was not capped: a later quote could claim the active state"]


def test_a_cap_that_the_tpm_refused() -> None:
    def treat(at: int, _command: bytes, go_on: Any) -> bytes:
        if at == 12:
            device.tpm.fail()
        return bytes(go_on())

    device = Interposer(treat)
    run = observe("beacon", tpm=device, reference=None, verifier=Accepting())
    assert run.result.outcome == "COMPLETED"
    assert "the runtime PCR was not capped" in findings(attested([run]))[-1]


class Accepting(Stateful):
    """An external verifier that accepts everything."""

    def __init__(self) -> None:
        self.built_in = False

    def challenge(self, _cycle: int) -> bytes:
        return b"n" * 32

    def judge(self, _evidence: Evidence) -> Judgement:
        return Judgement(True, "whatever it is")


@pytest.mark.parametrize(
    ("function", "phase", "registers"),
    [
        ("measure_range", "WASM_INIT", [11, 12]),
        ("measure_action", "EXEC_LOOP", [13]),
        ("measure_boot", "PROT_ENTRY", [8, 9, 10]),
    ],
)
def test_a_phase_without_a_measurement(function: str, phase: str, registers: list[int]) -> None:
    found = findings(attested([observe("beacon", firmware=kernel(function, RETURN))]))
    for pcr in registers:
        assert f"{phase} ended with 0 measurements in PCR {pcr}, not 1" in found
    if phase == "WASM_INIT":
        assert "payload 0 was used before it was measured" in found


def test_measurements_that_are_logged_and_never_reach_the_tpm() -> None:
    found = findings(attested([observe("beacon", firmware=kernel("tpm_extend", RETURN_TRUE))]))
    assert len([what for what in found if "ended with 0 measurements" in what]) == 6


def test_a_quote_that_is_not_demanded_where_the_policy_is_require() -> None:
    run = observe("beacon", firmware=kernel("attested", RETURN_TRUE), cycles=2, **REQUIRE)
    assert run.result.outcome == "COMPLETED"
    wanted = "a cycle was entered although its evidence is not good: no quote was shown"
    assert findings(attested([run])) == [wanted] * 2


@pytest.mark.parametrize("attestation", [Attestation.REQUIRE, Attestation.RECORD])
def test_a_verdict_given_without_a_look(attestation: Attestation) -> None:
    with patch.object(BuiltInVerifier, "judge", accepting):
        run = observe("beacon", attestation=attestation, inputs=[EDITED])
    assert run.result.outcome == "COMPLETED"
    found = findings(attested([run]))
    assert found[0].startswith("the evidence for cycle 0 was accepted, but event log: ")
    demanded = "a cycle was entered although its evidence is not good: event log: "
    assert [what.startswith(demanded) for what in found[1:]] == [True] * (attestation is Attestation.REQUIRE)


def test_a_verdict_given_for_the_keys_of_another_tpm() -> None:
    others = tuple(attestation_key_names(model("another")))
    with (
        patch.object(BuiltInVerifier, "judge", accepting),
        patch.object(expected_measurements, "model_key_names", lambda _: others),
    ):
        found = findings(attested([observe("beacon")]))
    assert "AK known" in found[0]


def test_a_verdict_given_for_p_256_alone_where_both_signatures_are_demanded() -> None:
    with patch.object(BuiltInVerifier, "judge", accepting):
        run = observe("beacon", post_quantum=True, tpm=Interposer(without_ml_dsa(0x2C3)), **REQUIRE)
    assert run.result.outcome == "COMPLETED"
    assert "signature algorithms: ml-dsa-65 is missing" in findings(attested([run]))[0]
