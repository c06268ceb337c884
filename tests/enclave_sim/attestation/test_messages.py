"""Each check's message, word for word: what was found, what would be right, and where."""

from dataclasses import replace
from hashlib import sha256

import pytest

from enclave_sim.attestation import (
    ECDSA_P256,
    ML_DSA_65,
    NO_TRUST_ANCHORS,
    Challenge,
    Evidence,
    Policy,
    Position,
    Verdict,
    verify,
)
from enclave_sim.attestation.formats.quote import PcrSelection
from tests.enclave_sim.attestation.failing_checks import CASES, EVIDENCE, hexed
from tests.enclave_sim.attestation.nodes import (
    AKS,
    CHALLENGE,
    COMMAND_LINE,
    ECDSA_NODE,
    ENVELOPE_KEY,
    EVENTS,
    HONEST,
    NONCE,
    REFERENCE,
    reference,
    with_quote,
)

POSITION = "reset count 7, restart count 2, clock 123456 ms, cycle 3"


def messages(verdict: Verdict) -> dict[str, str]:
    return {check.name: check.message for check in verdict.checks}


def test_a_check_that_passes_says_what_was_good() -> None:
    verdict = verify(HONEST.evidence(), CHALLENGE, REFERENCE, Policy())
    of_a_quote = {
        "magic": "TPM_GENERATED_VALUE",
        "type": "TPM_ST_ATTEST_QUOTE",
        "attest": "is a TPMS_ATTEST of a quote",
        "AK": "is the public area of an AK",
        "AK attributes": "a restricted signing key that never left its TPM",
        "qualified name": "this AK, a primary key of the endorsement hierarchy",
        "PCR selection": "SHA-256, PCRs 8 to 13",
        "PCR digest": "is that of the replayed event log",
        "extra data": "the challenge's nonce and cycle",
        "clock": "is safe",
    }
    wanted = {
        "nonce": "the challenge's",
        "cycle": "the challenge's",
        "event log": "is a TCG crypto-agile log",
        "event log header": "Spec ID event of a log with only the SHA-256 bank",
        "not annihilated": "no cap in the log",
        "event order": "every event is where it must be",
        "kernel image": f"{hexed('kernel')} is allowed",
        "loader information": f"{hexed('loader')} is allowed",
        "configuration data": "the digest is that of the event's data",
        "configuration": f"{sha256(COMMAND_LINE).hexdigest()} is allowed",
        "trust anchors": f"{hexed('anchors')} is allowed",
        "payloads": "2 payloads, all allowed",
        "active data": "the digest is that of the event's data",
        "number of quotes": "2",
        **{f"quote {number} {name}": message for number in (1, 2) for name, message in of_a_quote.items()},
        **{f"quote {number} AK known": f"{ak.name.hex()} is known" for number, ak in enumerate(AKS, 1)},
        "quote 1 signature": "ecdsa-p256, by this AK over this attest",
        "quote 2 signature": "ml-dsa-65, by this AK over this attest",
        "signature algorithms": "ecdsa-p256, ml-dsa-65",
        "quotes agree": "all come from one boot and one state",
        "freshness": f"{POSITION}; nothing was accepted for this AK before",
    }
    assert messages(verdict) == wanted


@pytest.mark.parametrize("case", CASES)
def test_a_check_that_fails_says_what_it_found_and_what_is_right(case: str) -> None:
    made, name, message = CASES[case]
    verdict = verify(made(), CHALLENGE, REFERENCE, Policy())
    assert not next(check for check in verdict.checks if check.name == name).passed
    assert messages(verdict)[name] == message


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("PCR selection", {"selections": (PcrSelection.of((0,)),)}),
        ("PCR digest", {"events": EVENTS[:-1]}),
        ("reset count", {"reset_count": 8}),
    ],
)
def test_quotes_that_do_not_agree_are_named_with_what_differs(what: str, other: dict[str, object]) -> None:
    second = replace(HONEST, **other).signed(AKS[1])  # type: ignore[arg-type]
    verdict = verify(with_quote(HONEST.evidence(), 1, second), CHALLENGE, REFERENCE, Policy())
    message = f"quote 2 has another {what} than quote 1; both must come from one boot"
    assert messages(verdict)["quotes agree"] == message


def test_one_quote_has_nothing_to_agree_with() -> None:
    assert "quotes agree" not in messages(verify(EVIDENCE, CHALLENGE, REFERENCE, Policy()))


