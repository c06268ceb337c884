"""Ahead-of-time artefacts: a payload that brings its compiled code along.

An artefact is itself a signed module: the plain module, then one custom section `aether.aot`, the whole
signed by `enclave_sim.payload.signature.sign`. Any WebAssembly tool still reads it and runs the plain
module. The payload of the section, which must be the last of the module::

    01                      version of this layout
    fingerprint (32 bytes)  which engine, version, configuration and processor the code was made for
    digest (32 bytes)       SHA-256 of the plain module: the file without this section and the signature
    code                    what the engine compiled, up to the end of the section

Why native code from a file can be trusted: an engine that loads compiled code checks nothing in it, so to
load it is to trust whoever made it. The section lies inside the signed content, and code is looked at only
after `verify` has accepted both signatures, so it is exactly what the holder of the key compiled. The digest
ties it to its module and the fingerprint to its engine: those two guard against mistakes, the signatures
against malice. Whoever signs a module that already holds such a section vouches for code they may not have
made, which is why the command line refuses to sign one.
"""

from dataclasses import dataclass
from hashlib import sha256

from enclave_sim.payload.errors import PayloadCheck, PayloadError, PayloadRejected
from enclave_sim.payload.keys import SigningKey
from enclave_sim.payload.signature import SECTION_NAME as SIGNATURE_SECTION_NAME
from enclave_sim.payload.signature import sign
from enclave_sim.payload.wasm.sections import Section, assemble, custom_section, sections

SECTION_NAME = "aether.aot"
"""Name of the custom section that holds compiled code."""

FINGERPRINT_BYTES = 32
"""Length of an engine fingerprint."""

_VERSION = 1
_DIGEST_BYTES = 32
_HEAD_BYTES = 1 + FINGERPRINT_BYTES + _DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class Artefact:
    """Compiled code which belongs to a module."""

    fingerprint: bytes
    """The engine it was compiled by and for, 32 bytes; other engines must refuse it (ARTEFACT_FOREIGN)."""

    code: bytes
    """What the engine compiled."""


def attach(module: bytes, fingerprint: bytes, code: bytes, key: SigningKey) -> bytes:
    """Return `module` with `code`, compiled from it by the engine `fingerprint`, signed with `key`.

    `code` must have been compiled from the module without signature and earlier code (what `split` returns);
    both are replaced. Raises `MalformedModule`, and `PayloadError` for a fingerprint of another length than
    32 bytes and for empty code.
    """
    if len(fingerprint) != FINGERPRINT_BYTES:
        raise PayloadError(f"an engine fingerprint has {FINGERPRINT_BYTES} bytes, not {len(fingerprint)}")
    if not code:
        raise PayloadError("an artefact needs compiled code; there is none")
    plain = _plain(list(sections(module)))
    payload = bytes([_VERSION]) + fingerprint + sha256(plain).digest() + code
    return sign(plain + custom_section(SECTION_NAME, payload), key)


def split(verified: bytes) -> tuple[bytes, Artefact | None]:
    """Take apart a module which `verify` accepted: the plain module, and the artefact if it brought one.

    `verified` may be `VerifiedPayload.content` or the signed file. Never call it on bytes that were not
    verified: it checks no signature. Raises `PayloadRejected` (ARTEFACT_MISMATCH) where the section is not
    as described above or belongs to another module.
    """
    found = list(sections(verified))
    holders = [section for section in found if section.name == SECTION_NAME]
    plain = _plain(found)
    if not holders:
        return plain, None
    if len(holders) > 1 or found[-1] is not holders[0]:
        raise _mismatch("there must be one such section, the last of the module")
    payload = holders[0].payload
    if len(payload) <= _HEAD_BYTES:
        raise _mismatch(f"it holds {len(payload)} bytes, too few for its {_HEAD_BYTES} byte head and code")
    if payload[0] != _VERSION:
        raise _mismatch(f"its layout has version {payload[0]}; this version reads {_VERSION}")
    fingerprint, digest = payload[1 : 1 + FINGERPRINT_BYTES], payload[1 + FINGERPRINT_BYTES : _HEAD_BYTES]
    if digest != sha256(plain).digest():
        raise _mismatch(
            f"its code was compiled from module {digest.hex()}, this one is {sha256(plain).hexdigest()}; "
            "compile the module again"
        )
    return plain, Artefact(fingerprint, payload[_HEAD_BYTES:])


def _plain(found: list[Section]) -> bytes:
    added = (SECTION_NAME, SIGNATURE_SECTION_NAME)
    return assemble(section for section in found if section.name not in added)


def _mismatch(reason: str) -> PayloadRejected:
    return PayloadRejected(PayloadCheck.ARTEFACT_MISMATCH, f"section {SECTION_NAME!r}: {reason}")
