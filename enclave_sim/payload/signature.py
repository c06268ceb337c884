"""The signature of a payload: a custom section at the beginning of the module.

The format follows `Signatures.md` of WebAssembly's tool-conventions, specification version 1, with the byte layout that
the tool wasmsign2 actually writes. `u32` is an unsigned LEB128 integer in its shortest form, `[x]` is x preceded by its
length in bytes as u32, numbers without a prefix are hexadecimal bytes::

    module    = 00 61 73 6D 01 00 00 00, section, content
    section   = 00, [ ["signature"], envelope ]       a custom section, the first of the module
    envelope  = 01                                    specification version
                01                                    content type: module
                01                                    hash function: SHA-256
                u32(1), [signed]                      one set of hashes
    signed    = u32(1), hash (32 bytes)               one hash: the module is signed as a whole
                u32(2), [ed25519], [ml_dsa_65]
    ed25519   = [key id (16 bytes)], 01, [signature (64 bytes)]
    ml_dsa_65 = [key id (16 bytes)], 65, [signature (3309 bytes)]

    hash      = SHA-256(content)       content: every byte of the file after the signature section
    message   = "wasmsig", 01, 01, 01, hash           the three bytes repeat the head of the envelope

Both algorithms sign the same message: Ed25519 directly, ML-DSA-65 (pure, hedged) with context string "aether-payload".

wasmsign2, and so this format, differs from the text of `Signatures.md`: the hash does not cover the module's header of
eight bytes (which is compared with its only valid value instead), and `signed` and each signature are preceded by their
length. Own rules of this format are: algorithm id 0x65, which the conventions do not assign; exactly these two
signatures, in this order, by one trust anchor; no delimiters, no partial and no detached signatures; a second
`signature` section is refused; every integer of the section has only one encoding. So changing any byte of a signed
file makes a check fail. A verifier that skips unknown signatures, like wasmsign2, accepts the Ed25519 one.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from enclave_sim.payload.errors import MalformedModule, PayloadCheck, PayloadRejected
from enclave_sim.payload.keys import SigningKey, TrustAnchor
from enclave_sim.payload.wasm.sections import (
    MODULE_HEADER,
    Section,
    assemble,
    custom_section,
    decode_u32,
    encode_u32,
    sections,
)

SECTION_NAME = "signature"
"""Name of the custom section with the signatures."""

ED25519 = 0x01
"""Algorithm id of Ed25519 in the conventions."""

ML_DSA_65 = 0x65
"""Algorithm id of ML-DSA-65 in this format: the conventions assign only Ed25519."""

ML_DSA_CONTEXT = b"aether-payload"
"""FIPS 204 context string of every payload signature."""

ALGORITHM_NAMES = {ED25519: "Ed25519", ML_DSA_65: "ML-DSA-65"}
"""Algorithm names by id."""

_DOMAIN = b"wasmsig"
_ENVELOPE_HEAD = bytes([1, 1, 1])
_HASH_BYTES = 32
_SIGNATURE_BYTES = {ED25519: 64, ML_DSA_65: 3309}


class SignatureRecord(msgspec.Struct, frozen=True):
    """One signature of the section, unverified."""

    algorithm: int
    """Algorithm id: 0x01 Ed25519, 0x65 ML-DSA-65."""

    key_id: bytes
    """The id of the key that claims to have made it, of any length, or empty."""

    signature: bytes
    """The signature itself."""


class SignatureInfo(msgspec.Struct, frozen=True):
    """The signature section of a module, unverified: trust only the result of `verify`."""

    records: tuple[SignatureRecord, ...]
    """The signatures, empty for an unsigned module."""

    stated_hash: bytes | None
    """The hash in the section; None for an unsigned module."""

    content_hash: bytes
    """SHA-256 of the module's content; equal to `stated_hash` if the module is unchanged."""


