"""Primary keys, derived from the endorsement primary seed and the template, and therefore always the same.

The secret of a key is KDFa(seed, "Primary Object Creation", Name of the template || sensitive data). P-256: the secret
modulo n - 1, plus 1 (FIPS 186-5, A.2.1). ML-DSA-65: the seed of FIPS 204, algorithm 1. Signatures are deterministic:
RFC 6979, and the deterministic variant of FIPS 204. Derived keys and some signatures are cached for the process.
"""

from functools import lru_cache
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from machine.tpm.buffers import Unmarshaller, sized
from machine.tpm.constants import Alg, Attribute, Handle
from machine.tpm.hashes import digest, kdf_a
from machine.tpm.public_area import PublicArea, Scheme, public_area

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HASHES: dict[int, hashes.HashAlgorithm] = {
    Alg.SHA1: hashes.SHA1(),
    Alg.SHA256: hashes.SHA256(),
    Alg.SHA384: hashes.SHA384(),
    Alg.SHA512: hashes.SHA512(),
}


class Signer(Protocol):
    """A private key."""

    unique: bytes
    """The public key as in the public area (TPMU_PUBLIC_ID)."""

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """Return a TPMT_SIGNATURE over `data`."""


class Key(msgspec.Struct, frozen=True):
    """A primary key."""

    public: PublicArea
    name: bytes
    qualified_name: bytes
    secret: bytes

    @property
    def no_da(self) -> bool:
        """True if wrong passwords do not count towards lockout."""
        return bool(self.public.attributes & Attribute.NO_DA)

    @property
    def user_with_auth(self) -> bool:
        """True if a password may authorize the use of the key."""
        return bool(self.public.attributes & Attribute.USER_WITH_AUTH)

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """Return a TPMT_SIGNATURE over `data`."""
        return _signature(self.public.type, self.secret, data, scheme)


@lru_cache(maxsize=64)  # two or three keys per seed, for many runs in one process
def derive(seed: bytes, template: bytes, data: bytes) -> Key:
    """Derive a primary key of the endorsement hierarchy from seed, template (TPMT_PUBLIC) and sensitive data."""
    primary_seed = kdf_a(seed, b"EPS", b"", 32)
    asked = public_area(Unmarshaller(template))
    secret = kdf_a(primary_seed, b"Primary Object Creation", name_of(asked) + data, 40)
    public = asked.with_unique(_signer(asked.type, secret).unique)
    name = name_of(public)
    parent = Handle.ENDORSEMENT.to_bytes(4, "big")
    qualified = public.name_alg.to_bytes(2, "big") + digest(public.name_alg, parent + name)
    return Key(public, name, qualified, secret)


def name_of(public: PublicArea) -> bytes:
    """Return the Name: the hash algorithm and the digest of the public area."""
    return public.name_alg.to_bytes(2, "big") + digest(public.name_alg, public.marshal())


@lru_cache(maxsize=64)  # runs of the same enclave sign the same data
def _signature(kind: int, secret: bytes, data: bytes, scheme: Scheme) -> bytes:
    return _signer(kind, secret).sign(data, scheme)


def _signer(kind: int, secret: bytes) -> Signer:
    if kind == Alg.MLDSA:
        from machine.tpm.mldsa.signer import mldsa65_signer  # noqa: PLC0415 - needs the WebAssembly engine

        return mldsa65_signer(secret[:32])
    return _ecdsa_signer(secret)


class _EcdsaSigner:
    def __init__(self, secret: bytes) -> None:
        scalar = int.from_bytes(secret, "big") % (_ORDER - 1) + 1
        self._key = ec.derive_private_key(scalar, ec.SECP256R1())
        point = self._key.public_key().public_numbers()
        self.unique = sized(point.x.to_bytes(32, "big")) + sized(point.y.to_bytes(32, "big"))

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        algorithm = ec.ECDSA(_HASHES[scheme.hash_alg], deterministic_signing=True)
        r, s = decode_dss_signature(self._key.sign(data, algorithm))
        head = Alg.ECDSA.to_bytes(2, "big") + scheme.hash_alg.to_bytes(2, "big")
        return head + sized(r.to_bytes(32, "big")) + sized(s.to_bytes(32, "big"))


_ecdsa_signer = lru_cache(maxsize=8)(_EcdsaSigner)  # a TPM has one or two ECDSA keys
