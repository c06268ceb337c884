"""The built-in verifier: its seed determines its challenges, and the rules its verdicts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.attestation import Evidence, Policy, ReferenceValues
from enclave_sim.enclave.attester.built_in import BuiltInVerifier
from machine.tpm.backend import TpmUnavailable
from tests.enclave_sim.attestation.nodes import BOTH, ECDSA_NODE, REFERENCE, Node

DEMANDED = st.integers(0, 2**32 - 1)


def never() -> ReferenceValues:
    raise AssertionError("nobody needed to know")


def built_in(given: ReferenceValues | None = REFERENCE, find: Any = never, policy: Policy | None = None) -> Any:
    return BuiltInVerifier(given, find, policy or Policy(), b"seed")


def answer(verifier: BuiltInVerifier, cycle: int, node: type[Node] | Any = Node, **fields: Any) -> Any:
    """The verdict on good evidence for the challenge of a cycle."""
    nonce = verifier.challenge(cycle)
    return verifier.judge(node(nonce=nonce, cycle=cycle, **fields).evidence())


@given(cycle=DEMANDED, other=DEMANDED)
def test_nonces_are_of_the_cycle_and_the_seed(cycle: int, other: int) -> None:
    verifier = built_in()
    nonce = verifier.challenge(cycle)
    assert len(nonce) == 32
    assert (verifier.challenge(other) == nonce) == (other == cycle)
    assert built_in().challenge(cycle) == nonce
    assert BuiltInVerifier(None, never, Policy(), b"another").challenge(cycle) != nonce


def test_good_evidence_is_accepted_and_says_how_many_checks_passed() -> None:
    judgement = answer(built_in(), 0)
    assert judgement.accepted
    assert judgement.message.endswith(" checks passed")


@pytest.mark.parametrize(
    ("fields", "check"),
    [
        ({"reset_count": 6}, "freshness: "),
        ({"selections": ()}, "PCR selection: "),
        ({"hierarchy": 0x4000_0001}, "qualified name: "),
        ({"log": ()}, "event order: "),
    ],
)
def test_a_refusal_is_one_line_that_names_the_check(fields: dict[str, Any], check: str) -> None:
    verifier = built_in()
    assert answer(verifier, 0).accepted
    judgement = answer(verifier, 1, **fields)
    assert not judgement.accepted
    assert check in judgement.message
    assert judgement.message.isprintable()


def test_evidence_must_answer_the_challenge_last_given() -> None:
    verifier = built_in()
    first = verifier.challenge(0)
    verifier.challenge(1)
    assert "nonce: " in verifier.judge(Node(nonce=first, cycle=0).evidence()).message


def test_evidence_judged_before_any_challenge_is_an_error_of_whoever_asks() -> None:
    from enclave_sim.errors import ConfigurationError

    with pytest.raises(ConfigurationError):
        built_in().judge(Node().evidence())


def test_a_later_cycle_is_fresh_and_the_same_again_is_not() -> None:
    verifier = built_in()
    assert [answer(verifier, cycle).accepted for cycle in (0, 1, 5, 5, 4, 6)] == [True, True, True, False, False, True]


def test_what_was_refused_does_not_count_as_accepted() -> None:
    verifier = built_in()
    assert not answer(verifier, 9, reset_count=2**32 - 1, selections=()).accepted
    assert answer(verifier, 0).accepted


def test_a_policy_that_demands_both_signatures() -> None:
    single = {"aks": ECDSA_NODE.aks}
    assert answer(built_in(policy=BOTH), 0).accepted
    assert "signature algorithms: " in answer(built_in(policy=BOTH), 0, **single).message
    assert answer(built_in(), 0, **single).accepted


def test_reference_values_are_found_once_and_when_they_are_needed() -> None:
    calls: list[None] = []

    def find() -> ReferenceValues:
        calls.append(None)
        return REFERENCE

    verifier = built_in(None, find)
    verifier.challenge(0)
    assert calls == []
    assert [answer(verifier, cycle).accepted for cycle in range(3)] == [True] * 3
    assert calls == [None]


def test_reference_values_that_cannot_be_found_now_are_looked_for_again() -> None:
    answers: list[Any] = [TpmUnavailable("swtpm: gone"), REFERENCE]

    def find() -> ReferenceValues:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, ReferenceValues)
        return found

    verifier = built_in(None, find)
    refused = answer(verifier, 0)
    assert (refused.accepted, refused.message) == (False, "no reference values: swtpm: gone")
    assert answer(verifier, 1).accepted


@pytest.mark.parametrize(("given", "inside"), [(None, True), (REFERENCE, False), (ReferenceValues(), False)])
def test_it_is_part_of_the_configuration_unless_it_was_given_reference_values(given: Any, inside: bool) -> None:
    assert built_in(given).built_in is inside


def test_its_state_is_the_challenge_and_what_was_accepted_last() -> None:
    verifier = built_in()
    assert answer(verifier, 0).accepted
    nonce = verifier.challenge(1)
    state = verifier.save_state()
    evidence: Evidence = Node(nonce=nonce, cycle=1).evidence()
    assert verifier.judge(evidence).accepted
    assert not verifier.judge(evidence).accepted
    verifier.load_state(state)
    assert verifier.judge(evidence).accepted
