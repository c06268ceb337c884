"""Signing keys and trust anchors, and their files.

A key signs with two algorithms, Ed25519 (RFC 8032) and ML-DSA-65 (FIPS 204), so that a payload is protected as long as
either is secure. The secret half is a `SigningKey`, stored in `NAME.key.json`; the public half is a `TrustAnchor`,
stored in `NAME.anchor.json`. Both files are JSON objects: `format` names the kind and version of the file, `purpose`
distinguishes development keys, key material is hexadecimal. Unknown fields are refused.

The *key id* of a public key is the first 16 bytes of the SHA-256 of its raw public key (32 bytes for Ed25519, 1952 for
ML-DSA-65, without header or padding), so an anchor has two key ids.

`cryptography` is imported lazily: it takes longer to import than everything else here.
"""

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeVar

import msgspec

from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import SMALL, read_utf8
from enclave_sim.payload.errors import KeyFileError
from enclave_sim.reasons import reason

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

KEY_SUFFIX = ".key.json"
"""Suffix of the file name of a secret key."""

ANCHOR_SUFFIX = ".anchor.json"
"""Suffix of the file name of a trust anchor."""

KEY_ID_BYTES = 16
"""Bytes in a key id."""

SEED_BYTES = 32
"""Bytes in the seed of either algorithm."""

ED25519_PUBLIC_BYTES = 32
"""Bytes in a raw Ed25519 public key."""

ML_DSA_65_PUBLIC_BYTES = 1952
"""Bytes in a raw ML-DSA-65 public key."""

