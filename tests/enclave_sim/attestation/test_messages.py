"""What each check says, word for word: what was found, what would be right, and what it looked at."""

from collections.abc import Callable
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
    SignedQuote,
    Verdict,
    verify,
)
from enclave_sim.attestation.formats.event_log import EventLog, Header
from enclave_sim.attestation.formats.public_area import TPM_RH_OWNER
from enclave_sim.attestation.formats.quote import PcrSelection, attest_head
from tests.enclave_sim.attestation.nodes import (
    AKS,
    CAP,
    CHALLENGE,
    COMMAND_LINE,
    ECDSA_NODE,
    ENVELOPE_KEY,
    EVENTS,
    HONEST,
    NONCE,
    REFERENCE,
    Ak,
    Node,
    digest,
    ecdsa_ak,
    payload,
    reference,
    with_head,
    with_quote,
)

EVIDENCE = ECDSA_NODE.evidence()
QUOTE = EVIDENCE.quotes[0]
OTHER = digest("other").hex()


def messages(verdict: Verdict) -> dict[str, str]:
    return {check.name: check.message for check in verdict.checks}


def hexed(text: str) -> str:
    return digest(text).hex()


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
        "event log header": "Spec ID event of a log of the SHA-256 bank alone",
        "not annihilated": "no cap in the log",
        "event order": "every event stands where it must",
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
        "freshness": "reset count 7; nothing was accepted for this AK before",
    }
    assert messages(verdict) == wanted


def signed(attest: bytes, ak: Ak = AKS[0]) -> Evidence:
    return with_quote(EVIDENCE, 0, SignedQuote(attest, ak.sign(attest), ak.public))


def with_log(*events: object) -> Evidence:
    return replace(EVIDENCE, event_log=EventLog(events).encode())  # type: ignore[arg-type]


def keyed(ak: Ak) -> Evidence:
    return Node(aks=(ak,)).evidence()


