"""The service accepts each challenge once, in time, for evidence later than any accepted before."""

from pathlib import Path

import pytest

from enclave_sim.attestation import ECDSA_P256, ML_DSA_65, Policy
from tests.enclave_sim.attestation.service.node import BOTH_KEYS, OTHER_KEYS, Node
from tests.enclave_sim.attestation.service.rig import LIFETIME_NS, Rig

NODE = Node()


def accepted(rig: Rig, node: Node, cycle: int) -> list[str]:
    challenge, nonce = rig.challenge(cycle)
    return rig.failures(rig.submit(challenge, node.evidence(nonce, cycle)))


def test_good_evidence_is_accepted(rig: Rig) -> None:
    challenge, nonce = rig.challenge(cycle=5, ak=NODE.ak_name)
    answer = rig.submit(challenge, NODE.evidence(nonce, cycle=5))
    assert rig.failures(answer) == []
    assert answer.content["accepted"] is True
    assert answer.content["challenge"] == challenge
    assert answer.content["ak"] == NODE.ak_name.hex()
    assert (answer.content["reset_count"], answer.content["cycle"]) == (3, 5)
    assert answer.content["judged_at"] == "2023-11-14T22:13:20.000+00:00"


def test_a_challenge_has_a_fresh_nonce_and_id(rig: Rig) -> None:
    given = [rig.challenge() for _ in range(50)]
    assert len({nonce for _, nonce in given}) == len({challenge for challenge, _ in given}) == 50
    assert {len(nonce) for _, nonce in given} == {32}


def test_a_challenge_is_used_once(rig: Rig) -> None:
    challenge, nonce = rig.challenge()
    evidence = NODE.evidence(nonce)
    first = rig.submit(challenge, evidence)
    assert rig.failures(first) == []
    assert rig.submit(challenge, evidence).error == (409, "challenge_used")
    assert rig.request("GET", f"/verdicts/{challenge}").content == first.content


def test_a_challenge_is_used_up_by_refused_evidence_too(rig: Rig) -> None:
    challenge, nonce = rig.challenge()
    assert rig.failures(rig.submit(challenge, b"nonsense")) == ["evidence file"]
    assert rig.submit(challenge, NODE.evidence(nonce)).error == (409, "challenge_used")


def test_evidence_replayed_for_another_challenge_is_refused(rig: Rig) -> None:
    challenge, nonce = rig.challenge()
    evidence = NODE.evidence(nonce)
    rig.submit(challenge, evidence)
    again, _ = rig.challenge()
    assert {"nonce", "quote 1 extra data", "freshness"} <= set(rig.failures(rig.submit(again, evidence)))


def test_a_challenge_expires(rig: Rig) -> None:
    challenge, nonce = rig.challenge()
    in_time, its_nonce = rig.challenge(cycle=1)
    rig.clock.now_ns += LIFETIME_NS - 1
    assert rig.failures(rig.submit(in_time, NODE.evidence(its_nonce, 1))) == []
    rig.clock.now_ns += 1
    assert rig.submit(challenge, NODE.evidence(nonce)).error == (410, "challenge_expired")


def test_setting_the_clock_back_does_not_prolong_a_challenge(rig: Rig) -> None:
    challenge, nonce = rig.challenge()
    rig.clock.now_ns -= 1
    assert rig.submit(challenge, NODE.evidence(nonce)).error == (410, "challenge_expired")


def test_expired_challenges_are_forgotten_a_lifetime_later(rig: Rig) -> None:
    challenge, nonce = rig.challenge()
    rig.clock.now_ns += 2 * LIFETIME_NS
    rig.challenge()
    assert rig.submit(challenge, NODE.evidence(nonce)).error == (410, "challenge_expired")
    rig.clock.now_ns += 1
    rig.challenge()
    assert rig.submit(challenge, NODE.evidence(nonce)).error == (404, "challenge_unknown")


@pytest.mark.parametrize("challenge", ["0" * 32, "", "x" * 65, "%00", "%F0%9F%99%82", "../verdicts"])
def test_an_unknown_challenge_is_not_found(rig: Rig, challenge: str) -> None:
    assert rig.submit(challenge, NODE.evidence(bytes(32))).error == (404, "challenge_unknown")


def test_a_cycle_must_be_later_than_the_last_accepted_one(rig: Rig) -> None:
    assert accepted(rig, NODE, 5) == []
    assert accepted(rig, NODE, 5) == ["freshness"]
    assert accepted(rig, NODE, 4) == ["freshness"]
    assert accepted(rig, NODE, 6) == []


def test_after_a_reset_cycles_begin_again(rig: Rig) -> None:
    assert accepted(rig, Node(reset_count=3), 5) == []
    assert accepted(rig, Node(reset_count=2), 6) == ["freshness"]
    assert accepted(rig, Node(reset_count=4), 0) == []
    assert accepted(rig, Node(reset_count=3), 6) == ["freshness"]