_DEVELOPMENT: Literal["development, never for production"] = "development, never for production"
_PRODUCTION: Literal["production"] = "production"
_KEY_FORMAT: Literal["aether-signing-key/1"] = "aether-signing-key/1"
_ANCHOR_FORMAT: Literal["aether-trust-anchor/1"] = "aether-trust-anchor/1"
_Purpose = Literal["development, never for production", "production"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["aether-signing-key/1"]
    name: str
    purpose: _Purpose
    ed25519_seed: str
    ml_dsa_65_seed: str


class _AnchorFile(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["aether-trust-anchor/1"]
    name: str
    purpose: _Purpose
    ed25519_public_key: str
    ml_dsa_65_public_key: str


_File = TypeVar("_File", _KeyFile, _AnchorFile)


class TrustAnchor(msgspec.Struct, frozen=True):
    """The public halves of a key.

    A holder of an anchor accepts everything signed with its key. Raises KeyFileError for a malformed name or key
    material.
    """

    name: str
    """1 to 64 letters, digits, dots, underscores or dashes, starting with a letter or digit."""

    ed25519_public_key: bytes
    """Raw public key, 32 bytes."""

    ml_dsa_65_public_key: bytes
    """Raw public key, 1952 bytes."""

    development: bool
    """True for a key whose secret half may be public: refused in production."""

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_length("ed25519_public_key", self.ed25519_public_key, ED25519_PUBLIC_BYTES)
        _check_length("ml_dsa_65_public_key", self.ml_dsa_65_public_key, ML_DSA_65_PUBLIC_BYTES)

    @property
    def label(self) -> str:
        """Name and key ids, as in the header of a recording."""
        return f"{self.name} {self.ed25519_key_id.hex()} {self.ml_dsa_65_key_id.hex()}"

    @property
    def ed25519_key_id(self) -> bytes:
        """Key id of the Ed25519 half, 16 bytes."""
        return key_id(self.ed25519_public_key)

    @property
    def ml_dsa_65_key_id(self) -> bytes:
        """Key id of the ML-DSA-65 half, 16 bytes."""
        return key_id(self.ml_dsa_65_public_key)

    @classmethod
    def from_json(cls, text: str | bytes, origin: str = "trust anchor") -> Self:
        """Parse an anchor file; `origin` is its name in errors. Raises KeyFileError."""
        file = _decode(text, _AnchorFile, origin)
        try:
            found = cls(
                file.name,
                _unhex("ed25519_public_key", file.ed25519_public_key),
                _unhex("ml_dsa_65_public_key", file.ml_dsa_65_public_key),
                file.purpose == _DEVELOPMENT,
            )
        except KeyFileError as error:
            raise KeyFileError(f"{origin}: {error}") from None
        if not found.development:
            public = development_anchor()
            ours = (public.ed25519_public_key, public.ml_dsa_65_public_key)
            if found.ed25519_public_key in ours or found.ml_dsa_65_public_key in ours:
                raise KeyFileError(
                    f"{origin} is the development key, which everyone has; its purpose is not production"
                )
        return found

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read an anchor file. Raises KeyFileError."""
        return cls.from_json(_read(path), str(path))

    def to_json(self) -> bytes:
        """Return the content of an anchor file."""
        return _encode(
            _AnchorFile(
                _ANCHOR_FORMAT,
                self.name,
                _DEVELOPMENT if self.development else _PRODUCTION,
                self.ed25519_public_key.hex(),
                self.ml_dsa_65_public_key.hex(),
            )
        )

    def save(self, path: Path) -> None:
        """Write a new anchor file. Raises KeyFileError, even if the file exists."""
        _write(path, self.to_json(), 0o666)


class SigningKey(msgspec.Struct, frozen=True):
    """The secret seeds of a key.

    They are left out of `repr`, so that no log or traceback shows them. Raises KeyFileError for a malformed name or
    seeds.
    """

    name: str
    """1 to 64 letters, digits, dots, underscores or dashes, starting with a letter or digit."""

    ed25519_seed: bytes
    """RFC 8032 private key, 32 bytes."""

    ml_dsa_65_seed: bytes
    """FIPS 204 seed (xi), 32 bytes."""

    development: bool
    """True for a key that production refuses."""

    def __repr__(self) -> str:
        return f"SigningKey(name={self.name!r}, development={self.development!r})"

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_length("ed25519_seed", self.ed25519_seed, SEED_BYTES)
        _check_length("ml_dsa_65_seed", self.ml_dsa_65_seed, SEED_BYTES)

    @classmethod
    def generate(cls, name: str, *, development: bool) -> Self:
        """Generate a key from the operating system's random numbers."""
        import secrets  # noqa: PLC0415 - only new keys need it

        return cls(name, secrets.token_bytes(SEED_BYTES), secrets.token_bytes(SEED_BYTES), development)

    @classmethod
    def from_json(cls, text: str | bytes, origin: str = "signing key") -> Self:
        """Parse a key file; `origin` is its name in errors. Raises KeyFileError."""
        file = _decode(text, _KeyFile, origin)
        try:
            return cls(
                file.name,
                _unhex("ed25519_seed", file.ed25519_seed),
                _unhex("ml_dsa_65_seed", file.ml_dsa_65_seed),
                file.purpose == _DEVELOPMENT,
            )
        except KeyFileError as error:
            raise KeyFileError(f"{origin}: {error}") from None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file. Raises KeyFileError."""
        return cls.from_json(_read(path), str(path))

    def to_json(self) -> bytes:
        """Return the content of a key file: secret, unless this is a development key."""
        return _encode(
            _KeyFile(
                _KEY_FORMAT,
                self.name,
                _DEVELOPMENT if self.development else _PRODUCTION,
                self.ed25519_seed.hex(),
                self.ml_dsa_65_seed.hex(),
            )
        )

    def save(self, path: Path) -> None:
        """Write a new key file that only its owner can read (mode 0600).

        Raises KeyFileError, even if the file exists, because an overwritten key is lost.

        Args:
            path: The file.
        """
        _write(path, self.to_json(), 0o600)

    def anchor(self) -> TrustAnchor:
        """Return the public half."""
        return TrustAnchor(
            self.name,
            self.ed25519_private_key().public_key().public_bytes_raw(),
            self.ml_dsa_65_private_key().public_key().public_bytes_raw(),
            self.development,
        )

    def ed25519_private_key(self) -> "Ed25519PrivateKey":
        """Return the Ed25519 key for the seed."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

        return Ed25519PrivateKey.from_private_bytes(self.ed25519_seed)

    def ml_dsa_65_private_key(self) -> "MLDSA65PrivateKey":
        """Return the ML-DSA-65 key for the seed."""
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey  # noqa: PLC0415

        return MLDSA65PrivateKey.from_seed_bytes(self.ml_dsa_65_seed)


def key_id(public_key: bytes) -> bytes:
    """Return the key id of a raw public key: the first 16 bytes of its SHA-256."""
    return sha256(public_key).digest()[:KEY_ID_BYTES]


def development_anchor() -> TrustAnchor:
    """Return the anchor of the development key of the built-in payloads."""
    from payloads import development_anchor_text  # noqa: PLC0415

    return TrustAnchor.from_json(development_anchor_text(), "development anchor")


def development_key() -> SigningKey:
    """Return the development key of the built-in payloads. It is public: its signature proves nothing."""
    from payloads import development_key_text  # noqa: PLC0415

    return SigningKey.from_json(development_key_text(), "development key")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise KeyFileError(
            f"{name!a} cannot name a key: use 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit"
        )


def _check_length(what: str, value: bytes, length: int) -> None:
    if len(value) != length:
        raise KeyFileError(f"{what} has {len(value)} bytes instead of {length}")


def _unhex(what: str, text: str) -> bytes:
    # bytes.fromhex() accepts white space, so one key could have two encodings.
    if not re.fullmatch(r"(?:[0-9a-f]{2})*", text):
        raise KeyFileError(f"{what} is not lower-case hexadecimal")
    return bytes.fromhex(text)


def _decode(text: str | bytes, kind: type[_File], origin: str) -> _File:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        wanted = _KEY_FORMAT if kind is _KeyFile else _ANCHOR_FORMAT
        why = _mistaken(text, kind) or f": {reason(error)}"
        raise KeyFileError(f"{origin}: not a JSON file of format {wanted}{why}") from None


def _mistaken(text: str | bytes, kind: type[_File]) -> str:
    """Return the reason for a file that is the other one of a key's two files, otherwise nothing."""
    other: type[_KeyFile | _AnchorFile] = _AnchorFile if kind is _KeyFile else _KeyFile
    try:
        msgspec.json.decode(text, type=other)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if other is _AnchorFile:
        return f" but a trust anchor; the secret key is in NAME{KEY_SUFFIX}"
    return f" but a secret key; its trust anchor is in NAME{ANCHOR_SUFFIX}"


def _encode(file: _KeyFile | _AnchorFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def _read(path: Path) -> str:
    try:
        return read_utf8(path, SMALL, "a key or a trust anchor")
    except ConfigurationError as error:
        raise KeyFileError(str(error)) from None


def _write(path: Path, data: bytes, mode: int) -> None:
    from enclave_sim.files.writing import write_new  # noqa: PLC0415 - only new keys need it

    try:
        write_new(path, data, mode=mode)
    except ConfigurationError as error:
        raise KeyFileError(str(error)) from None
