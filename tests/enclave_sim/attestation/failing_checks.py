"""Evidence that fails one check each, with the check's message: what was found, and what would be right."""

from collections.abc import Callable
from dataclasses import replace

from enclave_sim.attestation import (
    NO_TRUST_ANCHORS,
    Evidence,
    SignedQuote,
)
from enclave_sim.attestation.formats.event_log import EventLog, SpecIdEvent
from enclave_sim.attestation.formats.public_area import TPM_RH_OWNER
from enclave_sim.attestation.formats.quote import PcrSelection, attest_head
from tests.enclave_sim.attestation.nodes import (
    AKS,
    CAP,
    COMMAND_LINE,
    ECDSA_NODE,
    EVENTS,
    HONEST,
    NONCE,
    Ak,
    Node,
    digest,
    ecdsa_ak,
    payload,
    with_head,
    with_quote,
)

EVIDENCE = ECDSA_NODE.evidence()
QUOTE = EVIDENCE.quotes[0]
OTHER = digest("other").hex()


def hexed(text: str) -> str:
    return digest(text).hex()


def signed(attest: bytes, ak: Ak = AKS[0]) -> Evidence:
    return with_quote(EVIDENCE, 0, SignedQuote(attest, ak.sign(attest), ak.public))


def with_log(*events: object) -> Evidence:
    return replace(EVIDENCE, event_log=EventLog(events).encode())  # type: ignore[arg-type]


def keyed(ak: Ak) -> Evidence:
    return Node(aks=(ak,)).evidence()


