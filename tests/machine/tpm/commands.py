"""TPM 2.0 commands and parts of them, marshalled."""

from collections.abc import Sequence

CLEAR, STATE = b"\0\0", b"\0\1"
ENDORSEMENT, NULL = 0x4000_000B, 0x4000_0007
AK_ATTRIBUTES = 0x50472
ECC_PARAMETERS = bytes.fromhex("0010 0018 000b 0003 0010")
EMPTY_POINT = bytes(4)
MLDSA_PARAMETERS = bytes.fromhex("0002 00")
NO_SCHEME = bytes.fromhex("0010")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def command(code: int, body: bytes = b"", *, tag: int = 0x8001, size: int | None = None) -> bytes:
    return tag.to_bytes(2, "big") + u32(10 + len(body) if size is None else size) + u32(code) + body


def password(value: bytes = b"", *, handle: int = 0x4000_0009, attributes: int = 0, nonce: bytes = b"") -> bytes:
    return u32(handle) + sized(nonce) + bytes([attributes]) + sized(value)


def authorized(code: int, handles: Sequence[int], parameters: bytes = b"", *, area: bytes | None = None) -> bytes:
    area = password() if area is None else area
    return command(code, b"".join(map(u32, handles)) + u32(len(area)) + area + parameters, tag=0x8002)


def startup(kind: bytes = CLEAR) -> bytes:
    return command(0x144, kind)


def shutdown(kind: bytes = CLEAR) -> bytes:
    return command(0x145, kind)


def get_capability(group: int, first: int = 0, count: int = 127) -> bytes:
    return command(0x17A, u32(group) + u32(first) + u32(count))


def selection(*banks: tuple[int, int]) -> bytes:
    """Pairs of an algorithm and a bit mask of PCRs."""
    entries = [bank.to_bytes(2, "big") + b"\x03" + mask.to_bytes(3, "little") for bank, mask in banks]
    return u32(len(banks)) + b"".join(entries)


SHA256_8_TO_13 = selection((0x000B, 0x3F00))


def extend(pcr: int, digest: bytes = b"d" * 32, algorithm: int = 0x000B) -> bytes:
    return authorized(0x182, [pcr], u32(1) + algorithm.to_bytes(2, "big") + digest)


def pcr_read(chosen: bytes = SHA256_8_TO_13) -> bytes:
    return command(0x17E, chosen)


def template(
    *,
    kind: int = 0x0023,
    name_alg: int = 0x000B,
    attributes: int = AK_ATTRIBUTES,
    policy: bytes = b"",
    parameters: bytes = ECC_PARAMETERS,
    unique: bytes = EMPTY_POINT,
) -> bytes:
    head = kind.to_bytes(2, "big") + name_alg.to_bytes(2, "big") + u32(attributes)
    return head + sized(policy) + parameters + unique


ECC_AK = template()
MLDSA_AK = template(kind=0x00A1, parameters=MLDSA_PARAMETERS, unique=b"\0\0")


def create_primary(
    public: bytes = ECC_AK,
    *,
    hierarchy: int = ENDORSEMENT,
    auth: bytes = b"",
    data: bytes = b"",
    outside: bytes = b"",
    pcrs: bytes = bytes(4),
) -> bytes:
    sensitive = sized(sized(auth) + sized(data))
    return authorized(0x131, [hierarchy], sensitive + sized(public) + sized(outside) + pcrs)


def quote(
    handle: int = 0x8000_0000,
    nonce: bytes = b"n" * 36,
    *,
    scheme: bytes = NO_SCHEME,
    pcrs: bytes = SHA256_8_TO_13,
    area: bytes | None = None,
) -> bytes:
    return authorized(0x158, [handle], sized(nonce) + scheme + pcrs, area=area)


def read_public(handle: int = 0x8000_0000) -> bytes:
    return command(0x173, u32(handle))


def flush(handle: int = 0x8000_0000) -> bytes:
    return command(0x165, u32(handle))


def code_of(response: bytes) -> int:
    return int.from_bytes(response[6:10], "big")