class VerifiedPayload(msgspec.Struct, frozen=True):
    """A module that passed every check of `verify`."""

    content: bytes
    """The module without its signature section: header and all signed bytes."""

    content_hash: bytes
    """The signed SHA-256. Unlike a hash of the file, it does not change when the module is re-signed."""

    anchor: TrustAnchor
    """The trust anchor whose key signed it."""


def sign(module: bytes, key: SigningKey) -> bytes:
    """Sign a module, replacing any signature it has.

    A signer vouches for the whole content, including ahead-of-time code. Two calls give different bytes, because ML-DSA
    signing is hedged with fresh randomness. Raises MalformedModule.

    Args:
        module: The module, signed or not.
        key: The key to sign with.

    Returns:
        The signed module.
    """
    content = strip(module)[len(MODULE_HEADER) :]
    digest = sha256(content).digest()
    message = _message(digest)
    anchor = key.anchor()
    records = [
        _record(ED25519, anchor.ed25519_key_id, key.ed25519_private_key().sign(message)),
        _record(ML_DSA_65, anchor.ml_dsa_65_key_id, key.ml_dsa_65_private_key().sign(message, ML_DSA_CONTEXT)),
    ]
    signed = encode_u32(1) + digest + encode_u32(len(records)) + b"".join(map(_prefixed, records))
    envelope = _ENVELOPE_HEAD + encode_u32(1) + _prefixed(signed)
    return assemble([custom_section(SECTION_NAME, envelope), content])


def strip(module: bytes) -> bytes:
    """Return `module` without signature sections, otherwise unchanged. Raises MalformedModule."""
    return assemble(section for section in sections(module) if section.name != SECTION_NAME)


def inspect(module: bytes) -> SignatureInfo:
    """Read the signature section of a module without verifying anything.

    Raises PayloadRejected if `verify` would report NOT_WASM or MALFORMED_SIGNATURE.

    Args:
        module: The module, signed or not.

    Returns:
        The content of the section.
    """
    section = _signature_section(module)
    if section is None:
        return SignatureInfo((), None, sha256(module[len(MODULE_HEADER) :]).digest())
    stated_hash, records = _Envelope(section).read()
    return SignatureInfo(records, stated_hash, sha256(module[section.end :]).digest())


def verify(module: bytes, anchors: Sequence[TrustAnchor], *, production: bool = False) -> VerifiedPayload:
    """Verify the signatures of a module.

    The checks of `PayloadCheck` from ARTEFACT_MISMATCH on are made later, by the user of the payload.

    Args:
        module: The signed module.
        anchors: The trust anchors to accept.
        production: True to refuse development anchors.

    Returns:
        The module, and the anchor whose key signed it.

    Raises:
        PayloadRejected: A check failed, the first in the order of `PayloadCheck`.
    """
    found = identify(module, anchors, production=production)
    stated_hash, records = _Envelope(next(sections(module))).read()
    if found.content_hash != stated_hash:
        # Both signatures would fail too, but this message is clearer.
        raise PayloadRejected(
            PayloadCheck.BAD_ED25519,
            "the module was changed after signing: the SHA-256 of its content is "
            f"{found.content_hash.hex()}, the signature section states {stated_hash.hex()}",
        )
    message = _message(found.content_hash)
    ed25519, ml_dsa_65 = records
    _check_ed25519(ed25519, message, found.anchor)
    _check_ml_dsa_65(ml_dsa_65, message, found.anchor)
    return found


def identify(module: bytes, anchors: Sequence[TrustAnchor], *, production: bool = False) -> VerifiedPayload:
    """Make all checks of `verify` but those of the two signatures themselves, for a module that another has verified.

    Args:
        module: The signed module.
        anchors: The trust anchors to accept.
        production: True to refuse development anchors.

    Returns:
        The module, and the anchor that its signatures name.

    Raises:
        PayloadRejected: A check failed, the first in the order of `PayloadCheck`.
    """
    section = _signature_section(module)
    if section is None:
        raise PayloadRejected(
            PayloadCheck.UNSIGNED,
            "the module has no signature section; sign it with `enclave-sim payload sign MODULE --key FILE`",
        )
    _, records = _Envelope(section).read()
    anchor = _anchor_of(*_both(records), anchors)
    if production and anchor.development:
        raise PayloadRejected(
            PayloadCheck.DEVELOPMENT_KEY,
            f"its key {anchor.name!r} is a development key; production needs a signature by a production key",
        )
    content = module[section.end :]
    return VerifiedPayload(MODULE_HEADER + content, sha256(content).digest(), anchor)


