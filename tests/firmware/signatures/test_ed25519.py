"""Ed25519 as the kernel verifies it, beside the package `cryptography`, which AetherHost uses."""

import random
from collections.abc import Iterator
from functools import cache

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.signatures.edwards25519 import (
    BASE,
    IDENTITY,
    SMALL,
    L,
    P,
    add,
    encode,
    hashed,
    signature,
    times,
)
from tests.firmware.signatures.library import ed25519_verifies

MESSAGE = b"message"
SCALAR, NONCE = 0x1234567 << 200 | 99, 0x7654321 << 180 | 77
KEY = encode(times(SCALAR, BASE))


def host_verifies(key: bytes, signed: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signed, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def both(key: bytes, signed: bytes, message: bytes = MESSAGE) -> bool:
    """The verdict, which must be the same."""
    verdict = ed25519_verifies(key, signed, message)
    assert verdict == host_verifies(key, signed, message), (key.hex(), signed.hex())
    return verdict


def made(r: bytes, key: bytes = KEY, nonce: int = NONCE, scalar: int = SCALAR) -> bytes:
    """A signature of the message with any R."""
    return signature(r, (nonce + hashed(r, key, MESSAGE) * scalar) % L)


@cache
def good() -> bytes:
    """A signature of the message."""
    return made(encode(times(NONCE, BASE)))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_what_a_signer_signs_is_accepted(seed: bytes, message: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    assert both(key.public_key().public_bytes_raw(), key.sign(message), message)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.data())
def test_any_other_key_signature_or_message_is_refused(seed: bytes, message: bytes, data: st.DataObject) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    parts = [key.public_key().public_bytes_raw(), key.sign(message), message + b"."]
    which = data.draw(st.integers(0, 2))
    changed = bytearray(parts[which])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    parts[which] = bytes(changed)
    assert not both(parts[0], parts[1], parts[2][:-1] if which != 2 else parts[2])


def test_a_change_of_any_bit_of_key_or_signature_is_refused() -> None:
    for at in range(8 * 64):
        assert not both(KEY, (int.from_bytes(good(), "little") ^ 1 << at).to_bytes(64, "little"))
    for at in range(8 * 32):
        assert not both((int.from_bytes(KEY, "little") ^ 1 << at).to_bytes(32, "little"), good())


@pytest.mark.parametrize("multiple", [1, 2, 3, 8, 15])
def test_an_s_that_is_not_reduced_is_refused(multiple: int) -> None:
    r, s = good()[:32], int.from_bytes(good()[32:], "little")
    assert both(KEY, signature(r, s))
    assert not both(KEY, signature(r, s + multiple * L))


@pytest.mark.parametrize("s", [0, 1, L - 1, L, L + 1, 2**252, 2**253 - 1, 2**255 - 1, 2**256 - 1], ids=hex)
def test_an_s_at_an_edge_is_refused(s: int) -> None:
    assert not both(KEY, signature(good()[:32], s))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 8))
def test_no_signature_is_accepted_that_only_a_verifier_with_the_cofactor_accepts(number: int) -> None:
    r = encode(add(times(NONCE, BASE), SMALL[number]))
    assert not both(KEY, made(r))
    mixed = encode(add(times(SCALAR, BASE), SMALL[number]))
    verdicts = {both(mixed, made(encode(times(nonce, BASE)), mixed, nonce)) for nonce in range(NONCE, NONCE + 24)}
    assert False in verdicts


def encodings(point: tuple[int, int]) -> Iterator[bytes]:
    """The encoding of a point, and those that are not canonical."""
    x, y = point
    for value in (y, y + P):
        for sign in {x & 1, 1} if x == 0 else {x & 1}:
            if value < 1 << 255:
                yield (value | sign << 255).to_bytes(32, "little")


WEAK = [encoded for point in SMALL for encoded in encodings(point)]


def test_there_are_14_encodings_of_points_of_small_order() -> None:
    assert len(set(WEAK)) == 14


@cache
def without_a_key() -> list[tuple[bytes, bytes]]:
    """Signatures that a key of small order verifies for some messages, with a message each."""
    chosen = random.Random(1)
    nonces = [chosen.randrange(L) for _ in range(24)]
    return [(signature(encode(times(nonce, BASE)), nonce), chosen.randbytes(8)) for nonce in nonces]


@pytest.mark.parametrize("key", WEAK, ids=bytes.hex)
def test_a_key_of_small_order_verifies_nothing(key: bytes) -> None:
    for signed, message in without_a_key():
        assert not ed25519_verifies(key, signed, message)


def test_the_host_accepts_signatures_of_such_keys() -> None:
    accepted = [key for key in WEAK if any(host_verifies(key, *one) for one in without_a_key())]
    assert encode(IDENTITY) in accepted


@pytest.mark.parametrize("r", WEAK, ids=bytes.hex)
def test_a_signature_with_an_r_of_small_order_is_refused(r: bytes) -> None:
    assert not ed25519_verifies(KEY, made(r, nonce=0), MESSAGE)


def test_the_host_accepts_one_whose_r_is_the_identity() -> None:
    assert [r for r in WEAK if host_verifies(KEY, made(r, nonce=0), MESSAGE)] == [encode(IDENTITY)]


@pytest.mark.parametrize("y", [2, 3, P - 2, P + 2, P + 3, 2**255 - 1], ids=hex)
def test_what_is_no_point_or_no_canonical_one_is_refused_as_key_and_as_r(y: int) -> None:
    for sign in (0, 1):
        encoded = (y | sign << 255).to_bytes(32, "little")
        assert not both(encoded, good())
        assert not both(KEY, made(encoded))
