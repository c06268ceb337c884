"""TPMT_SIGNATURE (TPM 2.0 library part 2, 11.3), and its verification over a quote."""

from typing import NamedTuple

from enclave_sim.attestation.errors import EvidenceError
from enclave_sim.attestation.formats.algorithms import (
    ECDSA_P256,
    ML_DSA_65,
    TPM_ALG_ECDSA,
    TPM_ALG_MLDSA,
    TPM_ALG_SHA256,
)
from enclave_sim.attestation.formats.public_area import EccPoint, PublicArea, ecc_public_key
from enclave_sim.attestation.formats.reader import Reader, sized

ML_DSA_65_SIGNATURE_SIZE = 3309


class EcdsaSignature(NamedTuple):
    """ECDSA on P-256 with SHA-256. A number has 1 to 32 bytes, because a TPM may omit leading zeros."""

    r: bytes
    s: bytes

    @property
    def algorithm(self) -> str:
        """`ECDSA_P256`."""
        return ECDSA_P256

    def encode(self) -> bytes:
        """Encode as TPMT_SIGNATURE."""
        head = TPM_ALG_ECDSA.to_bytes(2, "big") + TPM_ALG_SHA256.to_bytes(2, "big")
        return head + sized(self.r) + sized(self.s)


class MlDsaSignature(NamedTuple):
    """Pure ML-DSA-65 with an empty context, over the attest itself."""

    signature: bytes

    @property
    def algorithm(self) -> str:
        """`ML_DSA_65`."""
        return ML_DSA_65

    def encode(self) -> bytes:
        """Encode as TPMT_SIGNATURE: in v1.85 there is no hash algorithm between the scheme and the signature."""
        return TPM_ALG_MLDSA.to_bytes(2, "big") + sized(self.signature)


Signature = EcdsaSignature | MlDsaSignature


def parse_signature(data: bytes) -> Signature:
    """Decode a signature of either kind. Raises EvidenceError for any other or trailing bytes."""
    reader = Reader("TPMT_SIGNATURE", data)
    kind = reader.number(2, "sigAlg")
    signature: Signature
    if kind == TPM_ALG_ECDSA:
        reader.expect(2, TPM_ALG_SHA256, "hash", "TPM_ALG_SHA256")
        signature = EcdsaSignature(reader.sized("signatureR", 1, 32), reader.sized("signatureS", 1, 32))
    elif kind == TPM_ALG_MLDSA:
        size = ML_DSA_65_SIGNATURE_SIZE
        signature = MlDsaSignature(reader.sized("signature", size, size))
    else:
        right = "expected 0x0018 (TPM_ALG_ECDSA) or 0x00a1 (TPM_ALG_MLDSA)"
        raise reader.error("sigAlg", 0, f"is 0x{kind:04x}", right)
    reader.end()
    return signature


def check_signature(area: PublicArea, signature: Signature, attest: bytes) -> None:
    """Raise EvidenceError unless the owner of the key has signed the attest."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to import

    if signature.algorithm != area.algorithm:
        raise EvidenceError(f"the signature is {signature.algorithm} and the key {area.algorithm}; both must be one")
    try:
        if isinstance(signature, EcdsaSignature) and isinstance(area.key, EccPoint):
            _check_ecdsa(area.key, signature, attest)
        elif isinstance(signature, MlDsaSignature) and isinstance(area.key, bytes):
            _check_ml_dsa(area.key, signature, attest)
    except InvalidSignature:
        raise EvidenceError(f"the {area.algorithm} signature is not one over this attest by this AK") from None


def _check_ecdsa(point: EccPoint, signature: EcdsaSignature, attest: bytes) -> None:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415

    numbers = int.from_bytes(signature.r, "big"), int.from_bytes(signature.s, "big")
    encoded = utils.encode_dss_signature(*numbers)
    ecc_public_key(point).verify(encoded, attest, ec.ECDSA(hashes.SHA256()))


def _check_ml_dsa(key: bytes, signature: MlDsaSignature, attest: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey  # noqa: PLC0415 - slow to import

    MLDSA65PublicKey.from_public_bytes(key).verify(signature.signature, attest)
