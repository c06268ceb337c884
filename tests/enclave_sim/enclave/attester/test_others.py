"""The other verifiers: an external one, one from a recording, one that only observes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.attestation import EvidenceError, SignedQuote
from enclave_sim.attestation.service.client import RemoteVerdict
from enclave_sim.attestation.service.errors import VerifierUnavailable
from enclave_sim.enclave.attester import remote
from enclave_sim.enclave.attester.capturing import CapturingVerifier
from enclave_sim.enclave.attester.contract import Judgement, NoChallenge
from enclave_sim.enclave.attester.remote import RemoteVerifier
from enclave_sim.enclave.attester.replayed import RecordedVerifier
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import AttestationDecided, VerifierChallenged
from tests.enclave_sim.attestation.nodes import ECDSA_NODE

URL = "http://127.0.0.1:8040"


class Service:
    """Replaces the client; gives fixed answers, and keeps the requests."""

    def __init__(self, _url: str, ca_file: None) -> None:
        assert ca_file is None
        self.asked: list[tuple[str, int]] = []
        self.down = False

    def challenge(self, cycle: int, _ak_name: bytes | None) -> bytes:
        self.asked.append(("challenge", cycle))
        if self.down:
            raise VerifierUnavailable("it is down")
        return bytes([len(self.asked)]) * 32

    def judge(self, cycle: int, _file: bytes) -> RemoteVerdict:
        self.asked.append(("judge", cycle))
        return RemoteVerdict(cycle != 2, f"verdict {len(self.asked)}")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[RemoteVerifier, Service]]:
    monkeypatch.setattr(remote, "Client", Service)

    def make() -> tuple[RemoteVerifier, Service]:
        verifier = RemoteVerifier(URL, None, "seed")
        return verifier, verifier._client  # type: ignore[return-value]

    return make


Make = Callable[[], tuple[RemoteVerifier, Service]]


def evidence(nonce: bytes, cycle: int) -> Any:
    return replace(ECDSA_NODE, nonce=nonce, cycle=cycle).evidence()


def test_a_service_is_asked_once_for_each_cycle_however_often_the_run_goes_back(asked: Make) -> None:
    verifier, service = asked()
    before = verifier.save_state()
    said = []
    for _ in range(3):
        verifier.load_state(before)
        for cycle in range(3):
            said.append(verifier.judge(evidence(verifier.challenge(cycle), cycle)))
    assert said[:3] == said[3:6] == said[6:]
    assert [judgement.accepted for judgement in said[:3]] == [True, True, False]
    assert service.asked == [(what, cycle) for cycle in range(3) for what in ("challenge", "judge")]


def test_other_evidence_for_the_same_cycle_is_another_question(asked: Make) -> None:
    verifier, service = asked()
    nonce = verifier.challenge(0)
    first, second = evidence(nonce, 0), evidence(b"o" * 32, 0)
    assert verifier.judge(first) == verifier.judge(first) != verifier.judge(second)
    assert service.asked.count(("judge", 0)) == 2


def test_a_service_that_is_down_gives_no_challenge_and_is_asked_again(asked: Make) -> None:
    verifier, service = asked()
    service.down = True
    with pytest.raises(NoChallenge, match=r"^it is down$"):
        verifier.challenge(0)
    service.down = False
    assert len(verifier.challenge(0)) == 32


@pytest.mark.parametrize(
    "broken",
    [
        {"quotes": ()},
        {"quotes": (SignedQuote(b"a", b"b", b"c"),) * 5},
        {"event_log": bytes(70_000)},
        {"nonce": b"short"},
        {"cycle": 2**40},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_evidence_that_no_file_can_carry_is_refused_and_not_sent(broken: dict[str, Any], asked: Make) -> None:
    verifier, service = asked()
    shown = replace(evidence(verifier.challenge(0), 0), **broken)
    with pytest.raises(EvidenceError):
        shown.encode(None)
    judgement = verifier.judge(shown)
    assert not judgement.accepted
    assert judgement.message.startswith("evidence")
    assert judgement.message.isprintable()
    assert ("judge", 0) not in service.asked


def test_a_service_has_a_url() -> None:
    for url in ("", "verifier", "http://example.org"):
        with pytest.raises(ConfigurationError):
            RemoteVerifier(url, None, "seed")
    assert not RemoteVerifier(URL, None, "seed").built_in


# What was recorded.


def decided(cycle: int, verdict: str, message: str) -> AttestationDecided:
    return AttestationDecided(0, 0, cycle, verdict, message)


@given(
    cycles=st.dictionaries(
        st.integers(0, 2**32 - 1), st.tuples(st.binary(min_size=32, max_size=32), st.booleans(), st.text()), max_size=5
    )
)
def test_the_answers_of_a_recording_are_given_again(cycles: dict[int, tuple[bytes, bool, str]]) -> None:
    found: list[Any] = []
    for cycle, (nonce, accepted, message) in cycles.items():
        found.append(VerifierChallenged(0, 0, cycle, nonce.hex()))
        found.append(decided(cycle, "accepted" if accepted else "refused", message))
    verifier = RecordedVerifier(found)
    for cycle, (nonce, accepted, message) in cycles.items():
        for _ in range(2):
            assert verifier.challenge(cycle) == nonce
            assert verifier.judge(evidence(b"x" * 32, cycle)) == Judgement(accepted, message)
    assert not verifier.built_in


def test_where_no_nonce_was_given_none_is_given_again_for_the_same_reason() -> None:
    verifier = RecordedVerifier([decided(4, "refused", "it was down")])
    with pytest.raises(NoChallenge, match=r"^it was down$"):
        verifier.challenge(4)


def test_of_a_cycle_that_was_not_recorded_nothing_is_accepted() -> None:
    verifier = RecordedVerifier([VerifierChallenged(0, 0, 0, "00" * 32), decided(0, "accepted", "fine")])
    with pytest.raises(NoChallenge, match="the recording has no verdict for this cycle"):
        verifier.challenge(1)
    assert not verifier.judge(evidence(b"x" * 32, 1)).accepted


def test_a_word_that_is_not_an_acceptance_is_none() -> None:
    for word in ("Accepted", "accepted ", "", "yes"):
        assert not RecordedVerifier([decided(0, word, "")]).judge(evidence(b"x" * 32, 0)).accepted


# The one that observes.


def test_a_witness_keeps_the_evidence_of_its_cycle_and_no_other() -> None:
    calls: list[None] = []
    witness = CapturingVerifier(b"n" * 32, 2)
    witness.on_evidence = lambda: calls.append(None)
    for cycle in range(4):
        assert witness.challenge(cycle) == b"n" * 32
        assert witness.judge(evidence(b"n" * 32, cycle)).accepted
        assert (len(calls), witness.evidence is not None) == (int(cycle >= 2), cycle >= 2)
    assert witness.evidence == evidence(b"n" * 32, 2)
