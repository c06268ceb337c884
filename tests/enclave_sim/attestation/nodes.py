"""Nodes that are not emulated: genuine evidence made with `cryptography` keys, and ways to forge it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave_sim.attestation import (
    ECDSA_P256,
    ML_DSA_65,
    Challenge,
    EnvelopeKey,
    Evidence,
    EvidenceError,
    Policy,
    ReferenceValues,
    SignedQuote,
    Verdict,
    key_name,
    verify,
)
from enclave_sim.attestation.formats.algorithms import TPM_ALG_ECDSA, TPM_ALG_SHA256
from enclave_sim.attestation.formats.event_log import EV_ACTION, EV_IPL, EventLog, PcrEvent
from enclave_sim.attestation.formats.public_area import (
    AK_ATTRIBUTES,
    TPM_RH_ENDORSEMENT,
    EccPoint,
    PublicArea,
    qualified_name,
)
from enclave_sim.attestation.formats.quote import QUOTED_PCRS, ClockInfo, PcrSelection, Quote, attest_head
from enclave_sim.attestation.formats.signature import EcdsaSignature, MlDsaSignature

NONCE = bytes(range(32))
CYCLE = 3
RESET_COUNT = 7
RESTART_COUNT = 2
CLOCK = 123456
ENVELOPE_KEY = EnvelopeKey.from_seed(b"a node's envelope key")
COMMAND_LINE = b"cycles=4 seed=1"
CHALLENGE = Challenge(NONCE, CYCLE)
BOTH = Policy(frozenset({ECDSA_P256, ML_DSA_65}))


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def action(data: bytes) -> PcrEvent:
    return PcrEvent.measured(13, EV_ACTION, sha256(data).digest(), data)


def payload(index: int, text: str | None = None) -> PcrEvent:
    return PcrEvent.measured(11, EV_IPL, digest(text or f"module {index}"), b"payload %d" % index)


EVENTS = (
    PcrEvent.measured(9, EV_IPL, digest("kernel"), b"kernel image"),
    PcrEvent.measured(8, EV_IPL, digest("loader"), b"loader information"),
    PcrEvent.measured(10, EV_IPL, sha256(COMMAND_LINE).digest(), COMMAND_LINE),
    PcrEvent.measured(12, EV_IPL, digest("anchors"), b"trust anchors"),
    payload(0),
    payload(1),
    action(b"AETHER ACTIVE"),
)
CAP = action(b"AETHER ANNIHILATED")


@dataclass(frozen=True)
class Ak:
    """An attestation key outside any TPM."""

    area: PublicArea
    sign: Callable[[bytes], bytes]

    @property
    def public(self) -> bytes:
        return self.area.encode()

    @property
    def name(self) -> bytes:
        return key_name(self.public)


@cache
def ecdsa_ak(secret: int = 5, attributes: int = AK_ATTRIBUTES, policy: bytes = b"") -> Ak:
    key = ec.derive_private_key(secret, ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    point = EccPoint(numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))

    def sign(message: bytes) -> bytes:
        scheme = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = utils.decode_dss_signature(key.sign(message, scheme))
        return EcdsaSignature(r.to_bytes(32, "big"), s.to_bytes(32, "big")).encode()

    return Ak(PublicArea(attributes, policy, point), sign)


@cache
def ml_dsa_ak(secret: int = 5, attributes: int = AK_ATTRIBUTES) -> Ak:
    key = mldsa.MLDSA65PrivateKey.from_seed_bytes(bytes([secret]) * 32)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Ak(PublicArea(attributes, b"", public), lambda message: MlDsaSignature(key.sign(message)).encode())


AKS = (ecdsa_ak(), ml_dsa_ak())


def pcr_digest(events: tuple[PcrEvent, ...]) -> bytes:
    return sha256(EventLog(events).pcr_values(QUOTED_PCRS)).digest()


@dataclass(frozen=True)
class Node:
    """A node's configuration; every field can be made wrong."""

    aks: tuple[Ak, ...] = AKS
    events: tuple[PcrEvent, ...] = EVENTS  # as measured into the TPM
    log: tuple[PcrEvent, ...] | None = None  # as shown; None: as measured
    nonce: bytes = NONCE
    cycle: int = CYCLE
    reset_count: int = RESET_COUNT
    hierarchy: int = TPM_RH_ENDORSEMENT
    selections: tuple[PcrSelection, ...] = (PcrSelection.of(QUOTED_PCRS),)
    safe: bool = True

    def quote(self, ak: Ak) -> Quote:
        extra_data = self.nonce + self.cycle.to_bytes(4, "big")
        clock = ClockInfo(CLOCK, self.reset_count, RESTART_COUNT, self.safe)
        signer = qualified_name(ak.name, self.hierarchy)
        return Quote(signer, extra_data, clock, 0x2023_0001_0002_0003, self.selections, pcr_digest(self.events))

    def signed(self, ak: Ak) -> SignedQuote:
        attest = self.quote(ak).encode()
        return SignedQuote(attest, ak.sign(attest), ak.public)

    def evidence(self) -> Evidence:
        log = EventLog(self.events if self.log is None else self.log)
        return Evidence(self.nonce, self.cycle, tuple(self.signed(ak) for ak in self.aks), log.encode())


def reference(*aks: Ak, envelope: bool = False) -> ReferenceValues:
    """Reference values of a verifier that knows the honest node."""
    return ReferenceValues(
        firmware=frozenset({digest("kernel").hex()}),
        loader_information=frozenset({digest("loader").hex()}),
        configurations=frozenset({sha256(COMMAND_LINE).hexdigest()}),
        payloads=frozenset({digest("module 0").hex(), digest("module 1").hex()}),
        trust_anchors=frozenset({digest("anchors").hex()}),
        ak_names=frozenset(ak.name.hex() for ak in aks or AKS),
        envelope_keys=frozenset({ENVELOPE_KEY.public.hex()} if envelope else ()),
    )


REFERENCE = reference()
ECDSA_NODE = Node(aks=AKS[:1])
HONEST = Node()


def with_head(attest: bytes, *, magic: bytes | None = None, kind: int | None = None) -> bytes:
    """An attest with another magic or type."""
    its_magic, its_kind = attest_head(attest)
    changed = its_kind if kind is None else kind.to_bytes(2, "big")
    return (its_magic if magic is None else magic) + changed + attest.removeprefix(its_magic + its_kind)


def with_hash(signature: bytes, algorithm: int) -> bytes:
    """An ECDSA signature (TPMT_SIGNATURE) that claims another hash."""
    scheme, right = TPM_ALG_ECDSA.to_bytes(2, "big"), TPM_ALG_SHA256.to_bytes(2, "big")
    assert signature.startswith(scheme + right)
    return scheme + algorithm.to_bytes(2, "big") + signature.removeprefix(scheme + right)


def with_quote(evidence: Evidence, index: int, quote: SignedQuote) -> Evidence:
    quotes = evidence.quotes
    return replace(evidence, quotes=(*quotes[:index], quote, *quotes[index + 1 :]))


def judge(evidence: Evidence, challenge: Challenge = CHALLENGE, policy: Policy | None = None) -> Verdict:
    return verify(evidence, challenge, REFERENCE, policy or Policy())


def refused(verdict: Verdict) -> list[str]:
    """The names of the failed checks of a verdict that must not be accepted."""
    assert not verdict.accepted
    return [check.name for check in verdict.failures]


def error_of(function: Callable[..., object], *arguments: object) -> str:
    """The text of the EvidenceError that a call raises, or nothing; any other exception fails the test."""
    try:
        function(*arguments)
    except EvidenceError as error:
        return str(error)
    return ""
