"""TPM 2.0 commands and parts of them, marshalled.

Each has a default, so that a test names only its subject. Malformed commands are made from well-formed ones with
`with_size`, `with_code` and `with_tag`, or with a number that no TPM has.
"""

from machine.tpm import messages
from machine.tpm.buffers import sized
from machine.tpm.constants import SU_CLEAR, SU_STATE, Alg, Attribute, Code, Handle, Tag
from machine.tpm.messages import authorized, password

__all__ = ["authorized", "password", "sized"]

CLEAR, STATE = (kind.to_bytes(2, "big") for kind in (SU_CLEAR, SU_STATE))
ENDORSEMENT, NULL = Handle.ENDORSEMENT, Handle.NULL
AK_ATTRIBUTES = sum(
    (
        Attribute.FIXED_TPM,
        Attribute.FIXED_PARENT,
        Attribute.SENSITIVE_DATA_ORIGIN,
        Attribute.USER_WITH_AUTH,
        Attribute.NO_DA,
        Attribute.RESTRICTED,
        Attribute.SIGN,
    )
)
FIRST_KEY = 0x8000_0000
"""The handle of the first key that is loaded."""


def u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


ECC_PARAMETERS, MLDSA_PARAMETERS = messages.ecc_parameters(), messages.mldsa_parameters()
EMPTY_POINT = messages.EMPTY_POINT


def scheme(algorithm: int, *details: int) -> bytes:
    """TPMT_SIG_SCHEME."""
    return b"".join(map(u16, (algorithm, *details)))


NO_SCHEME = scheme(Alg.NULL)


def command(code: int, body: bytes = b"", *, tag: int = Tag.NO_SESSIONS) -> bytes:
    return messages.message(code, body, tag=tag)


def startup(kind: bytes = CLEAR) -> bytes:
    return command(Code.STARTUP, kind)


def shutdown(kind: bytes = CLEAR) -> bytes:
    return command(Code.SHUTDOWN, kind)


def self_test(full: int = 1) -> bytes:
    return command(Code.SELF_TEST, bytes([full]))


def get_random(count: int) -> bytes:
    return command(Code.GET_RANDOM, u16(count))


def get_capability(group: int, first: int = 0, count: int = 127) -> bytes:
    return command(Code.GET_CAPABILITY, u32(group) + u32(first) + u32(count))


def bank(algorithm: int, bitmap: bytes) -> bytes:
    """TPMS_PCR_SELECTION."""
    return u16(algorithm) + bytes([len(bitmap)]) + bitmap


def selection(*banks: tuple[int, int], count: int | None = None) -> bytes:
    """Pairs of an algorithm and a bit mask of PCRs; `count` is the claimed number."""
    entries = [bank(algorithm, mask.to_bytes(3, "little")) for algorithm, mask in banks]
    return u32(len(banks) if count is None else count) + b"".join(entries)


SHA256_8_TO_13 = selection((Alg.SHA256, 0x3F00))


def digest_values(*digests: tuple[int, bytes], count: int | None = None) -> bytes:
    """TPML_DIGEST_VALUES: pairs of an algorithm and a digest; `count` is the claimed number."""
    entries = [u16(algorithm) + digest for algorithm, digest in digests]
    return u32(len(digests) if count is None else count) + b"".join(entries)


def extend(pcr: int, digest: bytes = b"d" * 32, algorithm: int = Alg.SHA256) -> bytes:
    return authorized(Code.PCR_EXTEND, [pcr], digest_values((algorithm, digest)))


def event(pcr: int, data: bytes) -> bytes:
    return authorized(Code.PCR_EVENT, [pcr], sized(data))


def reset(pcr: int) -> bytes:
    return authorized(Code.PCR_RESET, [pcr])


def pcr_read(chosen: bytes = SHA256_8_TO_13) -> bytes:
    return command(Code.PCR_READ, chosen)


def template(
    *,
    kind: int = Alg.ECC,
    name_alg: int = Alg.SHA256,
    attributes: int = AK_ATTRIBUTES,
    policy: bytes = b"",
    parameters: bytes = ECC_PARAMETERS,
    unique: bytes = EMPTY_POINT,
) -> bytes:
    return messages.template(kind, attributes, parameters, unique, name_alg=name_alg, policy=policy)


ECC_AK = template()
MLDSA_AK = template(kind=Alg.MLDSA, parameters=MLDSA_PARAMETERS, unique=messages.EMPTY)


def create_primary(
    public: bytes = ECC_AK,
    *,
    hierarchy: int = ENDORSEMENT,
    auth: bytes = b"",
    data: bytes = b"",
    outside: bytes = b"",
    pcrs: bytes = selection(),
) -> bytes:
    return messages.create_primary(public, hierarchy=hierarchy, auth=auth, data=data, outside=outside, pcrs=pcrs)


def quote(
    handle: int = FIRST_KEY,
    nonce: bytes = b"n" * 36,
    *,
    scheme: bytes = NO_SCHEME,
    pcrs: bytes = SHA256_8_TO_13,
    area: bytes | None = None,
) -> bytes:
    return authorized(Code.QUOTE, [handle], sized(nonce) + scheme + pcrs, area=area)


def read_public(handle: int = FIRST_KEY) -> bytes:
    return command(Code.READ_PUBLIC, u32(handle))


def flush(handle: int = FIRST_KEY) -> bytes:
    return messages.flush_context(handle)


# Of any command or response.


def code_of(message: bytes) -> int:
    return messages.Header.of(message).code


def size_of(message: bytes) -> int:
    return messages.Header.of(message).size


def tag_of(message: bytes) -> int:
    return messages.Header.of(message).tag


def body_of(message: bytes) -> bytes:
    """What follows the header."""
    return message[messages.HEADER_BYTES :]


def with_size(message: bytes, size: int | None = None) -> bytes:
    """The message with another size in its header, by default the right one; anything else is unchanged."""
    if len(message) < messages.HEADER_BYTES:
        return message
    header = messages.Header.of(message)._replace(size=len(message) if size is None else size)
    return header.encode() + body_of(message)


def with_code(message: bytes, code: int) -> bytes:
    return messages.Header.of(message)._replace(code=code).encode() + body_of(message)


def with_tag(message: bytes, tag: int) -> bytes:
    return messages.Header.of(message)._replace(tag=tag).encode() + body_of(message)


def is_creation(sent: bytes, kind: int) -> bool:
    """Whether it is TPM2_CreatePrimary of a key of that type."""
    if code_of(sent) != Code.CREATE_PRIMARY:
        return False
    return messages.asked_creation(sent).public.startswith(u16(kind))


PASSWORD_AREA = sized(b"") + b"\1" + sized(b"")
"""The authorization area of a response: the password's session goes on."""
