"""The envelope of an evidence file: COSE_Sign1 (RFC 9052) with ES256, by a key of the node.

It proves that a holder of that key packed exactly these bytes, but nothing about what ran: the TPM's signatures inside
do that. The protected header is `{1: -7, 4: key}`. The key identifier is the public key itself, so that even a verifier
that does not know the key detects a damaged file.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from enclave_sim.attestation.errors import EvidenceError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

PUBLIC_SIZE = 33
SIGNATURE_SIZE = 64
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256's base point
_MIN_SEED = 16
_PROTECTED_HEAD = bytes.fromhex("a2 01 26 04 58 21")  # {1: -7, 4: the 33 bytes that follow}


@dataclass(frozen=True, slots=True)
class EnvelopeKey:
    """A node's own P-256 key for evidence files. It proves who packed a file, but nothing about what ran."""

    secret: int
    """The private scalar, from 1 to the order of P-256 minus 1."""

    @classmethod
    def from_seed(cls, seed: bytes) -> "EnvelopeKey":
        """Derive a key from a seed. The same seed always gives the same key.

        Args:
            seed: At least 16 bytes.

        Returns:
            The key.

        Raises:
            EvidenceError: The seed is shorter.
        """
        if len(seed) < _MIN_SEED:
            raise EvidenceError(f"envelope key: a seed has at least {_MIN_SEED} bytes, not {len(seed)}")
        wide = b"".join(sha256(b"enclave-sim envelope key %d " % half + seed).digest() for half in (0, 1))
        return cls(int.from_bytes(wide, "big") % (_ORDER - 1) + 1)

    @property
    def public(self) -> bytes:
        """The public key as a compressed point (SEC 1), 33 bytes, as listed in reference values."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - slow to import

        return self._private_key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def sign(self, message: bytes) -> bytes:
        """Sign a message with ES256, deterministically (RFC 6979).

        Args:
            message: The bytes to sign.

        Returns:
            r and s, 32 bytes each.
        """
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - slow to import
        from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415

        scheme = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = utils.decode_dss_signature(self._private_key().sign(message, scheme))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _private_key(self) -> "EllipticCurvePrivateKey":
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - slow to import

        return ec.derive_private_key(self.secret, ec.SECP256R1())


def protected_header(public: bytes) -> bytes:
    """Encode the protected header."""
    return _PROTECTED_HEAD + public


def public_of(protected: bytes) -> bytes:
    """Return the key in a protected header. Raises EvidenceError for any other header."""
    if len(protected) != len(_PROTECTED_HEAD) + PUBLIC_SIZE or not protected.startswith(_PROTECTED_HEAD):
        right = "expected {1: -7 (ES256), 4: the envelope key as a compressed point} and nothing else"
        raise EvidenceError(f"evidence file: the protected header is {protected[:16].hex()}...; {right}")
    return protected[len(_PROTECTED_HEAD) :]


def signed_bytes(protected: bytes, payload: bytes) -> bytes:
    """Encode the Sig_structure of a COSE_Sign1, the signed bytes."""
    import cbor2  # noqa: PLC0415 - only reading and writing files needs it

    return cbor2.dumps(["Signature1", protected, b"", payload])


def check_envelope(public: bytes, message: bytes, signature: bytes) -> None:
    """Raise EvidenceError unless the owner of the key has signed the message."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415

    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except ValueError:
        raise EvidenceError("the envelope's key is not a point of P-256") from None
    except InvalidSignature:
        raise EvidenceError("the envelope's signature is not one over this file by the key it names") from None