def test_a_restart_begins_a_boot_and_the_clock_goes_on(rig: Rig) -> None:
    """TPM 2.0 part 1: within one reset count, only a later clock is later."""
    assert accepted(rig, Node(clock=500), 5) == []
    assert accepted(rig, Node(clock=499), 6) == ["freshness"]
    assert accepted(rig, Node(clock=500, restart_count=1), 0) == []
    assert accepted(rig, Node(clock=600, restart_count=0), 9) == ["freshness"]
    assert accepted(rig, Node(clock=499, restart_count=2), 0) == ["freshness"]
    assert accepted(rig, Node(clock=0, reset_count=4), 0) == []


def test_a_clock_of_64_bits_is_kept(rig: Rig) -> None:
    """TPM2_ClockSet can set it beyond SQLite's integers."""
    latest = (1 << 64) - 1
    assert accepted(rig, Node(clock=latest), 0) == []
    assert accepted(rig, Node(clock=latest - 1), 1) == ["freshness"]
    assert accepted(rig, Node(clock=latest), 1) == []


def test_refused_evidence_does_not_move_the_last_accepted_cycle(rig: Rig) -> None:
    challenge, nonce = rig.challenge(cycle=9)
    evidence = bytearray(NODE.evidence(nonce, 9))
    evidence[-1] ^= 1
    assert rig.failures(rig.submit(challenge, bytes(evidence))) == ["envelope"]
    assert accepted(rig, NODE, 1) == []


def test_each_key_has_cycles_of_its_own(rig: Rig) -> None:
    assert accepted(rig, NODE, 5) == []
    assert accepted(rig, Node(keys=OTHER_KEYS), 0) == []
    assert accepted(rig, Node(keys=OTHER_KEYS), 0) == ["freshness"]


def test_naming_no_key_or_another_does_not_evade_freshness(rig: Rig) -> None:
    assert accepted(rig, NODE, 5) == []
    challenge, nonce = rig.challenge(cycle=5, ak=Node(keys=OTHER_KEYS).ak_name)
    assert rig.failures(rig.submit(challenge, NODE.evidence(nonce, 5))) == ["freshness", "challenged key"]


def test_evidence_must_be_of_the_key_that_the_challenge_was_given_to(rig: Rig) -> None:
    challenge, nonce = rig.challenge(cycle=5, ak=NODE.ak_name)
    other = Node(keys=OTHER_KEYS)
    assert rig.failures(rig.submit(challenge, other.evidence(nonce, 5))) == ["challenged key"]
    assert accepted(rig, other, 5) == []


def test_a_second_key_is_held_to_what_was_accepted_of_it(rig: Rig) -> None:
    """Another known key beside it does not reset its cycles."""
    mixed = Node(keys=(*OTHER_KEYS, BOTH_KEYS[1]))
    assert accepted(rig, Node(keys=OTHER_KEYS), 2) == []
    assert accepted(rig, Node(keys=BOTH_KEYS), 5) == []
    assert accepted(rig, mixed, 5) == ["freshness"]
    assert accepted(rig, mixed, 6) == []


def test_ml_dsa_can_be_required() -> None:
    rig = Rig(Policy(frozenset({ECDSA_P256, ML_DSA_65})))
    assert accepted(rig, NODE, 0) == ["signature algorithms"]
    assert accepted(rig, Node(keys=BOTH_KEYS), 0) == []


def test_the_cycle_must_be_the_challenged_one(rig: Rig) -> None:
    challenge, nonce = rig.challenge(cycle=5)
    assert "cycle" in rig.failures(rig.submit(challenge, NODE.evidence(nonce, 6)))


def test_a_changed_byte_is_never_accepted(rig: Rig) -> None:
    _, nonce = rig.challenge()
    size = len(NODE.evidence(nonce))
    for index in range(0, size, 29):
        challenge, nonce = rig.challenge()
        evidence = bytearray(NODE.evidence(nonce))
        evidence[index % len(evidence)] ^= 0x10
        assert rig.failures(rig.submit(challenge, bytes(evidence))) != []
    assert accepted(rig, NODE, 0) == []


def test_what_was_accepted_survives_a_restart(tmp_path: Path) -> None:
    first = Rig(path=tmp_path / "verifier.sqlite")
    challenge, nonce = first.challenge(cycle=5)
    waiting, its_nonce = first.challenge(cycle=6)
    verdict = first.submit(challenge, NODE.evidence(nonce, 5)).content
    first.database.close()
    second = Rig(path=tmp_path / "verifier.sqlite")
    assert accepted(second, NODE, 5) == ["freshness"]
    assert second.submit(challenge, NODE.evidence(nonce, 5)).error == (409, "challenge_used")
    assert second.failures(second.submit(waiting, NODE.evidence(its_nonce, 6))) == []
    assert second.request("GET", f"/verdicts/{challenge}").content == verdict
    second.database.close()


def test_the_key_of_the_first_quote_is_named_in_the_verdict(rig: Rig) -> None:
    node = Node(keys=BOTH_KEYS)
    challenge, nonce = rig.challenge()
    assert rig.submit(challenge, node.evidence(nonce)).content["ak"] == node.ak_name.hex()
