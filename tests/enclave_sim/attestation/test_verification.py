"""The evidence that `verify` accepts, and its messages in order."""

from dataclasses import replace

import pytest

from enclave_sim.attestation import (
    ECDSA_P256,
    ML_DSA_65,
    NO_TRUST_ANCHORS,
    Challenge,
    Policy,
    Position,
    Verdict,
    verify,
)
from enclave_sim.attestation.formats.event_log import PcrEvent
from enclave_sim.errors import ConfigurationError
from tests.enclave_sim.attestation.nodes import (
    AKS,
    BOTH,
    CHALLENGE,
    CLOCK,
    CYCLE,
    ECDSA_NODE,
    ENVELOPE_KEY,
    EVENTS,
    HONEST,
    NONCE,
    REFERENCE,
    RESET_COUNT,
    RESTART_COUNT,
    Node,
    error_of,
    judge,
    reference,
    refused,
)

OF_ONE_QUOTE = (
    *("magic", "type", "attest", "AK", "AK attributes", "AK known", "signature"),
    *("qualified name", "PCR selection", "PCR digest", "extra data", "clock"),
)
OF_THE_LOG = (
    *("event log", "event log header", "not annihilated", "event order", "kernel image", "loader information"),
    *("configuration data", "configuration", "trust anchors", "payloads", "active data"),
)


@pytest.mark.parametrize("node", [ECDSA_NODE, HONEST])
def test_honest_evidence_is_accepted(node: Node) -> None:
    verdict = judge(node.evidence())
    assert verdict.failures == ()
    assert verdict.accepted
    assert verdict.position == Position(RESET_COUNT, RESTART_COUNT, CLOCK, CYCLE)
    assert verdict.cycle == CYCLE


def test_a_policy_of_both_signatures_accepts_evidence_that_has_both() -> None:
    assert judge(HONEST.evidence(), policy=BOTH).accepted


def test_the_checks_come_in_a_fixed_order() -> None:
    names = [check.name for check in judge(HONEST.evidence()).checks]
    quotes = [f"quote {number} {name}" for number in (1, 2) for name in OF_ONE_QUOTE]
    last = ["signature algorithms", "quotes agree", "freshness"]
    assert names == ["nonce", "cycle", *OF_THE_LOG, "number of quotes", *quotes, *last]


def test_garbage_has_the_same_checks_as_honest_evidence_and_passes_none_that_it_could_not_have() -> None:
    honest = HONEST.evidence()
    nothing = honest.quotes[0]._replace(attest=b"", signature=b"", public=b"")
    verdict = judge(replace(honest, nonce=b"", cycle=-1, quotes=(nothing, nothing), event_log=b""))
    assert [check.name for check in verdict.checks] == [check.name for check in judge(honest).checks]
    assert [check.name for check in verdict.checks if check.passed] == ["number of quotes"]
    assert verdict.position is None


def test_a_check_that_cannot_be_made_has_failed_and_names_the_one_that_it_needs() -> None:
    verdict = judge(replace(HONEST.evidence(), event_log=b""))
    messages = {check.name: check.message for check in verdict.failures}
    assert messages["quote 1 PCR digest"] == "not checked, because the check 'event log' failed"
    assert messages["kernel image"] == "not checked, because the check 'event order' failed"


def test_every_message_is_one_line() -> None:
    for verdict in (judge(HONEST.evidence()), judge(replace(HONEST.evidence(), event_log=b"\n" * 99))):
        assert all(check.message and "\n" not in check.message for check in verdict.checks)


def test_a_cycle_of_any_size_is_refused_with_a_message() -> None:
    assert refused(judge(replace(HONEST.evidence(), cycle=10**5000))) == ["cycle"]
    assert error_of(replace(HONEST.evidence(), cycle=10**5000).encode, None)


def test_evidence_without_quotes_is_refused() -> None:
    assert refused(judge(replace(HONEST.evidence(), quotes=()))) == [
        "number of quotes",
        "signature algorithms",
        "freshness",
    ]


def test_a_verdict_without_checks_is_not_accepted() -> None:
    assert not Verdict((), None, None).accepted


def test_a_verdict_in_plain_values_says_what_the_verdict_says() -> None:
    verdict = judge(HONEST.evidence(), Challenge(NONCE, CYCLE + 1))
    plain = verdict.to_json()
    values = [plain[name] for name in ("accepted", "reset_count", "restart_count", "clock", "cycle")]
    assert values == [False, RESET_COUNT, RESTART_COUNT, CLOCK, CYCLE]
    checks = plain["checks"]
    assert isinstance(checks, list)
    assert [tuple(check.values()) for check in checks] == [(c.name, c.passed, c.message) for c in verdict.checks]


@pytest.mark.parametrize(
    ("after", "accepted"),
    [
        ([], True),
        ([(0, 0, 0, -1)], True),
        ([(0, 0, -1, -1)], True),
        ([(-1, 9, 9, 9)], True),  # a TPM Reset, which may set the clock back
        ([(0, -1, 0, 9)], True),  # a TPM Restart or Resume
        ([(0, -1, 1, 9)], False),  # the clock continues through it
        ([(0, 0, 0, 0)], False),
        ([(0, 0, -9, 0)], False),  # another quote for a cycle
        ([(0, 0, 0, 1)], False),
        ([(0, 0, 1, -1)], False),
        ([(0, 1, -9, -9)], False),
        ([(1, -9, -9, -9)], False),
        ([(0, 0, 0, -1), (-1, 0, 0, 0)], True),
        ([(0, 0, 0, -1), (0, 1, 0, 0)], False),
    ],
)
def test_evidence_must_be_later_than_what_was_accepted_before(
    after: list[tuple[int, int, int, int]], accepted: bool
) -> None:
    """`after` is given as differences."""
    own = (RESET_COUNT, RESTART_COUNT, CLOCK, CYCLE + 9)
    positions = [Position(*map(sum, zip(own, more, strict=True))) for more in after]
    verdict = judge(replace(HONEST, cycle=CYCLE + 9).evidence(), Challenge(NONCE, CYCLE + 9, tuple(positions)))
    assert [check.name for check in verdict.failures] == ([] if accepted else ["freshness"])


