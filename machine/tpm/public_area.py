"""TPMT_PUBLIC: the template and the public part of a key (TPM 2.0 Library, Part 2, "Public Area Structures").

The model makes signing keys: ECDSA on P-256, and ML-DSA-65 in the form of revision 1.85. Other kinds of TPM keys are
unmarshalled first and refused afterwards, so that a wrong template gets a TPM's response code.
"""

import msgspec

from machine.tpm.buffers import TpmError, Unmarshaller, sized
from machine.tpm.constants import DIGEST_SIZES, ECC_NIST_P256, MLDSA_65, OBJECT_RESERVED, Alg, Attribute, Rc

_KEY_BITS: dict[int, tuple[int, ...]] = {Alg.AES: (128, 192, 256), Alg.TDES: (128, 192), Alg.CAMELLIA: (128, 192, 256)}
_MODES = (0x3F, 0x40, 0x41, 0x42, 0x43, 0x44, Alg.NULL)
_ECC_SCHEMES = (Alg.ECDSA, Alg.ECDH, Alg.ECDAA, Alg.SM2, Alg.ECSCHNORR, Alg.ECMQV, Alg.NULL)
_SIGNING = (Alg.ECDSA, Alg.ECDAA, Alg.SM2, Alg.ECSCHNORR, Alg.MLDSA)
_KDFS = (Alg.MGF1, Alg.KDF1_SP800_56A, Alg.KDF2, Alg.KDF1_SP800_108, Alg.NULL)
_CURVES = (1, 2, ECC_NIST_P256, 4, 5, 0x10, 0x11, 0x20)
_MAX_ECC_BYTES = 80
_TYPES = (Alg.ECC, Alg.MLDSA)


class Scheme(msgspec.Struct, frozen=True):
    """A signing scheme: algorithm and hash, both TPM_ALG_NULL for none."""

    algorithm: int = Alg.NULL
    hash_alg: int = Alg.NULL


class PublicArea(msgspec.Struct, frozen=True):
    """A TPMT_PUBLIC. `parameters` and `unique` are marshalled."""

    type: int
    name_alg: int
    attributes: int
    policy: bytes
    parameters: bytes
    unique: bytes
    scheme: Scheme
    symmetric: int = Alg.NULL
    kdf: int = Alg.NULL
    curve: int = ECC_NIST_P256

    def marshal(self) -> bytes:
        """Marshal the TPMT_PUBLIC."""
        head = self.type.to_bytes(2, "big") + self.name_alg.to_bytes(2, "big") + self.attributes.to_bytes(4, "big")
        return head + sized(self.policy) + self.parameters + self.unique

    def with_unique(self, unique: bytes) -> "PublicArea":
        """Return a key's public area from this template and a marshalled public key."""
        return msgspec.structs.replace(self, unique=unique)


def sized_public(source: Unmarshaller) -> PublicArea:
    """Unmarshal a TPM2B_PUBLIC."""
    size = source.u16()
    if size == 0:
        raise TpmError(Rc.SIZE)
    start = source.at
    area = public_area(source)
    if source.at - start != size:
        raise TpmError(Rc.SIZE)
    return area


def public_area(source: Unmarshaller) -> PublicArea:
    """Unmarshal a TPMT_PUBLIC."""
    kind = source.choice(_TYPES, Rc.TYPE)
    name_alg = source.hash_alg()
    attributes = source.u32()
    if attributes & OBJECT_RESERVED:
        raise TpmError(Rc.RESERVED_BITS)
    policy = source.sized()
    if kind == Alg.ECC:
        symmetric, scheme, curve, kdf, parameters = _ecc_parameters(source)
        unique = sized(source.sized(_MAX_ECC_BYTES)) + sized(source.sized(_MAX_ECC_BYTES))
        return PublicArea(kind, name_alg, attributes, policy, parameters, unique, scheme, symmetric, kdf, curve)
    parameters = _mldsa_parameters(source)
    return PublicArea(kind, name_alg, attributes, policy, parameters, sized(source.sized(1952)), Scheme(Alg.MLDSA))


def _ecc_parameters(source: Unmarshaller) -> tuple[int, Scheme, int, int, bytes]:
    symmetric = source.choice((*_KEY_BITS, Alg.NULL), Rc.SYMMETRIC)
    parts = [symmetric]
    if symmetric != Alg.NULL:
        parts += [source.choice(_KEY_BITS[symmetric], Rc.VALUE), source.choice(_MODES, Rc.MODE)]
    scheme = source.choice(_ECC_SCHEMES, Rc.SCHEME)
    hash_alg, details = scheme_details(source, scheme)
    curve = source.choice(_CURVES, Rc.CURVE)
    kdf = source.choice(_KDFS, Rc.KDF)
    parts += [scheme, *details, curve, kdf, *([] if kdf == Alg.NULL else [source.hash_alg()])]
    parameters = b"".join(part.to_bytes(2, "big") for part in parts)
    return symmetric, Scheme(scheme, hash_alg), curve, kdf, parameters


def scheme_details(source: Unmarshaller, scheme: int) -> tuple[int, list[int]]:
    """Unmarshal the details of a scheme. Return its hash and all details."""
    if scheme == Alg.NULL:
        return Alg.NULL, []
    hash_alg = source.hash_alg()
    return hash_alg, [hash_alg, source.u16()] if scheme == Alg.ECDAA else [hash_alg]


def _mldsa_parameters(source: Unmarshaller) -> bytes:
    parameter_set, external_mu = source.u16(), source.u8()
    if parameter_set != MLDSA_65 or external_mu != 0:
        raise TpmError(Rc.VALUE)
    return parameter_set.to_bytes(2, "big") + bytes([external_mu])


def check_template(area: PublicArea) -> None:
    """Check that the model can make a primary key from a template. Raises TpmError."""
    has = area.attributes
    sign, decrypt = bool(has & Attribute.SIGN), bool(has & Attribute.DECRYPT)
    fixed_tpm, restricted = bool(has & Attribute.FIXED_TPM), bool(has & Attribute.RESTRICTED)
    rules: list[tuple[bool, Rc]] = [
        (not has & Attribute.SENSITIVE_DATA_ORIGIN, Rc.ATTRIBUTES),
        (len(area.policy) not in (0, DIGEST_SIZES[area.name_alg]), Rc.SIZE),
        (fixed_tpm != bool(has & Attribute.FIXED_PARENT), Rc.ATTRIBUTES),
        (sign == decrypt and (restricted or not sign), Rc.ATTRIBUTES),
        (fixed_tpm and bool(has & Attribute.ENCRYPTED_DUPLICATION), Rc.ATTRIBUTES),
        (not sign or decrypt, Rc.ATTRIBUTES),  # not a TPM rule: the model has only signing keys
        (area.scheme.algorithm not in _SIGNING, Rc.SCHEME),
        (area.symmetric != Alg.NULL, Rc.SYMMETRIC),
        (area.kdf != Alg.NULL, Rc.KDF),
        (area.curve != ECC_NIST_P256, Rc.CURVE),
        (area.scheme.algorithm not in (Alg.ECDSA, Alg.MLDSA), Rc.SCHEME),
    ]
    for broken, code in rules:
        if broken:
            raise TpmError(code)
