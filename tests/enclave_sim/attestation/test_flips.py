"""Accepted evidence with any one bit flipped is not accepted."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.attestation import Evidence, EvidenceError, verify
from tests.enclave_sim.attestation.nodes import (
    BOTH,
    CHALLENGE,
    ECDSA_NODE,
    ENVELOPE_KEY,
    HONEST,
    REFERENCE,
    judge,
    reference,
    with_quote,
)

SMALL = ECDSA_NODE.evidence()
WHOLE = HONEST.evidence()
SMALL_FILES = [SMALL.encode(None), SMALL.encode(ENVELOPE_KEY)]
WHOLE_FILES = [WHOLE.encode(None), WHOLE.encode(ENVELOPE_KEY)]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def accepted(file: bytes) -> bool:
    try:
        return verify(Evidence.decode(file), CHALLENGE, REFERENCE).accepted
    except EvidenceError:
        return False


@pytest.mark.parametrize("file", SMALL_FILES + WHOLE_FILES)
def test_the_files_are_accepted_as_they_are(file: bytes) -> None:
    assert accepted(file)


@pytest.mark.slow
@pytest.mark.parametrize("file", SMALL_FILES)
def test_no_byte_of_a_file_can_be_inverted(file: bytes) -> None:
    for offset in range(len(file)):
        assert not accepted(file[:offset] + bytes([file[offset] ^ 0xFF]) + file[offset + 1 :]), offset


@pytest.mark.slow
@pytest.mark.parametrize("file", SMALL_FILES)
def test_no_bit_of_a_file_can_be_flipped(file: bytes, share: Callable[[int], int]) -> None:
    bits = range(8 * len(file))
    for bit in random.Random(2).sample(bits, share(len(bits))):
        assert not accepted(flipped(file, bit)), bit


@pytest.mark.slow
@pytest.mark.parametrize("file", WHOLE_FILES)
def test_no_byte_of_a_file_with_both_signatures_can_change(file: bytes, share: Callable[[int], int]) -> None:
    for offset in random.Random(3).sample(range(len(file)), share(len(file))):
        assert not accepted(flipped(file, 8 * offset + offset % 8)), offset


@given(st.integers(0, 8 * len(WHOLE_FILES[0]) - 1), st.sampled_from(WHOLE_FILES))
def test_no_bit_of_a_file_with_both_signatures_can_be_flipped(bit: int, file: bytes) -> None:
    assert not accepted(flipped(file, bit))


@given(st.integers(0, len(WHOLE_FILES[0]) - 1), st.binary(max_size=8), st.sampled_from(SMALL_FILES + WHOLE_FILES))
def test_no_bytes_can_be_put_into_a_file(offset: int, added: bytes, file: bytes) -> None:
    changed = file[:offset] + added + file[offset + len(added) :]
    assert changed == file or not accepted(changed)


@pytest.mark.slow
@pytest.mark.parametrize("blob", ["attest", "public", "signature"])
def test_no_bit_of_an_ecdsa_quote_can_be_flipped(blob: str) -> None:
    quote = SMALL.quotes[0]
    whole = getattr(quote, blob)
    for bit in range(8 * len(whole)):
        assert not judge(with_quote(SMALL, 0, quote._replace(**{blob: flipped(whole, bit)}))).accepted, bit


@given(st.sampled_from(["attest", "public", "signature"]), st.data())
@settings(max_examples=200)
def test_no_bit_of_an_ml_dsa_quote_can_be_flipped(blob: str, data: st.DataObject) -> None:
    quote = WHOLE.quotes[1]
    whole = getattr(quote, blob)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    changed = with_quote(WHOLE, 1, quote._replace(**{blob: flipped(whole, bit)}))
    assert not judge(changed).accepted
    assert not judge(changed, policy=BOTH).accepted


def test_no_bit_of_an_event_log_can_be_flipped(share: Callable[[int], int]) -> None:
    bits = range(8 * len(SMALL.event_log))
    for bit in random.Random(1).sample(bits, share(len(bits))):
        assert not judge(replace(SMALL, event_log=flipped(SMALL.event_log, bit))).accepted, bit


def test_an_envelope_that_is_asked_for_cannot_be_taken_off() -> None:
    bare = Evidence.decode(WHOLE_FILES[0])
    assert not verify(bare, CHALLENGE, reference(envelope=True)).accepted