@pytest.mark.parametrize("field", ["firmware", "loader_information", "configurations", "payloads", "trust_anchors"])
def test_each_measurement_has_an_allow_list_of_its_own(field: str) -> None:
    names = {"firmware": "kernel image", "loader_information": "loader information", "configurations": "configuration"}
    other = frozenset({"00" * 32})
    verdict = verify(HONEST.evidence(), CHALLENGE, replace(REFERENCE, **{field: other}))
    assert refused(verdict) == [names.get(field, field.replace("_", " "))]


def test_an_unknown_ak_is_refused() -> None:
    verdict = verify(HONEST.evidence(), CHALLENGE, reference(AKS[0]))
    assert refused(verdict) == ["quote 2 AK known"]


def test_a_node_without_trust_anchors_needs_to_be_allowed() -> None:
    node = Node(events=(*EVENTS[:3], *EVENTS[4:]))
    assert refused(judge(node.evidence())) == ["trust anchors"]
    allowed = replace(REFERENCE, trust_anchors=frozenset({NO_TRUST_ANCHORS}))
    assert verify(node.evidence(), CHALLENGE, allowed).accepted
    assert not verify(HONEST.evidence(), CHALLENGE, allowed).accepted


def test_an_unsafe_clock_is_noted_and_refused_where_the_policy_says_so() -> None:
    evidence = replace(ECDSA_NODE, safe=False).evidence()
    verdict = judge(evidence)
    assert verdict.accepted
    assert "set back" in next(check.message for check in verdict.checks if check.name == "quote 1 clock")
    assert refused(judge(evidence, policy=Policy(safe_clock=True))) == ["quote 1 clock"]


def test_the_envelope_is_left_out_where_there_is_none_and_nobody_asks() -> None:
    assert "envelope" not in [check.name for check in judge(HONEST.evidence()).checks]


@pytest.mark.parametrize("policy", [Policy(), Policy(envelope=True)])
def test_a_file_signed_by_a_known_envelope_key_is_accepted(policy: Policy) -> None:
    evidence = type(HONEST.evidence()).decode(HONEST.evidence().encode(ENVELOPE_KEY))
    verdict = verify(evidence, CHALLENGE, reference(envelope=True), policy)
    assert verdict.accepted
    assert verdict.checks[0].name == "envelope"


def test_an_envelope_by_an_unknown_key_passes_only_where_nobody_asks() -> None:
    other = type(ENVELOPE_KEY).from_seed(b"another node's key")
    evidence = type(HONEST.evidence()).decode(HONEST.evidence().encode(other))
    assert judge(evidence).accepted
    assert refused(verify(evidence, CHALLENGE, reference(envelope=True))) == ["envelope"]
    assert refused(judge(evidence, policy=Policy(envelope=True))) == ["envelope"]


def test_an_unsigned_file_is_refused_where_an_envelope_is_asked_for() -> None:
    evidence = type(HONEST.evidence()).decode(HONEST.evidence().encode(None))
    assert judge(evidence).accepted
    assert refused(judge(evidence, policy=Policy(envelope=True))) == ["envelope"]
    verdict = verify(HONEST.evidence(), CHALLENGE, reference(envelope=True))
    assert refused(verdict) == ["envelope"]
    assert "did not come in a file" in verdict.failures[0].message


def test_evidence_that_is_not_the_one_in_its_file_is_refused() -> None:
    evidence = type(HONEST.evidence()).decode(HONEST.evidence().encode(ENVELOPE_KEY))
    other = replace(HONEST, cycle=CYCLE + 1).evidence()
    swapped = replace(other, file=evidence.file)
    assert refused(judge(swapped, Challenge(NONCE, CYCLE + 1))) == ["envelope"]


@pytest.mark.parametrize("signatures", [frozenset(), frozenset({"rsa"}), frozenset({ECDSA_P256, "ed25519"})])
def test_a_policy_requires_known_signatures(signatures: frozenset[str]) -> None:
    with pytest.raises(ConfigurationError, match=f"requires {ECDSA_P256}, {ML_DSA_65} or both"):
        Policy(signatures)


@pytest.mark.parametrize(("nonce", "cycle"), [(b"", 0), (bytes(31), 0), (bytes(32), -1), (bytes(32), 2**32)])
def test_a_challenge_can_be_answered(nonce: bytes, cycle: int) -> None:
    with pytest.raises(ConfigurationError, match="a challenge's"):
        Challenge(nonce, cycle)


def test_many_payloads_are_measured_one_after_the_other() -> None:
    events = (
        *EVENTS[:4],
        *(PcrEvent.measured(11, 13, EVENTS[4].digest, b"payload %d" % n) for n in range(12)),
        EVENTS[-1],
    )
    assert judge(Node(events=events).evidence()).accepted
