"""TPM2B_PUBLIC of an attestation key (TPM 2.0 library part 2, 12.2), its Name and its qualified name."""

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from enclave_sim.attestation.errors import EvidenceError
from enclave_sim.attestation.formats.algorithms import (
    ECDSA_P256,
    ML_DSA_65,
    TPM_ALG_ECC,
    TPM_ALG_ECDSA,
    TPM_ALG_MLDSA,
    TPM_ALG_NULL,
    TPM_ALG_SHA256,
    TPM_ECC_NIST_P256,
    TPM_MLDSA_65,
)
from enclave_sim.attestation.formats.reader import Reader, sized, unsized

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

AK_ATTRIBUTES = 0x00050472  # fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA restricted sign
TPM_RH_OWNER = 0x40000001
TPM_RH_ENDORSEMENT = 0x4000000B
ML_DSA_65_KEY_SIZE = 1952
_MAX_POLICY_BYTES = 64


class EccPoint(NamedTuple):
    """A point on P-256. A coordinate has 1 to 32 bytes, because a TPM may omit leading zeros."""

    x: bytes
    y: bytes


class PublicArea(NamedTuple):
    """TPMT_PUBLIC with nameAlg SHA-256: of a P-256 key for ECDSA with SHA-256, or of an ML-DSA-65 key."""

    attributes: int  # TPMA_OBJECT
    policy: bytes  # authPolicy
    key: EccPoint | bytes  # bytes: an encoded ML-DSA-65 public key

    @property
    def algorithm(self) -> str:
        """`ECDSA_P256` or `ML_DSA_65`."""
        return ECDSA_P256 if isinstance(self.key, EccPoint) else ML_DSA_65

    def encode(self) -> bytes:
        """Encode as TPM2B_PUBLIC."""
        if isinstance(self.key, EccPoint):
            kind = TPM_ALG_ECC
            parameters = (TPM_ALG_NULL, TPM_ALG_ECDSA, TPM_ALG_SHA256, TPM_ECC_NIST_P256, TPM_ALG_NULL)
            rest = b"".join(word.to_bytes(2, "big") for word in parameters) + sized(self.key.x) + sized(self.key.y)
        else:
            kind = TPM_ALG_MLDSA
            rest = TPM_MLDSA_65.to_bytes(2, "big") + b"\0" + sized(self.key)
        head = kind.to_bytes(2, "big") + TPM_ALG_SHA256.to_bytes(2, "big") + self.attributes.to_bytes(4, "big")
        return sized(head + sized(self.policy) + rest)


def parse_public(data: bytes) -> PublicArea:
    """Decode a TPM2B_PUBLIC of either kind of key. Raises EvidenceError for any other or trailing bytes."""
    reader = Reader("TPM2B_PUBLIC", data)
    size = reader.number(2, "size")
    if size != len(data) - 2:
        raise reader.error("size", 0, f"is {size}", f"{len(data) - 2} bytes follow")
    kind = reader.number(2, "type")
    if kind not in (TPM_ALG_ECC, TPM_ALG_MLDSA):
        right = "expected 0x0023 (TPM_ALG_ECC) or 0x00a1 (TPM_ALG_MLDSA)"
        raise reader.error("type", 2, f"is 0x{kind:04x}", right)
    reader.expect(2, TPM_ALG_SHA256, "nameAlg", "TPM_ALG_SHA256")
    attributes = reader.number(4, "objectAttributes")
    policy = reader.sized("authPolicy", 0, _MAX_POLICY_BYTES)
    key = _ecc_key(reader) if kind == TPM_ALG_ECC else _ml_dsa_key(reader)
    reader.end()
    return PublicArea(attributes, policy, key)


def _ecc_key(reader: Reader) -> EccPoint:
    reader.expect(2, TPM_ALG_NULL, "parameters.symmetric", "TPM_ALG_NULL")
    reader.expect(2, TPM_ALG_ECDSA, "parameters.scheme", "TPM_ALG_ECDSA")
    reader.expect(2, TPM_ALG_SHA256, "parameters.scheme.hashAlg", "TPM_ALG_SHA256")
    reader.expect(2, TPM_ECC_NIST_P256, "parameters.curveID", "TPM_ECC_NIST_P256")
    reader.expect(2, TPM_ALG_NULL, "parameters.kdf", "TPM_ALG_NULL")
    return EccPoint(reader.sized("unique.x", 1, 32), reader.sized("unique.y", 1, 32))


def _ml_dsa_key(reader: Reader) -> bytes:
    reader.expect(2, TPM_MLDSA_65, "parameters.parameterSet", "TPM_MLDSA_65")
    # A key that signs an external mu could be made to sign something that looks like a quote.
    reader.expect(1, 0, "parameters.allowExternalMu", "NO")
    return reader.sized("unique", ML_DSA_65_KEY_SIZE, ML_DSA_65_KEY_SIZE)


def key_name(public: bytes) -> bytes:
    """Compute the Name of a key: nameAlg and the digest of its TPMT_PUBLIC.

    Args:
        public: TPM2B_PUBLIC of an attestation key.

    Returns:
        The Name, 34 bytes.

    Raises:
        EvidenceError: It is not a public area of such a key.
    """
    parse_public(public)
    return _digest(unsized(public))


def qualified_name(name: bytes, hierarchy: int = TPM_RH_ENDORSEMENT) -> bytes:
    """Compute the qualified name of a primary key, 34 bytes: nameAlg and the digest of hierarchy and Name."""
    return _digest(hierarchy.to_bytes(4, "big") + name)


def _digest(data: bytes) -> bytes:
    return TPM_ALG_SHA256.to_bytes(2, "big") + sha256(data).digest()


def public_key(area: PublicArea) -> "EllipticCurvePublicKey | MLDSA65PublicKey":
    """Return the key as an object of `cryptography`. Raises EvidenceError if the point is not on the curve."""
    if isinstance(area.key, EccPoint):
        return ecc_public_key(area.key)
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey  # noqa: PLC0415 - slow to import

    return MLDSA65PublicKey.from_public_bytes(area.key)


def ecc_public_key(point: EccPoint) -> "EllipticCurvePublicKey":
    """Return a P-256 key as an object of `cryptography`. Raises EvidenceError if the point is not on the curve."""
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - slow to import

    uncompressed = b"\x04" + point.x.rjust(32, b"\0") + point.y.rjust(32, b"\0")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), uncompressed)
    except ValueError:
        raise EvidenceError("TPM2B_PUBLIC: unique is not a point of P-256; expected the AK's public point") from None


def public_pem(public: bytes) -> bytes:
    """Encode a key as PEM (SubjectPublicKeyInfo), for `tpm2_checkquote -u` and OpenSSL.

    Args:
        public: TPM2B_PUBLIC of an attestation key.

    Returns:
        The PEM text.

    Raises:
        EvidenceError: It is not a public area of such a key.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - slow to import

    return public_key(parse_public(public)).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
