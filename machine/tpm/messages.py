"""Commands and responses, as seen by a TPM's callers (TPM 2.0 Library, Part 1, 18, and Part 3).

The model unmarshals commands with its own table (`commands`). This module is for everything else: the CRB, callers that
read a TPM's keys, and observers of its commands. Reading functions raise TpmError if a message is too short.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from machine.tpm.buffers import Unmarshaller, sized
from machine.tpm.constants import ECC_NIST_P256, MLDSA_65, SU_CLEAR, Alg, Code, Handle, Tag
from machine.tpm.public_area import PublicArea, Scheme

_HEADER = struct.Struct(">HII")
HEADER_BYTES = _HEADER.size
_MOST = 0xFFFF
"""The maximum size of a TPM2B in bytes; the size field has 16 bits."""


class Header(NamedTuple):
    """The header of a command or a response."""

    tag: int
    size: int
    """Size of the complete message in bytes."""
    code: int
    """TPM_CC of a command, TPM_RC of a response."""

    @classmethod
    def of(cls, message: bytes | bytearray) -> "Header":
        """Read a header; missing bytes are zero."""
        return cls(*_HEADER.unpack(bytes(message[:HEADER_BYTES]).ljust(HEADER_BYTES, b"\0")))

    def encode(self) -> bytes:
        """Return the ten bytes of the header."""
        return _HEADER.pack(*self)


def message(code: int, body: bytes = b"", *, tag: int = Tag.NO_SESSIONS) -> bytes:
    """Build a command or a response from its code and the body after the header."""
    return Header(tag, HEADER_BYTES + len(body), code).encode() + body


def error_response(code: int) -> bytes:
    """Build a response with only a response code."""
    return message(code)


def password(value: bytes = b"", *, handle: int = Handle.PASSWORD, attributes: int = 0, nonce: bytes = b"") -> bytes:
    """Build an entry of an authorization area (TPMS_AUTH_COMMAND): a password."""
    return handle.to_bytes(4, "big") + sized(nonce) + bytes([attributes]) + sized(value)


def authorized(code: int, handles: Sequence[int], parameters: bytes = b"", *, area: bytes | None = None) -> bytes:
    """Build a command with an authorization area: by default one empty password."""
    area = password() if area is None else area
    body = b"".join(handle.to_bytes(4, "big") for handle in handles) + len(area).to_bytes(4, "big") + area
    return message(code, body + parameters, tag=Tag.SESSIONS)


def startup(kind: int = SU_CLEAR) -> bytes:
    """Build TPM2_Startup."""
    return message(Code.STARTUP, kind.to_bytes(2, "big"))


def flush_context(handle: int) -> bytes:
    """Build TPM2_FlushContext."""
    return message(Code.FLUSH_CONTEXT, handle.to_bytes(4, "big"))


EMPTY = sized(b"")
EMPTY_POINT = EMPTY * 2
"""The unique field of a template without a public key: for ML-DSA, and for a point."""


def ecc_parameters(
    *,
    symmetric: tuple[int, ...] = (Alg.NULL,),
    scheme: int = Alg.ECDSA,
    details: tuple[int, ...] = (Alg.SHA256,),
    curve: int = ECC_NIST_P256,
    kdf: tuple[int, ...] = (Alg.NULL,),
) -> bytes:
    """Build a TPMS_ECC_PARMS, by default of a signing key. Details follow each algorithm except TPM_ALG_NULL."""
    return b"".join(word.to_bytes(2, "big") for word in (*symmetric, scheme, *details, curve, *kdf))


def mldsa_parameters(parameter_set: int = MLDSA_65, *, allow_external_mu: int = 0) -> bytes:
    """Build the TPMS_MLDSA_PARMS of a signing key."""
    return parameter_set.to_bytes(2, "big") + bytes([allow_external_mu])


def template(
    kind: int,
    attributes: int,
    parameters: bytes,
    unique: bytes,
    *,
    name_alg: int = Alg.SHA256,
    policy: bytes = b"",
) -> bytes:
    """Build a TPMT_PUBLIC."""
    return PublicArea(kind, name_alg, attributes, policy, parameters, unique, Scheme()).marshal()


def create_primary(
    public: bytes,
    *,
    hierarchy: int = Handle.ENDORSEMENT,
    auth: bytes = b"",
    data: bytes = b"",
    outside: bytes = b"",
    pcrs: bytes = bytes(4),
) -> bytes:
    """Build TPM2_CreatePrimary from a template (TPMT_PUBLIC), the new key's password and its creation data."""
    sensitive = sized(sized(auth) + sized(data))
    return authorized(Code.CREATE_PRIMARY, [hierarchy], sensitive + sized(public) + sized(outside) + pcrs)


class Creation(NamedTuple):
    """A TPM2_CreatePrimary command."""

    hierarchy: int
    public: bytes
    """TPMT_PUBLIC: the template."""


def asked_creation(sent: bytes) -> Creation:
    """Read a TPM2_CreatePrimary command up to its template."""
    source = Unmarshaller(sent[HEADER_BYTES:])
    hierarchy = source.u32()
    source.take(source.u32())  # the authorization area
    source.sized(_MOST)  # TPM2B_SENSITIVE_CREATE
    return Creation(hierarchy, source.sized(_MOST))


class Created(NamedTuple):
    """A response to TPM2_CreatePrimary."""

    handle: int
    public: bytes
    """TPMT_PUBLIC."""


def created(response: bytes) -> Created:
    """Read the response to TPM2_CreatePrimary up to the public area."""
    source = Unmarshaller(response[HEADER_BYTES:])
    handle = source.u32()
    source.u32()  # the size of the parameters
    return Created(handle, source.sized(_MOST))


class Quoted(NamedTuple):
    """A quote."""

    attest: bytes
    """TPMS_ATTEST."""
    signature: bytes
    """TPMT_SIGNATURE."""


def quoted(response: bytes) -> Quoted:
    """Read the response to TPM2_Quote."""
    source = Unmarshaller(response[HEADER_BYTES:])
    parameters = Unmarshaller(source.take(source.u32()))
    return Quoted(parameters.sized(_MOST), parameters.take(parameters.left))


def signature_algorithm(signature: bytes) -> int:
    """Return the TPM_ALG_ID of a TPMT_SIGNATURE."""
    return Unmarshaller(signature).u16()


class ClockInfo(NamedTuple):
    """TPMS_CLOCK_INFO."""

    clock_ms: int
    reset_count: int
    restart_count: int
    safe: int


def clock_of(attest: bytes) -> ClockInfo:
    """Read the clock in a TPMS_ATTEST of any kind."""
    source = Unmarshaller(attest)
    source.take(6)  # magic and type
    source.sized(_MOST)  # the qualified signer
    source.sized(_MOST)  # extra data
    return ClockInfo(source.u32() << 32 | source.u32(), source.u32(), source.u32(), source.u8())


class Extension(NamedTuple):
    """A TPM2_PCR_Extend command."""

    pcr: int
    digest: bytes
    """The last 32 bytes of the digests: the complete digest if there is only one, of SHA-256."""


def extension(sent: bytes) -> Extension:
    """Read a TPM2_PCR_Extend command."""
    source = Unmarshaller(sent[HEADER_BYTES:])
    pcr = source.u32()
    source.take(source.u32())  # the authorization area
    return Extension(pcr, source.take(source.left)[-32:])
