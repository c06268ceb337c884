"""ML-DSA-65 as the kernel verifies it, beside the package `cryptography`, which AetherHost uses."""

import random
from collections.abc import Iterator
from functools import cache

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.payload.signature import ML_DSA_CONTEXT
from tests.firmware.signatures.library import ml_dsa_65_verifies

MESSAGE = b"message"
KEY = MLDSA65PrivateKey.from_seed_bytes(bytes(32))
PUBLIC = KEY.public_key().public_bytes_raw()
SIZE = 3309
CHALLENGE, RESPONSE = 48, 5 * 640
"""Bytes of the first two parts of a signature (FIPS 204, algorithm 26). The hint follows."""
HINT = CHALLENGE + RESPONSE
MOST, POLYNOMIALS = 55, 6
"""The hint has up to `MOST` indices, then for each polynomial the number of those up to its last one."""


def both(key: bytes, signed: bytes, message: bytes = MESSAGE) -> bool:
    """The verdict, which must be the same."""
    verdict = ml_dsa_65_verifies(key, signed, message)
    try:
        MLDSA65PublicKey.from_public_bytes(key).verify(signed, message, ML_DSA_CONTEXT)
        host = True
    except InvalidSignature:
        host = False
    assert verdict == host, signed.hex()
    return verdict


@cache
def good() -> bytes:
    """A signature whose hint has a polynomial with several indices, and room."""
    signatures = (KEY.sign(MESSAGE, ML_DSA_CONTEXT) for _ in range(100))
    return next(one for one in signatures if one[-1] < MOST - 1 and one[HINT + MOST] > 2)


def changed(at: int, value: int, signed: bytes | None = None) -> bytes:
    """A signature with another byte."""
    signed = good() if signed is None else signed
    return signed[:at] + bytes([value]) + signed[at + 1 :]


@settings(max_examples=25)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_what_a_signer_signs_is_accepted(seed: bytes, message: bytes) -> None:
    key = MLDSA65PrivateKey.from_seed_bytes(seed)
    assert both(key.public_key().public_bytes_raw(), key.sign(message, ML_DSA_CONTEXT), message)


@given(st.data())
def test_a_change_of_any_byte_of_key_or_signature_is_refused(data: st.DataObject) -> None:
    parts = [PUBLIC, good()]
    which = data.draw(st.integers(0, 1))
    altered = bytearray(parts[which])
    altered[data.draw(st.integers(0, len(altered) - 1))] ^= data.draw(st.integers(1, 255))
    parts[which] = bytes(altered)
    assert not both(*parts)


@pytest.mark.slow
def test_a_change_of_any_byte_of_a_signature_is_refused() -> None:
    chosen = random.Random(0)
    for at in range(SIZE):
        assert not both(PUBLIC, changed(at, good()[at] ^ chosen.randint(1, 255)))


@pytest.mark.parametrize("context", [b"", b"aether-payloa", b"aether-payload\0", b"aether-payload" * 2])
def test_a_signature_with_another_context_is_refused(context: bytes) -> None:
    assert not both(PUBLIC, KEY.sign(MESSAGE, context))


def test_a_signature_of_another_message_or_by_another_key_is_refused() -> None:
    other = MLDSA65PrivateKey.from_seed_bytes(b"\1" * 32)
    assert not both(PUBLIC, good(), MESSAGE + b"\0")
    assert not both(PUBLIC, other.sign(MESSAGE, ML_DSA_CONTEXT))
    assert both(PUBLIC, good())


def with_hint(indices: bytes, counts: list[int]) -> bytes:
    return good()[:HINT] + indices.ljust(MOST, b"\0") + bytes(counts)


def other_hints() -> Iterator[tuple[str, bytes]]:
    """Other encodings of the same hint, which a careless decoder takes, and some that overrun."""
    hint, counts = good()[HINT : HINT + MOST], list(good()[HINT + MOST :])
    first, used = counts[0], counts[-1]
    yield "indices out of order", with_hint(hint[1::-1] + hint[2:], counts)
    yield "all reversed", with_hint(hint[first - 1 :: -1] + hint[first:], counts)
    repeated = hint[:1] + hint[:used]
    yield "an index twice", with_hint(repeated[:MOST], [count + 1 for count in counts])
    yield "an index after the last", with_hint(hint[:used] + b"\1", counts)
    yield "the last byte after the last index", with_hint(hint[:-1] + b"\xff", counts)
    yield "a count that falls", with_hint(hint, [counts[1], counts[0], *counts[2:]])
    yield "a count too large", with_hint(hint, [*counts[:-1], MOST + 1])
    yield "all counts too large", with_hint(hint, [255] * POLYNOMIALS)
    yield "the first count too large", with_hint(hint, [MOST + 1, *counts[1:]])
    yield "no hint", with_hint(b"", [0] * POLYNOMIALS)
    yield "a full hint", with_hint(bytes(range(1, MOST + 1)), [MOST] * POLYNOMIALS)


def test_the_hint_has_one_encoding() -> None:
    assert with_hint(good()[HINT : HINT + MOST], list(good()[HINT + MOST :])) == good()
    for what, signed in other_hints():
        assert len(signed) == SIZE
        assert not both(PUBLIC, signed), what


@pytest.mark.parametrize("coded", [0, 195, 196, 197, 2**20 - 197, 2**20 - 196, 2**20 - 195, 2**20 - 1, 2**19])
def test_a_response_at_or_out_of_its_range_is_refused(coded: int) -> None:
    """A coefficient z is coded as 2**19 - z, and must be less than 2**19 - 196 away from 0."""
    for coefficient in (0, 1, 255, 256, 5 * 256 - 1):
        bits = int.from_bytes(good()[CHALLENGE:HINT], "little")
        at = 20 * coefficient
        bits = bits & ~(0xFFFFF << at) | coded << at
        assert not both(PUBLIC, good()[:CHALLENGE] + bits.to_bytes(RESPONSE, "little") + good()[HINT:])


@pytest.mark.parametrize("byte", [0, 0xFF, 0x55], ids=hex)
def test_a_signature_of_one_byte_repeated_is_refused(byte: int) -> None:
    assert not both(PUBLIC, bytes([byte]) * SIZE)
    assert not both(bytes([byte]) * len(PUBLIC), good())
