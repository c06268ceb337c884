"""Signed modules, and a second definition of the signature layout, independent of the code under test."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
import wasmtime
from hypothesis import strategies as st

from enclave_sim.payload.errors import PayloadCheck, PayloadRejected
from enclave_sim.payload.keys import SigningKey, TrustAnchor
from enclave_sim.payload.signature import sign, verify

HEADER = bytes.fromhex("0061736d01000000")
MODULE = bytes(wasmtime.wat2wasm('(module (func (export "_start")))'))
KEY = SigningKey("alice", bytes(32), bytes(32), development=False)
OTHER = SigningKey("bob", b"\1" * 32, b"\1" * 32, development=False)
PRACTICE = SigningKey("practice", b"\2" * 32, b"\2" * 32, development=True)
ANCHORS = [KEY.anchor()]
SIGNED = sign(MODULE, KEY)


# A second definition of the layout, independent of the code under test.


def leb(value: int, pad: int = 0) -> bytes:
    """LEB128 with at least `pad` bytes."""
    out: list[int] = []
    while value > 0x7F or len(out) + 1 < pad:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def prefixed(data: bytes, pad: int = 0) -> bytes:
    return leb(len(data), pad) + data


def record(key_id: bytes, algorithm: int, signature: bytes, pad: int = 0) -> bytes:
    return prefixed(prefixed(key_id, pad) + bytes([algorithm]) + prefixed(signature, pad))


def envelope(
    records: Sequence[bytes], digest: bytes | None = None, head: bytes = b"\1\1\1", count: int | None = None
) -> bytes:
    digest = sha256(MODULE[8:]).digest() if digest is None else digest
    number = len(records) if count is None else count
    return head + b"\1" + prefixed(b"\1" + digest + leb(number) + b"".join(records))


def section(payload: bytes, name: bytes = b"signature", pad: int = 0) -> bytes:
    return b"\0" + prefixed(prefixed(name, pad) + payload, pad)


def message(content: bytes = MODULE[8:]) -> bytes:
    return b"wasmsig\1\1\1" + sha256(content).digest()


def ed25519(key: SigningKey = KEY, text: bytes | None = None) -> bytes:
    signature = key.ed25519_private_key().sign(message() if text is None else text)
    return record(key.anchor().ed25519_key_id, 0x01, signature)


def ml_dsa_65(key: SigningKey = KEY, text: bytes | None = None, context: bytes = b"aether-payload") -> bytes:
    signature = key.ml_dsa_65_private_key().sign(message() if text is None else text, context)
    return record(key.anchor().ml_dsa_65_key_id, 0x65, signature)


def module(payload: bytes) -> bytes:
    return HEADER + section(payload) + MODULE[8:]


def check_of(data: bytes, anchors: Sequence[TrustAnchor] = ANCHORS, *, production: bool = False) -> PayloadCheck:
    with pytest.raises(PayloadRejected) as caught:
        verify(data, anchors, production=production)
    text = str(caught.value)
    assert caught.value.check.name in text
    assert caught.value.message in text
    assert "\n" not in text
    return caught.value.check


OFFSETS = st.integers(0, len(SIGNED))


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """The signed module, changed in up to three places."""
    data = SIGNED
    for _ in range(draw(st.integers(1, 3))):
        start, end = sorted((draw(OFFSETS), draw(OFFSETS)))
        kind = draw(st.sampled_from(["flip", "truncate", "insert", "delete", "duplicate", "move", "overwrite"]))
        piece = data[start:end]
        match kind:
            case "flip":
                mask = draw(st.integers(1, 255))
                data = data[:start] + bytes(each ^ mask for each in data[start : start + 1]) + data[start + 1 :]
            case "truncate":
                data = data[:end]
            case "insert":
                data = data[:start] + draw(st.binary(min_size=1, max_size=8)) + data[start:]
            case "delete":
                data = data[:start] + data[end:]
            case "duplicate":
                data = data[:end] + piece + data[end:]
            case "move":
                rest = data[:start] + data[end:]
                to = draw(st.integers(0, len(rest)))
                data = rest[:to] + piece + rest[to:]
            case "overwrite":
                data = data[:start] + draw(st.binary(max_size=64)) + data[end:]
    return data