def test_a_policy_names_each_signature_that_is_missing_and_all_that_it_requires() -> None:
    policy = Policy(frozenset({ECDSA_P256, ML_DSA_65}))
    assert messages(verify(EVIDENCE, CHALLENGE, REFERENCE, policy))["signature algorithms"] == (
        "ml-dsa-65 is missing; the policy requires ecdsa-p256, ml-dsa-65, and nothing replaces it"
    )


@pytest.mark.parametrize(
    ("safe", "asked", "passed", "message"),
    [
        (True, True, True, "is safe"),
        (False, False, True, "is marked by the TPM as possibly set back; reset count and cycle do not depend on it"),
        (False, True, False, "the TPM marks its clock as possibly set back, and the policy asks for a safe one"),
    ],
)
def test_a_clock_that_may_be_set_back_is_refused_where_a_safe_one_is_asked_for(
    safe: bool, asked: bool, passed: bool, message: str
) -> None:
    verdict = verify(replace(ECDSA_NODE, safe=safe).evidence(), CHALLENGE, REFERENCE, Policy(safe_clock=asked))
    assert verdict.accepted == passed
    assert messages(verdict)["quote 1 clock"] == message


@pytest.mark.parametrize(
    ("after", "later"), [((6, 9, 9, 9), True), ((7, 2, 123456, 2), True), ((7, 2, 123457, 2), False)]
)
def test_freshness_says_what_was_compared(after: tuple[int, int, int, int], later: bool) -> None:
    verdict = verify(EVIDENCE, Challenge(NONCE, 3, (Position(*after),)), REFERENCE, Policy())
    assert verdict.accepted == later
    assert messages(verdict)["freshness"] == (
        f"{POSITION} is later than what was accepted for this AK before"
        if later
        else f"{POSITION} is not later than reset count 7, restart count 2, clock 123457 ms, cycle 2, accepted for this"
        " AK before"
    )


def test_measured_without_trust_anchors_is_accepted_where_the_list_says_so() -> None:
    node = replace(ECDSA_NODE, events=(*EVENTS[:3], *EVENTS[4:]))
    allowing = replace(REFERENCE, trust_anchors=REFERENCE.trust_anchors | {NO_TRUST_ANCHORS})
    verdict = verify(node.evidence(), CHALLENGE, allowing, Policy())
    assert verdict.accepted
    assert messages(verdict)["trust anchors"] == "none are measured, which is allowed"


def test_the_envelope_says_who_signed_and_whether_anybody_knows_them() -> None:
    public = ENVELOPE_KEY.public.hex()
    in_a_file = {key: Evidence.decode(EVIDENCE.encode(key)) for key in (None, ENVELOPE_KEY)}
    known = reference(envelope=True)
    others = replace(known, envelope_keys=frozenset({"02" + "11" * 32, "03" + "11" * 32}))
    asking = Policy(envelope=True)

    def said(evidence: Evidence, values: object, policy: Policy = Policy()) -> tuple[bool, str]:  # noqa: B008 - frozen
        verdict = verify(evidence, CHALLENGE, values, policy)  # type: ignore[arg-type]
        return verdict.accepted, messages(verdict)["envelope"]

    assert said(in_a_file[ENVELOPE_KEY], known) == (True, f"signed by {public}, which is known")
    assert said(in_a_file[ENVELOPE_KEY], REFERENCE) == (True, f"signed by {public}, which nobody vouches for")
    assert said(in_a_file[ENVELOPE_KEY], others) == (False, f"{public} is not one of the 2 known envelope keys")
    assert said(in_a_file[ENVELOPE_KEY], REFERENCE, asking) == (
        False,
        f"{public} is not one of the 0 known envelope keys",
    )
    assert said(in_a_file[None], REFERENCE) == (True, "none, and none is asked for")
    unsigned = (False, "the file is not signed; expected one signed by a known envelope key")
    assert said(in_a_file[None], known) == said(in_a_file[None], REFERENCE, asking) == unsigned
    no_file = (False, "the evidence did not come in a file; expected a file signed by a known envelope key")
    assert said(EVIDENCE, known) == said(EVIDENCE, REFERENCE, asking) == no_file
    assert "envelope" not in messages(verify(EVIDENCE, CHALLENGE, REFERENCE, Policy()))
