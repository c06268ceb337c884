"""A node for tests: a boot's measurements, attestation keys, and quotes like a TPM's, without a TPM."""

from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from enclave_sim.attestation import NO_TRUST_ANCHORS, EnvelopeKey, Evidence, ReferenceValues, SignedQuote, key_name
from enclave_sim.attestation.formats.event_log import EV_ACTION, EV_IPL, EventLog, PcrEvent
from enclave_sim.attestation.formats.public_area import AK_ATTRIBUTES, EccPoint, PublicArea, qualified_name
from enclave_sim.attestation.formats.quote import QUOTED_PCRS, ClockInfo, PcrSelection, Quote
from enclave_sim.attestation.formats.signature import EcdsaSignature, MlDsaSignature

ENVELOPE_KEY = EnvelopeKey.from_seed(b"envelope of a test node")
_MEASURED = [
    PcrEvent.measured(9, EV_IPL, sha256(b"kernel").digest(), b"kernel image"),
    PcrEvent.measured(8, EV_IPL, sha256(b"loader").digest(), b"loader information"),
    PcrEvent.measured(10, EV_IPL, sha256(b"quiet").digest(), b"quiet"),
    PcrEvent.measured(11, EV_IPL, sha256(b"payload").digest(), b"payload 0"),
    PcrEvent.measured(13, EV_ACTION, sha256(b"AETHER ACTIVE").digest(), b"AETHER ACTIVE"),
]
LOG = EventLog(tuple(_MEASURED))


class AttestationKey(Protocol):
    @property
    def public(self) -> bytes: ...

    def sign(self, attest: bytes) -> bytes: ...


@dataclass(frozen=True)
class P256Key:
    secret: int

    @property
    def public(self) -> bytes:
        numbers = self._key().public_key().public_numbers()
        point = EccPoint(numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))
        return PublicArea(AK_ATTRIBUTES, b"", point).encode()

    def sign(self, attest: bytes) -> bytes:
        r, s = utils.decode_dss_signature(self._key().sign(attest, ec.ECDSA(hashes.SHA256())))
        return EcdsaSignature(r.to_bytes(32, "big"), s.to_bytes(32, "big")).encode()

    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self.secret, ec.SECP256R1())


@dataclass(frozen=True)
class MlDsaKey:
    seed: bytes

    @property
    def public(self) -> bytes:
        return PublicArea(AK_ATTRIBUTES, b"", self._key().public_key().public_bytes_raw()).encode()

    def sign(self, attest: bytes) -> bytes:
        return MlDsaSignature(self._key().sign(attest)).encode()

    def _key(self) -> MLDSA65PrivateKey:
        return MLDSA65PrivateKey.from_seed_bytes(self.seed)


@dataclass(frozen=True)
class Node:
    """A node whose TPM has been reset so many times."""

    reset_count: int = 3
    clock: int = 1000
    restart_count: int = 0
    keys: tuple[AttestationKey, ...] = field(default=(P256Key(7001),))

    @property
    def ak_name(self) -> bytes:
        return key_name(self.keys[0].public)

    def evidence(self, nonce: bytes, cycle: int = 0) -> bytes:
        """The evidence file for a challenge."""
        quotes = tuple(self._quote(key, nonce + cycle.to_bytes(4, "big")) for key in self.keys)
        return Evidence(nonce, cycle, quotes, LOG.encode()).encode(ENVELOPE_KEY)

    def _quote(self, key: AttestationKey, extra_data: bytes) -> SignedQuote:
        attest = Quote(
            qualified_signer=qualified_name(key_name(key.public)),
            extra_data=extra_data,
            clock_info=ClockInfo(self.clock, self.reset_count, self.restart_count, safe=True),
            firmware_version=1,
            selections=(PcrSelection.of(QUOTED_PCRS),),
            pcr_digest=sha256(LOG.pcr_values(QUOTED_PCRS)).digest(),
        ).encode()
        return SignedQuote(attest, key.sign(attest), key.public)


OTHER_KEYS = (P256Key(7002),)
BOTH_KEYS = (P256Key(7001), MlDsaKey(bytes(32)))


@cache
def reference_values() -> ReferenceValues:
    """Reference values that allow all nodes of this module."""
    digests = [event.digest.hex() for event in LOG.events]
    keys = (*BOTH_KEYS, *OTHER_KEYS)
    return ReferenceValues(
        firmware=frozenset(digests[:1]),
        loader_information=frozenset(digests[1:2]),
        configurations=frozenset(digests[2:3]),
        payloads=frozenset(digests[3:4]),
        trust_anchors=frozenset({NO_TRUST_ANCHORS}),
        ak_names=frozenset(key_name(key.public).hex() for key in keys),
    )
