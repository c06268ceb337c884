"""Every cycle has its own quote, and every run the same quotes."""

from typing import Any

import pytest

from enclave_sim import Attestation, Enclave, events
from enclave_sim.attestation import Challenge, Evidence, Policy, Position, verify
from enclave_sim.attestation.formats.quote import parse_quote
from tests.enclave_sim.enclave.measured_boot.support import kinds, model

RUNS: list[dict[str, Any]] = [
    {"payload": "beacon", "cycles": 5},
    {"payload": ["beacon", "counter", "greedy"], "cycles": 6, "attestation": Attestation.REQUIRE},
    {"payload": "runner", "engine": "native", "cycles": 4, "quantum_ns": 50_000, "attestation": Attestation.REQUIRE},
    {"payload": "counter", "cycles": 3, "tpm_resets": 41, "tpm_seed": "another", "post_quantum": True},
]
EVERY = pytest.mark.parametrize("options", RUNS, ids=["beacon", "three payloads", "native", "an older TPM"])


def quoted(enclave: Enclave) -> list[Evidence]:
    """All evidence of a complete run."""
    shown: list[Evidence] = []
    enclave.on_evidence(shown.append)
    assert enclave.run().outcome == "COMPLETED"
    return shown


@EVERY
def test_the_quote_of_a_cycle_is_over_its_nonce_its_number_and_the_reset_count(options: dict[str, Any]) -> None:
    enclave = Enclave(**options)
    shown = quoted(enclave)
    nonces = [bytes.fromhex(event.nonce) for event in kinds(enclave, events.VerifierChallenged)]
    assert len(set(nonces)) == len(nonces) == options["cycles"]
    assert [(evidence.cycle, evidence.nonce) for evidence in shown] == list(enumerate(nonces))
    for evidence in shown:
        assert len(evidence.quotes) == 2
        for quote in evidence.quotes:
            attest = parse_quote(quote.attest)
            assert attest.extra_data == evidence.nonce + evidence.cycle.to_bytes(4, "big")
            assert attest.clock_info.reset_count == options.get("tpm_resets", 0) + 1


@EVERY
def test_all_evidence_of_a_run_is_accepted_in_order_and_in_no_other(options: dict[str, Any]) -> None:
    enclave = Enclave(**options)
    shown, reference = quoted(enclave), enclave.reference_values()
    both = Policy(frozenset({"ecdsa-p256", "ml-dsa-65"}))
    after: tuple[Position, ...] = ()
    for cycle, evidence in enumerate(shown):
        verdict = verify(evidence, Challenge(evidence.nonce, cycle, after), reference, both)
        assert verdict.failures == ()
        assert verdict.position is not None
        after = (verdict.position,)
        again = Challenge(evidence.nonce, cycle, after)
        assert [check.name for check in verify(evidence, again, reference, both).failures] == ["freshness"]
    assert {evidence.event_log for evidence in shown} == {shown[0].event_log}


@EVERY
def test_the_same_run_has_the_same_quotes(options: dict[str, Any]) -> None:
    first, second = Enclave(**options), Enclave(**options)
    assert quoted(first) == quoted(second)
    assert first.run().digest == second.run().digest


@pytest.mark.parametrize(
    "other", [{"tpm_seed": "another"}, {"tpm_resets": 1}, {"attestation": Attestation.REQUIRE}, {"cycles": 3}]
)
def test_another_tpm_policy_or_number_of_cycles_is_another_run(other: dict[str, Any]) -> None:
    assert Enclave("beacon", **{"cycles": 2, **other}).run().digest != Enclave("beacon", cycles=2).run().digest


def test_nonces_differ_between_tpms() -> None:
    """Nonces are predictable, but not the same for every TPM."""
    nonces = [quoted(Enclave("beacon", tpm_seed=seed))[0].nonce for seed in ("development", "another")]
    assert nonces[0] != nonces[1]


def test_the_model_given_by_hand_is_the_one_that_is_made_otherwise() -> None:
    by_hand, made = Enclave("beacon", tpm=model()), Enclave("beacon")
    assert quoted(by_hand) == quoted(made)


def test_quotes_tell_the_reset_count_and_what_was_quoted() -> None:
    enclave = Enclave("beacon", tpm_resets=8)
    (evidence,) = quoted(enclave)
    told = kinds(enclave, events.Quoted)
    assert [event.algorithm for event in told] == ["ecdsa-p256", "ml-dsa-65"]
    assert [event.reset_count for event in told] == [9, 9]
    assert [event.pcr_digest for event in told] == [parse_quote(q.attest).pcr_digest.hex() for q in evidence.quotes]


@pytest.mark.slow
def test_hundreds_of_cycles_each_with_its_quote() -> None:
    enclave = Enclave("beacon", cycles=400, wake_ns=1000, attestation=Attestation.REQUIRE, record=False)
    nonces = {evidence.nonce for evidence in quoted(enclave)}
    assert len(nonces) == 400
    assert enclave.run().attestation.accepted == 400