def _message(digest: bytes) -> bytes:
    return _DOMAIN + _ENVELOPE_HEAD + digest


def _record(algorithm: int, key_id: bytes, signature: bytes) -> bytes:
    return _prefixed(key_id) + bytes([algorithm]) + _prefixed(signature)


def _prefixed(data: bytes) -> bytes:
    return encode_u32(len(data)) + data


def _malformed(offset: int, reason: str) -> PayloadRejected:
    return PayloadRejected(PayloadCheck.MALFORMED_SIGNATURE, f"at byte {offset}: {reason}")


def _signature_section(module: bytes) -> Section | None:
    """Return the signature section, or None. Raises PayloadRejected for a wrong position, number or framing."""
    try:
        found = list(sections(module))
    except MalformedModule as error:
        if error.section_start == len(MODULE_HEADER) and _begins_signed(module):
            raise _malformed(error.offset, error.reason) from error
        raise PayloadRejected(PayloadCheck.NOT_WASM, f"at byte {error.offset}: {error.reason}") from error
    signed = [section for section in found if section.name == SECTION_NAME]
    if not signed:
        return None
    if found[0].name != SECTION_NAME:
        raise _malformed(signed[0].offset, "a signature section must be the first section of the module")
    if len(signed) > 1:
        raise _malformed(signed[1].offset, "there is a second signature section; one is allowed")
    if signed[0].raw != custom_section(SECTION_NAME, signed[0].payload):
        raise _malformed(signed[0].offset, "a length at the start of the section is not in its shortest encoding")
    return signed[0]


def _begins_signed(module: bytes) -> bool:
    """Report whether the first section, which is misframed, has the name of a signature section."""
    try:
        _, body = decode_u32(module, len(MODULE_HEADER) + 1)
    except MalformedModule:
        return False
    return module[body:].startswith(_prefixed(SECTION_NAME.encode()))


class _Envelope:
    """Reads the payload of a signature section, and refuses any but the canonical encoding."""

    def __init__(self, section: Section) -> None:
        self._data = section.raw
        self._base = section.offset
        self._at = section.payload_at
        self._end = len(section.raw)

    def read(self) -> tuple[bytes, tuple[SignatureRecord, ...]]:
        """Return the stated hash and the signatures."""
        for what, expected in zip(
            ("specification version", "content type", "hash function"), _ENVELOPE_HEAD, strict=True
        ):
            self._expect(self._at, what, self._take(1)[0], expected)
        self._expect(self._at, "number of hash sets", self._u32(), 1)
        self._expect(self._at, "length of the hash set", self._u32(), self._end - self._at)
        self._expect(self._at, "number of hashes", self._u32(), 1)
        stated_hash = self._take(_HASH_BYTES)
        records = [self._record() for _ in range(self._u32())]
        self._expect(self._at, "number of bytes after the last signature", self._end - self._at, 0)
        algorithms = [record.algorithm for record in records]
        if algorithms != sorted(set(algorithms)):
            raise _malformed(
                self._base, f"signatures repeat or are out of order: algorithms {bytes(algorithms).hex(' ')}"
            )
        return stated_hash, tuple(records)

    def _record(self) -> SignatureRecord:
        at, length, start = self._at, self._u32(), self._at
        key_id = self._take(self._u32())
        algorithm = self._take(1)[0]
        if algorithm not in _SIGNATURE_BYTES:
            raise _malformed(
                self._base + self._at - 1,
                f"algorithm {algorithm:#04x} is unknown; known are 0x01 (Ed25519) and 0x65 (ML-DSA-65)",
            )
        right = _SIGNATURE_BYTES[algorithm]
        self._expect(self._at, f"length of the {ALGORITHM_NAMES[algorithm]} signature", self._u32(), right)
        signature = self._take(right)
        self._expect(at, "length of a signature record", length, self._at - start)
        return SignatureRecord(algorithm, key_id, signature)

    def _u32(self) -> int:
        try:
            value, after = decode_u32(self._data, self._at)
        except MalformedModule as error:
            raise _malformed(self._base + error.offset, error.reason) from error
        if self._data[self._at : after] != encode_u32(value):
            raise _malformed(self._base + self._at, "a length is not in its shortest LEB128 encoding")
        self._at = after
        return value

    def _take(self, count: int) -> bytes:
        if count > self._end - self._at:
            raise _malformed(
                self._base + self._at,
                f"{count} bytes are called for where the signature section has {self._end - self._at} left",
            )
        self._at += count
        return self._data[self._at - count : self._at]

    def _expect(self, at: int, what: str, found: int, expected: int) -> None:
        """Check a field at offset `at` of the section."""
        if found != expected:
            raise _malformed(self._base + at, f"{what} is {found} and must be {expected}")


