"""Signed modules as the kernel verifies them: the check that fails is the one that fails in AetherHost."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware
import payloads
from enclave_sim.payload.errors import PayloadCheck, PayloadRejected
from enclave_sim.payload.keys import SigningKey, TrustAnchor, development_anchor
from enclave_sim.payload.signature import inspect, sign, verify
from tests.enclave_sim.payload.signed_modules import (
    ANCHORS,
    HEADER,
    KEY,
    MODULE,
    OTHER,
    PRACTICE,
    SIGNED,
    ed25519,
    envelope,
    leb,
    ml_dsa_65,
    module,
    mutations,
    prefixed,
    record,
    section,
)
from tests.firmware.signatures.library import failed_check

BOTH = [ed25519(), ml_dsa_65()]
ALL = [KEY.anchor(), OTHER.anchor(), PRACTICE.anchor()]


def both(data: bytes, anchors: Sequence[TrustAnchor] = ANCHORS, *, production: bool = False) -> PayloadCheck | None:
    """The check that fails, which must be the same; None for an accepted module."""
    try:
        verify(data, anchors, production=production)
        host = None
    except PayloadRejected as rejected:
        host = rejected.check
    assert failed_check(data, anchors, production=production) is host
    return host


def test_the_kernel_has_the_checks_of_signatures_in_the_hosts_order() -> None:
    names = [check.name for check in PayloadCheck]
    assert firmware.built_in().description.checks == ["", *names[: names.index("ARTEFACT_MISMATCH")]]


@pytest.mark.parametrize("name", payloads.names())
def test_every_built_in_payload_is_accepted(name: str) -> None:
    assert both(payloads.read(name), [development_anchor()]) is None
    assert both(payloads.read(name), [development_anchor()], production=True) is PayloadCheck.DEVELOPMENT_KEY
    assert both(payloads.read(name), ANCHORS) is PayloadCheck.UNKNOWN_KEY


@pytest.mark.parametrize("key", [KEY, OTHER, PRACTICE], ids=lambda key: key.name)
def test_the_anchor_is_found_anywhere_in_the_list(key: SigningKey) -> None:
    signed = sign(MODULE, key)
    assert both(signed, ALL) is None
    assert both(signed, ALL[::-1]) is None


def forged(at: int) -> bytes:
    """The signed module with a changed byte in the signature of one algorithm, which both know the place of."""
    signature = inspect(SIGNED).records[at].signature
    where = SIGNED.index(signature)
    return SIGNED[:where] + bytes([signature[0] ^ 1]) + SIGNED[where + 1 :]


SWAPPED = record(KEY.anchor().ed25519_key_id, 0x65, bytes(3309)), record(KEY.anchor().ml_dsa_65_key_id, 0x01, bytes(64))
CASES = {
    "nothing": (b"", PayloadCheck.NOT_WASM),
    "a header cut off": (b"\0asm\1\0\0", PayloadCheck.NOT_WASM),
    "another version": (b"\0asm\x0d\0\1\0", PayloadCheck.NOT_WASM),
    "cut off in its content": (SIGNED[:-1], PayloadCheck.NOT_WASM),
    "a byte after the last section": (SIGNED + b"\0", PayloadCheck.NOT_WASM),
    "a size of six bytes": (HEADER + b"\1\x80\x80\x80\x80\x80\0", PayloadCheck.NOT_WASM),
    "a size of 33 bits": (HEADER + b"\1\xff\xff\xff\xff\x10", PayloadCheck.NOT_WASM),
    "the largest size": (HEADER + b"\1\xff\xff\xff\xff\x0f", PayloadCheck.NOT_WASM),
    "a name that is not UTF-8": (SIGNED + section(b"", b"\xed\xa0\x80"), PayloadCheck.NOT_WASM),
    "a name longer than its section": (SIGNED + b"\0" + prefixed(b"\5name"), PayloadCheck.NOT_WASM),
    "a name of 200,000 bytes": (SIGNED + section(b"", bytes(200_000)), PayloadCheck.BAD_ED25519),
    "no section": (HEADER, PayloadCheck.UNSIGNED),
    "unsigned": (MODULE, PayloadCheck.UNSIGNED),
    "a name that is too short": (HEADER + section(b"", b"signatur") + MODULE[8:], PayloadCheck.UNSIGNED),
    "cut off in its signatures": (SIGNED[:100], PayloadCheck.MALFORMED_SIGNATURE),
    "signatures at the end": (MODULE + section(envelope(BOTH)), PayloadCheck.MALFORMED_SIGNATURE),
    "two sections": (SIGNED + section(envelope(BOTH)), PayloadCheck.MALFORMED_SIGNATURE),
    "a padded section": (HEADER + section(envelope(BOTH), pad=3) + MODULE[8:], PayloadCheck.MALFORMED_SIGNATURE),
    "signatures swapped": (module(envelope(BOTH[::-1])), PayloadCheck.MALFORMED_SIGNATURE),
    "algorithms swapped": (module(envelope(SWAPPED)), PayloadCheck.MALFORMED_SIGNATURE),
    "a signature twice": (module(envelope([BOTH[0], *BOTH])), PayloadCheck.MALFORMED_SIGNATURE),
    "an unknown algorithm": (module(envelope([*BOTH, record(b"", 0x77, b"")])), PayloadCheck.MALFORMED_SIGNATURE),
    "more signatures than there are": (module(envelope(BOTH, count=2**32 - 1)), PayloadCheck.MALFORMED_SIGNATURE),
    "ML-DSA-65 alone": (module(envelope(BOTH[1:])), PayloadCheck.MISSING_ED25519),
    "Ed25519 alone": (module(envelope(BOTH[:1])), PayloadCheck.MISSING_ML_DSA_65),
    "two signers": (module(envelope([ed25519(KEY), ml_dsa_65(OTHER)])), PayloadCheck.UNKNOWN_KEY),
    "a key id too long": (
        module(envelope([BOTH[0], record(KEY.anchor().ml_dsa_65_key_id + b"\0", 0x65, bytes(3309))])),
        PayloadCheck.UNKNOWN_KEY,
    ),
    "a changed module": (SIGNED[:-1] + bytes([SIGNED[-1] ^ 1]), PayloadCheck.BAD_ED25519),
    "a changed hash": (module(envelope(BOTH, digest=bytes(32))), PayloadCheck.BAD_ED25519),
    "a forged Ed25519": (forged(0), PayloadCheck.BAD_ED25519),
    "a forged ML-DSA-65": (forged(1), PayloadCheck.BAD_ML_DSA_65),
    "another context": (module(envelope([ed25519(), ml_dsa_65(context=b"")])), PayloadCheck.BAD_ML_DSA_65),
}


@pytest.mark.parametrize("what", CASES)
def test_the_first_check_that_fails_is_the_hosts(what: str) -> None:
    data, check = CASES[what]
    assert both(data, [KEY.anchor(), OTHER.anchor()]) is check


@pytest.mark.parametrize("order", [1, -1])
def test_a_copied_anchor_does_not_launder_a_development_key(order: int) -> None:
    honest = PRACTICE.anchor()
    laundered = TrustAnchor("clean", honest.ed25519_public_key, honest.ml_dsa_65_public_key, development=False)
    anchors = [honest, laundered][::order]
    assert both(sign(MODULE, PRACTICE), anchors, production=True) is PayloadCheck.DEVELOPMENT_KEY


def test_without_anchors_every_key_is_unknown() -> None:
    assert both(SIGNED, []) is PayloadCheck.UNKNOWN_KEY


def test_cutting_a_module_anywhere_is_refused_for_the_hosts_reason() -> None:
    for end in range(len(SIGNED)):
        assert both(SIGNED[:end]) is not None


@pytest.mark.slow
def test_a_change_of_any_byte_of_a_module_is_refused_for_the_hosts_reason() -> None:
    chosen = random.Random(0)
    for at in range(len(SIGNED)):
        changed = SIGNED[:at] + bytes([SIGNED[at] ^ chosen.randint(1, 255)]) + SIGNED[at + 1 :]
        assert both(changed) is not None


@settings(max_examples=400)
@given(mutations())
def test_a_mutated_module_is_judged_as_by_the_host(data: bytes) -> None:
    assert (both(data) is None) == (data == SIGNED)


@st.composite
def envelopes(draw: st.DrawFn) -> bytes:
    """Signature sections in nearly the right form."""
    records = draw(
        st.lists(
            st.sampled_from(
                [
                    *BOTH,
                    *BOTH,
                    ed25519(OTHER),
                    ml_dsa_65(OTHER),
                    record(b"", 0x01, bytes(64)),
                    record(b"", 0x65, bytes(3309)),
                    record(b"", 0x01, bytes(63)),
                    record(KEY.anchor().ed25519_key_id, 0x01, bytes(64)),
                    record(KEY.anchor().ed25519_key_id, 0x01, bytes(64), pad=2),
                    prefixed(b"\0\1" + leb(64)),
                    b"",
                ]
            ),
            max_size=3,
        )
    )
    payload = envelope(
        records,
        digest=draw(st.sampled_from([None, None, bytes(32), b""])),
        head=draw(st.sampled_from([b"\1\1\1", b"\1\1\1", b"\1\1\2", b""])),
        count=draw(st.sampled_from([None, None, None, 0, 2, 2**32 - 1])),
    )
    return payload + draw(st.sampled_from([b"", b"", b"", b"\0"]))


@settings(max_examples=400)
@given(envelopes(), st.sampled_from([ANCHORS, ALL, [OTHER.anchor()]]))
def test_any_combination_of_records_is_judged_as_by_the_host(payload: bytes, anchors: Sequence[TrustAnchor]) -> None:
    both(module(payload), anchors)


@given(st.binary(max_size=200))
def test_any_bytes_are_judged_as_by_the_host(content: bytes) -> None:
    for data in (content, HEADER + content, module(content), module(b"\1\1\1\1" + prefixed(content))):
        assert both(data) is not None
