"""Ahead-of-time artefacts: payloads with their compiled code.

An artefact is itself a signed module: the plain module, then one custom section `aether.aot`, the whole signed by
`enclave_sim.payload.signature.sign`. Any WebAssembly tool still reads it and runs the plain module. The section must
be the last of the module. Its payload is::

    01                      version of this layout
    fingerprint (32 bytes)  the engine, version, configuration and processor for which the code was compiled
    digest (32 bytes)       SHA-256 of the plain module: the file without this section and the signature
    code                    the engine's compiled code, up to the end of the section

An engine that loads compiled code does not check it, so loading means trusting its author. The section is inside the
signed content, and code is read only after `verify` has accepted both signatures, so the holder of the key compiled it.
The digest binds it to its module and the fingerprint to its engine: these two protect against mistakes, the signatures
against malice. Signing a module that already has such a section would vouch for code of unknown origin, so the command
line refuses that.
"""

import struct
from hashlib import sha256

import msgspec

from enclave_sim.payload.errors import PayloadCheck, PayloadError, PayloadRejected
from enclave_sim.payload.keys import SigningKey
from enclave_sim.payload.signature import SECTION_NAME as SIGNATURE_SECTION_NAME
from enclave_sim.payload.signature import sign
from enclave_sim.payload.wasm.sections import Section, assemble, custom_section, sections

SECTION_NAME = "aether.aot"
"""Name of the custom section with compiled code."""

FINGERPRINT_BYTES = 32
"""Length of an engine fingerprint in bytes."""

_VERSION = 1
_HEAD = struct.Struct(f"B{FINGERPRINT_BYTES}s32s")
"""Version, fingerprint and digest: what stands before the code."""


class Artefact(msgspec.Struct, frozen=True):
    """Compiled code of a module."""

    fingerprint: bytes
    """The fingerprint of the engine that compiled it, 32 bytes; other engines must refuse it (ARTEFACT_FOREIGN)."""

    code: bytes
    """The engine's compiled code."""


def attach(module: bytes, fingerprint: bytes, code: bytes, key: SigningKey) -> bytes:
    """Attach compiled code to a module and sign both. An earlier signature and earlier code are replaced.

    Raises MalformedModule, too, if the module is not well-formed.

    Args:
        module: The module, with or without signature and code.
        fingerprint: The fingerprint of the engine that compiled `code`, 32 bytes.
        code: The code, compiled from the module without signature and code, as returned by `split`.
        key: The key to sign with.

    Returns:
        The signed artefact.

    Raises:
        PayloadError: The fingerprint does not have 32 bytes, or there is no code.
    """
    if len(fingerprint) != FINGERPRINT_BYTES:
        raise PayloadError(f"an engine fingerprint has {FINGERPRINT_BYTES} bytes, not {len(fingerprint)}")
    if not code:
        raise PayloadError("an artefact needs compiled code; there is none")
    plain = _plain(list(sections(module)))
    payload = _HEAD.pack(_VERSION, fingerprint, sha256(plain).digest()) + code
    return sign(plain + custom_section(SECTION_NAME, payload), key)


def split(verified: bytes) -> tuple[bytes, Artefact | None]:
    """Split a verified module into the plain module and its compiled code.

    Never call it with unverified bytes: it checks no signature. Raises PayloadRejected (ARTEFACT_MISMATCH)
    if the section is not as described above, or belongs to another module.

    Args:
        verified: `VerifiedPayload.content`, or a file that `verify` accepted.

    Returns:
        The plain module, and its artefact or None.
    """
    found = list(sections(verified))
    plain = _plain(found)
    return plain, _artefact(found, plain)


def _artefact(found: list[Section], plain: bytes) -> Artefact | None:
    """Read the artefact from the sections of a module. Raises PayloadRejected."""
    holders = [section for section in found if section.name == SECTION_NAME]
    if not holders:
        return None
    if len(holders) > 1 or found[-1] is not holders[0]:
        raise _mismatch("there must be one such section, the last of the module")
    payload = holders[0].payload
    if len(payload) <= _HEAD.size:
        raise _mismatch(f"it holds {len(payload)} bytes, too few for its {_HEAD.size} byte head and code")
    version, fingerprint, digest = _HEAD.unpack_from(payload)
    if version != _VERSION:
        raise _mismatch(f"its layout has version {version}; this version reads {_VERSION}")
    if digest != sha256(plain).digest():
        raise _mismatch(
            f"its code was compiled from module {digest.hex()}, this one is {sha256(plain).hexdigest()}; "
            "compile the module again"
        )
    return Artefact(fingerprint, payload[_HEAD.size :])


def _plain(found: list[Section]) -> bytes:
    added = (SECTION_NAME, SIGNATURE_SECTION_NAME)
    return assemble(section for section in found if section.name not in added)


def _mismatch(reason: str) -> PayloadRejected:
    return PayloadRejected(PayloadCheck.ARTEFACT_MISMATCH, f"section {SECTION_NAME!r}: {reason}")