RIGHT_ORDER = "expected PCR 8, type 13, 'loader information'"
CASES: dict[str, tuple[Callable[[], Evidence], str, str]] = {
    "no magic": (
        lambda: signed(with_head(QUOTE.attest, magic=b"\0\1\2\3")),
        "quote 1 magic",
        "is 00010203, so no TPM has made this; expected ff544347 (TPM_GENERATED_VALUE)",
    ),
    "no attest": (
        lambda: signed(b""),
        "quote 1 magic",
        "is nothing, so no TPM has made this; expected ff544347 (TPM_GENERATED_VALUE)",
    ),
    "another type": (
        lambda: signed(with_head(QUOTE.attest, kind=0x8017)),
        "quote 1 type",
        "is 8017; expected 8018 (TPM_ST_ATTEST_QUOTE)",
    ),
    "no type": (
        lambda: signed(attest_head(QUOTE.attest)[0]),
        "quote 1 type",
        "is nothing; expected 8018 (TPM_ST_ATTEST_QUOTE)",
    ),
    "attributes": (
        lambda: keyed(ecdsa_ak(attributes=0x50476)),
        "quote 1 AK attributes",
        "are 0x00050476; expected 0x00050472: a restricted signing key that never left its TPM",
    ),
    "a policy": (
        lambda: keyed(ecdsa_ak(policy=bytes(32))),
        "quote 1 AK attributes",
        "the key has an authorization policy; expected an empty one",
    ),
    "another key": (
        lambda: keyed(ecdsa_ak(6)),
        "quote 1 AK known",
        f"{ecdsa_ak(6).name.hex()} is not the Name of one of the 2 known AKs",
    ),
    "the owner hierarchy": (
        lambda: replace(ECDSA_NODE, hierarchy=TPM_RH_OWNER).evidence(),
        "quote 1 qualified name",
        "is that of this AK in the owner hierarchy; expected that of this AK as a primary key of the endorsement "
        "hierarchy",
    ),
    "another hierarchy": (
        lambda: replace(ECDSA_NODE, hierarchy=0x4000_000C).evidence(),
        "quote 1 qualified name",
        "is that of another key; expected that of this AK as a primary key of the endorsement hierarchy",
    ),
    "another selection": (
        lambda: replace(ECDSA_NODE, selections=(PcrSelection.of((8, 9), 4), PcrSelection.of((0,)))).evidence(),
        "quote 1 PCR selection",
        "is 0x0004: [8, 9]; 0x000b: [0]; expected 0x000b (SHA-256): [8, 9, 10, 11, 12, 13] and nothing else",
    ),
    "no selection": (
        lambda: replace(ECDSA_NODE, selections=()).evidence(),
        "quote 1 PCR selection",
        "is nothing; expected 0x000b (SHA-256): [8, 9, 10, 11, 12, 13] and nothing else",
    ),
    "another log": (
        lambda: with_log(*EVENTS[:-1]),
        "quote 1 PCR digest",
        "is not that of the replayed event log: the log is not what this TPM has measured",
    ),
    "another nonce signed": (
        lambda: replace(replace(ECDSA_NODE, nonce=bytes(32)).evidence(), nonce=NONCE),
        "quote 1 extra data",
        f"the TPM was given {'00' * 32}00000003 to sign; expected the challenge's nonce and cycle",
    ),
    "another nonce": (
        lambda: replace(EVIDENCE, nonce=bytes(31)),
        "nonce",
        f"is {'00' * 31}; expected the challenge's {NONCE.hex()}",
    ),
    "no nonce": (lambda: replace(EVIDENCE, nonce=b""), "nonce", f"is nothing; expected the challenge's {NONCE.hex()}"),
    "another cycle": (lambda: replace(EVIDENCE, cycle=4), "cycle", "is 4; expected the challenge's 3"),
    "no quotes": (lambda: replace(EVIDENCE, quotes=()), "number of quotes", "is 0; expected 1 to 4"),
    "five quotes": (lambda: replace(EVIDENCE, quotes=(QUOTE,) * 5), "number of quotes", "is 5; expected 1 to 4"),
    "one algorithm twice": (
        lambda: replace(EVIDENCE, quotes=(QUOTE,) * 2),
        "signature algorithms",
        "are ecdsa-p256, ecdsa-p256; expected one quote for each algorithm",
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
        "event 2 is missing; expected PCR 10, type 13, the command line",
    ),
    "a long event of any bytes": (
        lambda: with_log(EVENTS[0], EVENTS[1]._replace(data=b"\xe9" + b"x" * 60)),
        "event order",
        f"event 1 is PCR 8, type 13, '\\xe9{'x' * 39}'; {RIGHT_ORDER}",
    ),
    "one payload and nothing more": (
        lambda: with_log(*EVENTS[:5]),
        "event order",
        "event 5 is missing; expected PCR 13, type 5, 'AETHER ACTIVE'",
    ),
    "no payload, and no trust anchors": (
        lambda: with_log(*EVENTS[:3], EVENTS[-1]),
        "event order",
        "event 3 is PCR 13, type 5, 'AETHER ACTIVE'; expected PCR 11, type 13, 'payload 0'",
    ),
    "the second payload first": (
        lambda: with_log(*EVENTS[:4], EVENTS[5], EVENTS[4], EVENTS[6]),
        "event order",
        "event 4 is PCR 11, type 13, 'payload 1'; expected PCR 11, type 13, 'payload 0'",
    ),
    "another header": (
        lambda: replace(EVIDENCE, event_log=EventLog(EVENTS, SpecIdEvent(platform_class=1)).encode()),
        "event log header",
        f"the Spec ID event is {SpecIdEvent(platform_class=1)}; expected {SpecIdEvent()}",
    ),
    "a cap": (
        lambda: with_log(*EVENTS, CAP),
        "not annihilated",
        "event 7 is the cap: the enclave had been annihilated when this was quoted",
    ),
    "another kernel": (
        lambda: with_log(EVENTS[0]._replace(digests=((0x000B, digest("other")),)), *EVENTS[1:]),
        "kernel image",
        f"{OTHER} is not on the allow list of 1",
    ),
    "a digest that is not that of its data": (
        lambda: with_log(*EVENTS[:2], EVENTS[2]._replace(digests=((0x000B, digest("other")),)), *EVENTS[3:]),
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
        lambda: with_quote(EVIDENCE, 0, QUOTE._replace(public=b"")),
        "quote 1 qualified name",
        "not checked, because the check 'quote 1 AK' failed",
    ),
    "no AK to sign": (
        lambda: with_quote(HONEST.evidence(), 1, QUOTE._replace(public=b"")),
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
