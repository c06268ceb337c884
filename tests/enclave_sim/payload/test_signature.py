"""The payload signature: accepted files, and no byte of a signed file that can be changed."""

from hashlib import sha256

import pytest
import wasmtime
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from enclave_sim.payload.errors import MalformedModule, PayloadCheck, PayloadRejected
from enclave_sim.payload.signature import ED25519, ML_DSA_65, inspect, sign, strip, verify
from tests.enclave_sim.payload.signed_modules import (
    ANCHORS,
    HEADER,
    KEY,
    MODULE,
    OTHER,
    SIGNED,
    check_of,
    ed25519,
    envelope,
    leb,
    message,
    ml_dsa_65,
    module,
    mutations,
    prefixed,
    record,
)

# Accepted files.


def test_a_signed_module_is_accepted_and_names_its_signer() -> None:
    verified = verify(SIGNED, [OTHER.anchor(), KEY.anchor()], production=True)
    assert verified.content == MODULE
    assert verified.content_hash == sha256(MODULE[8:]).digest()
    assert verified.anchor == KEY.anchor()


def test_a_signed_module_is_still_a_valid_module() -> None:
    wasmtime.Module.validate(wasmtime.Engine(), SIGNED)


def test_a_file_assembled_by_hand_after_the_documented_layout_is_accepted() -> None:
    assert verify(module(envelope([ed25519(), ml_dsa_65()])), ANCHORS).content == MODULE


def test_the_signer_writes_the_documented_layout() -> None:
    anchor = KEY.anchor()
    signed = sign(MODULE, KEY)
    info = inspect(signed)
    rebuilt = [record(each.key_id, each.algorithm, each.signature) for each in info.records]
    assert signed == module(envelope(rebuilt))
    assert [(each.algorithm, each.key_id) for each in info.records] == [
        (ED25519, anchor.ed25519_key_id),
        (ML_DSA_65, anchor.ml_dsa_65_key_id),
    ]
    assert info.stated_hash == info.content_hash == sha256(MODULE[8:]).digest()


def test_both_algorithms_sign_the_same_message() -> None:
    anchor = KEY.anchor()
    first, second = inspect(SIGNED).records
    Ed25519PublicKey.from_public_bytes(anchor.ed25519_public_key).verify(first.signature, message())
    MLDSA65PublicKey.from_public_bytes(anchor.ml_dsa_65_public_key).verify(
        second.signature, message(), b"aether-payload"
    )


def test_signing_again_replaces_the_signature() -> None:
    again = sign(SIGNED, OTHER)
    assert len(again) == len(SIGNED)
    assert verify(again, [OTHER.anchor()]).content == MODULE
    assert check_of(again) is PayloadCheck.UNKNOWN_KEY


def test_strip_gives_back_the_module() -> None:
    assert strip(SIGNED) == MODULE
    assert strip(MODULE) == MODULE
    padded = HEADER + b"\1" + leb(4, pad=5) + bytes.fromhex("01600000")
    assert strip(sign(padded, KEY)) == padded, "the content must be signed as it lies there, not written anew"


def test_a_module_with_padded_lengths_in_its_content_can_be_signed() -> None:
    padded = HEADER + b"\1" + leb(4, pad=5) + bytes.fromhex("01600000")
    assert verify(sign(padded, KEY), ANCHORS).content == padded


def test_an_empty_module_can_be_signed() -> None:
    assert verify(sign(HEADER, KEY), ANCHORS).content == HEADER


def test_what_is_not_a_module_cannot_be_signed() -> None:
    with pytest.raises(MalformedModule):
        sign(b"not wasm", KEY)


# Looking without verifying.


def test_an_unsigned_module_can_be_inspected() -> None:
    info = inspect(MODULE)
    assert (info.records, info.stated_hash) == ((), None)
    assert info.content_hash == sha256(MODULE[8:]).digest()


def test_a_tampered_module_can_be_inspected_and_shows_both_hashes() -> None:
    info = inspect(SIGNED[:-1] + b"\0")
    assert len(info.records) == 2
    assert info.stated_hash != info.content_hash


# No byte can be changed.


@pytest.mark.slow
def test_flipping_any_byte_anywhere_is_rejected() -> None:
    for at in range(len(SIGNED)):
        for mask in (0x01, 0x80, 0xFF):
            changed = bytearray(SIGNED)
            changed[at] ^= mask
            with pytest.raises(PayloadRejected):
                verify(bytes(changed), ANCHORS)


def test_flipping_any_bit_outside_the_signature_values_is_rejected() -> None:
    first, second = (SIGNED.index(each.signature) for each in inspect(SIGNED).records)
    values = {*range(first, first + 64), *range(second, second + 3309)}
    for at in set(range(len(SIGNED))) - values:
        for bit in range(8):
            changed = bytearray(SIGNED)
            changed[at] ^= 1 << bit
            with pytest.raises(PayloadRejected):
                verify(bytes(changed), ANCHORS)


def test_cutting_the_file_anywhere_is_rejected() -> None:
    for end in range(len(SIGNED)):
        with pytest.raises(PayloadRejected):
            verify(SIGNED[:end], ANCHORS)


@settings(max_examples=400)
@given(mutations())
def test_a_mutated_file_is_rejected_with_a_typed_error(data: bytes) -> None:
    assume(data != SIGNED)
    with pytest.raises(PayloadRejected):
        verify(data, ANCHORS)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_signature_section_content_is_judged_and_never_crashes(payload: bytes) -> None:
    for data in (payload, HEADER + payload, module(payload), module(b"\1\1\1\1" + prefixed(payload))):
        with pytest.raises(PayloadRejected):
            verify(data, ANCHORS)
