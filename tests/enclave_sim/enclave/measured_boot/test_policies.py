"""`off`, `record`, `require`, and `post_quantum`: what a cycle requires to begin, and what the guest is told."""

from typing import Any

import pytest

from enclave_sim import Attestation, Enclave, Status, events
from enclave_sim.attestation import ReferenceValues
from enclave_sim.enclave.attester.contract import Judgement, NoChallenge
from machine.events import RingTransition
from machine.state import Stateful
from tests.enclave_sim.enclave.measured_boot.support import (
    Interposer,
    assert_refused,
    kinds,
    reference,
    required,
    without_ml_dsa,
)

NATIVE = {"engine": "native"}


class Judge(Stateful):
    """Gives a fixed answer for each cycle: a text is a refusal, None is acceptance, a list gives no nonce."""

    built_in = False

    def __init__(self, verdicts: list[Any]) -> None:
        self._verdicts = verdicts

    def challenge(self, cycle: int) -> bytes:
        if isinstance(self._verdicts[cycle], list):
            raise NoChallenge(self._verdicts[cycle][0])
        return bytes([cycle]) * 32

    def judge(self, evidence: Any) -> Judgement:
        said = self._verdicts[evidence.cycle]
        return Judgement(said is None, said or "fine")


def entered(enclave: Enclave) -> int:
    return len([event for event in kinds(enclave, RingTransition) if event.to_ring == 3])


def test_record_is_the_policy_unless_another_is_asked_for() -> None:
    assert Enclave("beacon").configuration.attestation is Attestation.RECORD


def test_off_never_says_attested() -> None:
    result = Enclave("beacon", cycles=3, attestation=Attestation.OFF).run()
    assert len(result.signals) == 3
    assert [signal for signal in result.signals if signal & Status.ATTESTED] == []
    assert result.attestation.accepted == result.attestation.refused == 0


def test_record_begins_every_cycle_and_says_attested_in_those_alone_that_were_accepted() -> None:
    judge = Judge([None, "bad", None, ["nobody there"], None])
    enclave = Enclave("beacon", cycles=5, attestation=Attestation.RECORD, verifier=judge)
    result = enclave.run()
    assert result.outcome == "COMPLETED"
    assert [bool(signal & Status.ATTESTED) for signal in result.signals] == [True, False, True, False, True]
    decided = kinds(enclave, events.AttestationDecided)
    assert [(event.cycle, event.verdict, event.message) for event in decided] == [
        (0, "accepted", "fine"),
        (1, "refused", "bad"),
        (2, "accepted", "fine"),
        (3, "refused", "nobody there"),
        (4, "accepted", "fine"),
    ]
    assert (result.attestation.accepted, result.attestation.refused) == (3, 2)
    assert [event.cycle for event in kinds(enclave, events.VerifierChallenged)] == [0, 1, 2, 4]


@pytest.mark.parametrize("refusal", ["bad", ["nobody there"]])
@pytest.mark.parametrize("cycle", [0, 1, 2])
def test_require_enters_ring_3_in_no_cycle_that_was_not_accepted(refusal: Any, cycle: int) -> None:
    judge = Judge([*[None] * cycle, refusal])
    enclave = Enclave("beacon", cycles=3, attestation=Attestation.REQUIRE, verifier=judge)
    result = enclave.run()
    assert (result.outcome, result.residue_bytes, len(result.signals)) == ("ATTESTATION_REFUSED", 0, cycle)
    assert len(kinds(enclave, events.GuestInstantiated)) == cycle
    assert "the verifier did not accept the evidence" in result.detail
    assert (refusal if isinstance(refusal, str) else refusal[0]) in result.detail
    judged = kinds(enclave, events.AttestationDecided)[-1].seq
    assert [event for event in kinds(enclave, RingTransition) if event.seq > judged and event.to_ring == 3] == []
    assert (entered(enclave) > 0) == (cycle > 0)


@pytest.mark.parametrize("options", [{}, NATIVE], ids=["wasmtime", "native"])
def test_require_with_evidence_that_is_good(options: dict[str, Any]) -> None:
    result = Enclave("runner" if options else "beacon", cycles=3, attestation=Attestation.REQUIRE, **options).run()
    assert result.outcome == "COMPLETED"
    assert (result.attestation.accepted, result.attestation.refused) == (3, 0)


@pytest.mark.parametrize("options", [{}, NATIVE], ids=["wasmtime", "native"])
def test_require_with_a_verifier_that_knows_nothing(options: dict[str, Any]) -> None:
    payload = "runner" if options else "beacon"
    enclave = Enclave(payload, attestation=Attestation.REQUIRE, reference=ReferenceValues(), **options)
    assert_refused(enclave, "kernel image: ", "loader information: ", "configuration: ", "payloads: ", "AK known: ")


def test_post_quantum_is_accepted_where_the_tpm_has_ml_dsa() -> None:
    enclave = required(post_quantum=True)
    assert enclave.run().outcome == "COMPLETED"
    assert [event.algorithm for event in kinds(enclave, events.Quoted)] == ["ecdsa-p256", "ml-dsa-65"]


def test_post_quantum_is_refused_where_the_tpm_has_none() -> None:
    result = assert_refused(
        required(post_quantum=True, tpm=Interposer(without_ml_dsa(0x2C3))), "signature algorithms: ml-dsa-65"
    )
    assert result.detail.endswith("nothing replaces it")


def test_without_post_quantum_p_256_alone_will_do() -> None:
    enclave = required(tpm=Interposer(without_ml_dsa(0x2C3)))
    assert enclave.run().outcome == "COMPLETED"
    assert [event.algorithm for event in kinds(enclave, events.Quoted)] == ["ecdsa-p256"]


def test_the_policy_is_measured() -> None:
    """A node that claims `require` but was started with `record` is another node."""
    recording = reference(attestation=Attestation.RECORD)
    assert recording.configurations.isdisjoint(reference().configurations)
    assert_refused(required(reference=recording), "configuration: ")