RIGHT_ORDER = "right is PCR 8, type 13, 'loader information'"
CASES: dict[str, tuple[Callable[[], Evidence], str, str]] = {
    "no magic": (
        lambda: signed(with_head(QUOTE.attest, magic=b"\0\1\2\3")),
        "quote 1 magic",
        "is 00010203, so no TPM has made this; right is ff544347 (TPM_GENERATED_VALUE)",
    ),
    "no attest": (
        lambda: signed(b""),
        "quote 1 magic",
        "is nothing, so no TPM has made this; right is ff544347 (TPM_GENERATED_VALUE)",
    ),
    "another type": (
        lambda: signed(with_head(QUOTE.attest, kind=0x8017)),
        "quote 1 type",
        "is 8017; right is 8018 (TPM_ST_ATTEST_QUOTE)",
    ),
    "no type": (
        lambda: signed(attest_head(QUOTE.attest)[0]),
        "quote 1 type",
        "is nothing; right is 8018 (TPM_ST_ATTEST_QUOTE)",
    ),
    "attributes": (
        lambda: keyed(ecdsa_ak(attributes=0x50476)),
        "quote 1 AK attributes",
        "are 0x00050476; right is 0x00050472: a restricted signing key that never left its TPM",
    ),
    "a policy": (
        lambda: keyed(ecdsa_ak(policy=bytes(32))),
        "quote 1 AK attributes",
        "the key has an authorization policy; right is an empty one",
    ),
    "another key": (
        lambda: keyed(ecdsa_ak(6)),
        "quote 1 AK known",
        f"{ecdsa_ak(6).name.hex()} is not the Name of one of the 2 known AKs",
    ),
    "the owner hierarchy": (
        lambda: replace(ECDSA_NODE, hierarchy=TPM_RH_OWNER).evidence(),
        "quote 1 qualified name",
        "is that of this AK in the owner hierarchy; right is that of this AK as a primary key of the endorsement "
        "hierarchy",
    ),
    "another hierarchy": (
        lambda: replace(ECDSA_NODE, hierarchy=0x4000_000C).evidence(),
        "quote 1 qualified name",
        "is that of another key; right is that of this AK as a primary key of the endorsement hierarchy",
    ),
    "another selection": (
        lambda: replace(ECDSA_NODE, selections=(PcrSelection.of((8, 9), 4), PcrSelection.of((0,)))).evidence(),
        "quote 1 PCR selection",
        "is 0x0004: [8, 9]; 0x000b: [0]; right is 0x000b (SHA-256): [8, 9, 10, 11, 12, 13] and nothing else",
    ),
    "no selection": (
        lambda: replace(ECDSA_NODE, selections=()).evidence(),
        "quote 1 PCR selection",
        "is nothing; right is 0x000b (SHA-256): [8, 9, 10, 11, 12, 13] and nothing else",
    ),
    "another log": (
        lambda: with_log(*EVENTS[:-1]),
        "quote 1 PCR digest",
        "is not that of the replayed event log: the log is not what this TPM has measured",
    ),
    "another nonce signed": (
        lambda: replace(replace(ECDSA_NODE, nonce=bytes(32)).evidence(), nonce=NONCE),
        "quote 1 extra data",
        f"the TPM was given {'00' * 32}00000003 to sign; right are the challenge's nonce and cycle",
    ),
    "another nonce": (
        lambda: replace(EVIDENCE, nonce=bytes(31)),
        "nonce",
        f"is {'00' * 31}; right is the challenge's {NONCE.hex()}",
    ),
    "no nonce": (lambda: replace(EVIDENCE, nonce=b""), "nonce", f"is nothing; right is the challenge's {NONCE.hex()}"),
    "another cycle": (lambda: replace(EVIDENCE, cycle=4), "cycle", "is 4; right is the challenge's 3"),
    "no quotes": (lambda: replace(EVIDENCE, quotes=()), "number of quotes", "is 0; right are 1 to 4"),
    "five quotes": (lambda: replace(EVIDENCE, quotes=(QUOTE,) * 5), "number of quotes", "is 5; right are 1 to 4"),
    "one algorithm twice": (
        lambda: replace(EVIDENCE, quotes=(QUOTE,) * 2),
        "signature algorithms",
        "are ecdsa-p256, ecdsa-p256; right is one quote for each algorithm",
    ),
    "the other algorithm": (
        lambda: Node(aks=AKS[1:]).evidence(),
        "signature algorithms",
        "ecdsa-p256 is missing; the policy requires ecdsa-p256, and nothing replaces it",
    ),
    "an event missing": (
        lambda: with_log(EVENTS[0]),
        "event order",
        f"event 1 is missing; {RIGHT_ORDER}",
    ),
    "another event": (
        lambda: with_log(EVENTS[0], EVENTS[2]),
        "event order",
        f"event 1 is PCR 10, type 13, '{COMMAND_LINE.decode()}'; {RIGHT_ORDER}",
    ),
    "no command line": (
        lambda: with_log(*EVENTS[:2]),
        "event order",
        "event 2 is missing; right is PCR 10, type 13, the command line",
    ),
    "a long event of any bytes": (
        lambda: with_log(EVENTS[0], replace(EVENTS[1], data=b"\xe9" + b"x" * 60)),
        "event order",
        f"event 1 is PCR 8, type 13, '\\xe9{'x' * 39}'; {RIGHT_ORDER}",
    ),
    "one payload and nothing more": (
        lambda: with_log(*EVENTS[:5]),
        "event order",
        "event 5 is missing; right is PCR 13, type 5, 'AETHER ACTIVE'",
    ),
    "no payload, and no trust anchors": (
        lambda: with_log(*EVENTS[:3], EVENTS[-1]),
        "event order",
        "event 3 is PCR 13, type 5, 'AETHER ACTIVE'; right is PCR 11, type 13, 'payload 0'",
    ),
    "the second payload first": (
        lambda: with_log(*EVENTS[:4], EVENTS[5], EVENTS[4], EVENTS[6]),
        "event order",
        "event 4 is PCR 11, type 13, 'payload 1'; right is PCR 11, type 13, 'payload 0'",
    ),
    "another header": (
        lambda: replace(EVIDENCE, event_log=EventLog(EVENTS, Header(platform_class=1)).encode()),
        "event log header",
        f"the Spec ID event is {Header(platform_class=1)}; right is {Header()}",
    ),
    "a cap": (
        lambda: with_log(*EVENTS, CAP),
        "not annihilated",
        "event 7 is the cap: the enclave had been annihilated when this was quoted",
    ),
    "another kernel": (
        lambda: with_log(replace(EVENTS[0], digests=((0x000B, digest("other")),)), *EVENTS[1:]),
        "kernel image",
        f"{OTHER} is not on the allow list of 1",
    ),
    "a digest that is not that of its data": (
        lambda: with_log(*EVENTS[:2], replace(EVENTS[2], digests=((0x000B, digest("other")),)), *EVENTS[3:]),
        "configuration data",
        f"the digest {OTHER} is not that of the event's data",
    ),
    "another payload": (
        lambda: with_log(*EVENTS[:5], payload(1, "other"), EVENTS[6]),
        "payloads",
        f"payload 1: {OTHER} is not on the allow list of 2",
    ),
    "no trust anchors": (
        lambda: with_log(*EVENTS[:3], *EVENTS[4:]),
        "trust anchors",
        f"none are measured; an allow list with {NO_TRUST_ANCHORS!r} in it would let that pass",
    ),
    "a log that cannot be read": (
        lambda: replace(EVIDENCE, event_log=b""),
        "event order",
        "not checked, because the check 'event log' failed",
    ),
    "an order that is none": (
        lambda: with_log(EVENTS[0]),
        "payloads",
        "not checked, because the check 'event order' failed",
    ),
    "no log to replay": (
        lambda: replace(EVIDENCE, event_log=b""),
        "quote 1 PCR digest",
        "not checked, because the check 'event log' failed",
    ),
    "no attest to replay": (
        lambda: signed(b""),
        "quote 1 PCR digest",
        "not checked, because the check 'quote 1 attest' failed",
    ),
    "no attest to name a signer": (
        lambda: signed(b""),
        "quote 1 qualified name",
        "not checked, because the check 'quote 1 attest' failed",
    ),
    "no AK to name a signer": (
        lambda: with_quote(EVIDENCE, 0, replace(QUOTE, public=b"")),
        "quote 1 qualified name",
        "not checked, because the check 'quote 1 AK' failed",
    ),
    "no AK to sign": (
        lambda: with_quote(HONEST.evidence(), 1, replace(QUOTE, public=b"")),
        "signature algorithms",
        "not checked, because the check 'quote 2 AK' failed",
    ),
    "no quote that is fresh": (
        lambda: replace(EVIDENCE, quotes=()),
        "freshness",
        "not checked, because the check 'number of quotes' failed",
    ),
    "no first attest": (
        lambda: signed(b""),
        "freshness",
        "not checked, because the check 'quote 1 attest' failed",
    ),
}


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
    ("after", "later"), [((6, 9), True), ((7, 2), True), ((7, 3), False), ((7, 4), False), ((8, 0), False)]
)
def test_freshness_compares_reset_count_and_then_cycle(after: tuple[int, int], later: bool) -> None:
    verdict = verify(EVIDENCE, Challenge(NONCE, 3, after), REFERENCE, Policy())
    assert verdict.accepted == later
    assert messages(verdict)["freshness"] == (
        "reset count 7, cycle 3 is later than what was accepted for this AK before"
        if later
        else f"reset count 7, cycle 3 is not later than reset count {after[0]}, cycle {after[1]}, accepted for this AK "
        "before"
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
    unsigned = (False, "nobody signed the file; right is one signed by a known envelope key")
    assert said(in_a_file[None], known) == said(in_a_file[None], REFERENCE, asking) == unsigned
    no_file = (False, "the evidence came in no file; right is a file signed by a known envelope key")
    assert said(EVIDENCE, known) == said(EVIDENCE, REFERENCE, asking) == no_file
    assert "envelope" not in messages(verify(EVIDENCE, CHALLENGE, REFERENCE, Policy()))