def _both(records: Sequence[SignatureRecord]) -> tuple[SignatureRecord, SignatureRecord]:
    by_algorithm = {record.algorithm: record for record in records}
    for algorithm, check in (
        (ED25519, PayloadCheck.MISSING_ED25519),
        (ML_DSA_65, PayloadCheck.MISSING_ML_DSA_65),
    ):
        if algorithm not in by_algorithm:
            present = ", ".join(ALGORITHM_NAMES[each] for each in by_algorithm) or "no signature at all"
            raise PayloadRejected(
                check, f"the signature section holds {present}; a payload needs both Ed25519 and ML-DSA-65"
            )
    return by_algorithm[ED25519], by_algorithm[ML_DSA_65]


def _anchor_of(ed25519: SignatureRecord, ml_dsa_65: SignatureRecord, anchors: Sequence[TrustAnchor]) -> TrustAnchor:
    wanted = (ed25519.key_id, ml_dsa_65.key_id)
    matching = [anchor for anchor in anchors if (anchor.ed25519_key_id, anchor.ml_dsa_65_key_id) == wanted]
    if matching:
        # A copy of an anchor with another purpose must not turn a development key into a production key.
        return max(matching, key=lambda anchor: anchor.development)
    known = ", ".join(repr(anchor.name) for anchor in anchors) or "none"
    raise PayloadRejected(
        PayloadCheck.UNKNOWN_KEY,
        f"no trust anchor has both key ids {ed25519.key_id.hex() or '(none)'} (Ed25519) and "
        f"{ml_dsa_65.key_id.hex() or '(none)'} (ML-DSA-65); anchors given: {known}",
    )


def _check_ed25519(record: SignatureRecord, message: bytes, anchor: TrustAnchor) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(anchor.ed25519_public_key).verify(record.signature, message)
    except InvalidSignature as error:
        raise PayloadRejected(
            PayloadCheck.BAD_ED25519,
            f"the Ed25519 signature was not made by {anchor.name!r} for this module; sign the module again",
        ) from error


def _check_ml_dsa_65(record: SignatureRecord, message: bytes, anchor: TrustAnchor) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey  # noqa: PLC0415

    try:
        MLDSA65PublicKey.from_public_bytes(anchor.ml_dsa_65_public_key).verify(
            record.signature, message, ML_DSA_CONTEXT
        )
    except InvalidSignature as error:
        raise PayloadRejected(
            PayloadCheck.BAD_ML_DSA_65,
            f"the ML-DSA-65 signature was not made by {anchor.name!r} for this module; sign the module again",
        ) from error
