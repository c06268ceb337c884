"""The checks of a payload signature, in order, and their messages."""

from hashlib import sha256

import pytest

from enclave_sim.payload.errors import PayloadCheck, PayloadRejected
from enclave_sim.payload.keys import TrustAnchor
from enclave_sim.payload.signature import inspect, sign, verify
from tests.enclave_sim.payload.signed_modules import (
    ANCHORS,
    HEADER,
    KEY,
    MODULE,
    OTHER,
    PRACTICE,
    SIGNED,
    check_of,
    ed25519,
    envelope,
    leb,
    message,
    ml_dsa_65,
    module,
    prefixed,
    record,
    section,
)

# Each check, in order.


@pytest.mark.parametrize(
    "data",
    [b"", b"\0asm", b"\x7fELF" + bytes(60), b"\0asm\x0d\0\1\0", SIGNED[:-1], SIGNED[:12], MODULE[:-1], MODULE + b"\0"],
)
def test_what_is_not_framed_as_a_module_is_not_wasm(data: bytes) -> None:
    assert check_of(data) is PayloadCheck.NOT_WASM


@pytest.mark.parametrize("data", [MODULE, HEADER, HEADER + section(b"", b"signatur") + MODULE[8:]])
def test_a_module_without_signature_section_is_unsigned(data: bytes) -> None:
    assert check_of(data) is PayloadCheck.UNSIGNED


NAMED = b"\x09signature"


@pytest.mark.parametrize(
    ("start", "check"),
    [
        (b"\0\x40" + NAMED, PayloadCheck.MALFORMED_SIGNATURE),
        (b"\0\xff\xff\xff\xff\x0f" + NAMED, PayloadCheck.MALFORMED_SIGNATURE),
        (b"\0\xc0\x80\x80\x80\0" + NAMED, PayloadCheck.MALFORMED_SIGNATURE),
        (b"\0\x40" + NAMED[:-1], PayloadCheck.NOT_WASM),
        (b"\0\x40x" + NAMED, PayloadCheck.NOT_WASM),
        (b"\0\xff\xff\xff\xff\x10" + NAMED, PayloadCheck.NOT_WASM),
        (b"\0\x80\x80\x80\x80\x80\0" + NAMED, PayloadCheck.NOT_WASM),
        (b"\0\0" + b"\0\x40" + NAMED, PayloadCheck.NOT_WASM),
    ],
)
def test_a_first_section_of_that_name_which_is_framed_wrongly_is_a_malformed_signature(
    start: bytes, check: PayloadCheck
) -> None:
    assert check_of(HEADER + start) is check


BOTH = [ed25519(), ml_dsa_65()]
DIGEST = sha256(MODULE[8:]).digest()
SIGNED_SET = b"\1" + DIGEST + b"\2" + b"".join(BOTH)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (SIGNED[:100], "bytes earlier"),
        (SIGNED[:21], "bytes earlier"),
        (MODULE + section(envelope(BOTH)), "must be the first"),
        (SIGNED + section(b""), "second signature section"),
        (SIGNED + section(envelope(BOTH)), "second signature section"),
        (HEADER + section(envelope(BOTH), pad=3) + MODULE[8:], "shortest encoding"),
        (module(b""), "1 bytes are called for where the signature section has 0"),
        (module(b"\1\1\1"), "cut off"),
        (module(envelope(BOTH, head=b"\2\1\1")), "specification version is 2 and must be 1"),
        (module(envelope(BOTH, head=b"\1\2\1")), "content type is 2 and must be 1"),
        (module(envelope(BOTH, head=b"\1\1\2")), "hash function is 2 and must be 1"),
        (module(b"\1\1\1\0" + prefixed(SIGNED_SET)), "number of hash sets is 0"),
        (module(b"\1\1\1\2" + prefixed(SIGNED_SET)), "number of hash sets is 2"),
        (module(b"\1\1\1" + leb(1, 2) + prefixed(SIGNED_SET)), "shortest LEB128"),
        (module(b"\1\1\1\1" + prefixed(SIGNED_SET, 3)), "shortest LEB128"),
        (module(b"\1\1\1\1" + leb(len(SIGNED_SET) - 1) + SIGNED_SET), "length of the hash set"),
        (module(b"\1\1\1\1" + prefixed(b"\2" + DIGEST + SIGNED_SET[1:])), "number of hashes is 2"),
        (module(envelope(BOTH) + b"\0"), "length of the hash set"),
        (module(b"\1\1\1\1" + prefixed(SIGNED_SET + b"\0")), "bytes after the last signature is 1"),
        (module(envelope(BOTH, count=1)), "bytes after the last signature"),
        (module(envelope(BOTH, count=3)), "cut off"),
        (module(envelope(BOTH, count=2**32 - 1)), "cut off"),
        (module(envelope(BOTH[::-1])), "out of order"),
        (module(envelope([BOTH[0], *BOTH])), "repeat"),
        (module(envelope([*BOTH, record(b"", 0x77, b"")])), "algorithm 0x77 is unknown"),
        (module(envelope([record(b"", 0x01, bytes(63)), BOTH[1]])), "Ed25519 signature is 63 and must be 64"),
        (module(envelope([BOTH[0], record(b"", 0x65, b"")])), "ML-DSA-65 signature is 0 and must be 3309"),
        (module(envelope([record(b"k", 0x01, bytes(64), pad=2), BOTH[1]])), "shortest LEB128"),
        (module(envelope([prefixed(b"\0\1" + prefixed(bytes(64)) + b"\0"), BOTH[1]])), "signature record is 68"),
    ],
)
def test_a_signature_section_which_is_not_in_its_only_form_is_malformed(data: bytes, reason: str) -> None:
    with pytest.raises(PayloadRejected, match=reason) as caught:
        verify(data, ANCHORS)
    assert caught.value.check is PayloadCheck.MALFORMED_SIGNATURE
    assert "at byte " in caught.value.message


HASH_SET_AT = 4
RECORDS_AT = HASH_SET_AT + len(leb(len(SIGNED_SET))) + len(SIGNED_SET) - len(BOTH[0]) - len(BOTH[1])
"""Offset of the first record in a payload with both signatures."""


@pytest.mark.parametrize(
    ("payload", "at", "message"),
    [
        (envelope(BOTH, head=b"\2\1\1"), 0, "specification version is 2 and must be 1"),
        (envelope(BOTH, head=b"\1\2\1"), 1, "content type is 2 and must be 1"),
        (envelope(BOTH, head=b"\1\1\2"), 2, "hash function is 2 and must be 1"),
        (b"\1\1\1\2" + prefixed(SIGNED_SET), 3, "number of hash sets is 2 and must be 1"),
        (b"\1\1\1" + leb(1, 2) + prefixed(SIGNED_SET), 3, "a length is not in its shortest LEB128 encoding"),
        (
            b"\1\1\1\1" + leb(len(SIGNED_SET) - 1) + SIGNED_SET,
            4,
            f"length of the hash set is {len(SIGNED_SET) - 1} and must be {len(SIGNED_SET)}",
        ),
        (b"\1\1\1\1" + prefixed(b"\2" + DIGEST + SIGNED_SET[1:]), 6, "number of hashes is 2 and must be 1"),
        (
            b"\1\1\1\1" + prefixed(SIGNED_SET + b"\0\0"),
            6 + len(SIGNED_SET),
            "number of bytes after the last signature is 2 and must be 0",
        ),
        (
            envelope([record(b"ky", 0x77, b""), *BOTH]),
            RECORDS_AT + 4,
            "algorithm 0x77 is unknown; known are 0x01 (Ed25519) and 0x65 (ML-DSA-65)",
        ),
        (
            envelope([record(b"ky", 0x01, bytes(63)), BOTH[1]]),
            RECORDS_AT + 5,
            "length of the Ed25519 signature is 63 and must be 64",
        ),
        (
            envelope([prefixed(b"\0\1" + prefixed(bytes(64)) + b"\0"), BOTH[1]]),
            RECORDS_AT,
            "length of a signature record is 68 and must be 67",
        ),
        (
            envelope([prefixed(b"\0\1" + leb(64)), b""]),
            RECORDS_AT - 1 + 4,
            "64 bytes are called for where the signature section has 0 left",
        ),
    ],
)
def test_what_is_malformed_is_named_with_the_byte_at_which_it_begins(payload: bytes, at: int, message: str) -> None:
    data = module(payload)
    with pytest.raises(PayloadRejected) as caught:
        verify(data, ANCHORS)
    assert caught.value.message == f"at byte {data.index(payload) + at}: {message}"


@pytest.mark.parametrize(
    ("data", "at", "message"),
    [
        (MODULE + section(envelope(BOTH)), len(MODULE), "a signature section must be the first section of the module"),
        (SIGNED + section(b""), len(SIGNED), "there is a second signature section; one is allowed"),
        (
            HEADER + section(envelope(BOTH), pad=3) + MODULE[8:],
            8,
            "a length at the start of the section is not in its shortest encoding",
        ),
        (module(envelope(BOTH[::-1])), 8, "signatures repeat or are out of order: algorithms 65 01"),
        (module(envelope([BOTH[0], *BOTH])), 8, "signatures repeat or are out of order: algorithms 01 01 65"),
    ],
)
def test_a_section_that_is_malformed_as_a_whole_is_named_with_its_first_byte(
    data: bytes, at: int, message: str
) -> None:
    with pytest.raises(PayloadRejected) as caught:
        verify(data, ANCHORS)
    assert caught.value.message == f"at byte {at}: {message}"


def test_a_length_that_ends_with_its_section_is_named_with_its_byte() -> None:
    payload = b"\1\1\1\x80"
    data = module(payload)
    with pytest.raises(PayloadRejected, match=f"at byte {data.index(payload) + 3}: "):
        verify(data[: data.index(payload) + 4], ANCHORS)


def test_what_is_missing_is_named_beside_what_is_there() -> None:
    needs = "a payload needs both Ed25519 and ML-DSA-65"
    for records, present in (([], "no signature at all"), ([ml_dsa_65()], "ML-DSA-65"), ([ed25519()], "Ed25519")):
        with pytest.raises(PayloadRejected) as caught:
            verify(module(envelope(records)), ANCHORS)
        assert caught.value.message == f"the signature section holds {present}; {needs}"


def test_an_unknown_key_is_named_with_both_key_ids_and_the_anchors_given() -> None:
    ids = [each.key_id.hex() for each in inspect(SIGNED).records]
    with pytest.raises(PayloadRejected) as caught:
        verify(SIGNED, [OTHER.anchor(), PRACTICE.anchor()])
    assert caught.value.message == (
        f"no trust anchor has both key ids {ids[0]} (Ed25519) and {ids[1]} (ML-DSA-65); "
        "anchors given: 'bob', 'practice'"
    )
    nameless = module(envelope([record(b"", 0x01, bytes(64)), record(b"", 0x65, bytes(3309))]))
    with pytest.raises(PayloadRejected) as caught:
        verify(nameless, [])
    assert caught.value.message == (
        "no trust anchor has both key ids (none) (Ed25519) and (none) (ML-DSA-65); anchors given: none"
    )


@pytest.mark.parametrize("records", [[], [ml_dsa_65()]])
def test_a_payload_needs_an_ed25519_signature(records: list[bytes]) -> None:
    assert check_of(module(envelope(records))) is PayloadCheck.MISSING_ED25519


def test_a_payload_needs_an_ml_dsa_65_signature() -> None:
    assert check_of(module(envelope([ed25519()]))) is PayloadCheck.MISSING_ML_DSA_65


@pytest.mark.parametrize(
    "records",
    [
        [ed25519(OTHER), ml_dsa_65(OTHER)],
        [ed25519(KEY), ml_dsa_65(OTHER)],
        [record(b"", 0x01, bytes(64)), ml_dsa_65()],
        [ed25519(), record(KEY.anchor().ml_dsa_65_key_id + b"\0", 0x65, bytes(3309))],
        [record(KEY.anchor().ed25519_key_id[:8], 0x01, bytes(64)), ml_dsa_65()],
    ],
)
def test_signatures_which_no_anchor_answers_for_are_of_an_unknown_key(records: list[bytes]) -> None:
    assert check_of(module(envelope(records))) is PayloadCheck.UNKNOWN_KEY


def test_without_anchors_every_key_is_unknown() -> None:
    assert check_of(SIGNED, []) is PayloadCheck.UNKNOWN_KEY


def test_both_signatures_must_come_from_the_same_anchor() -> None:
    mixed = module(envelope([ed25519(KEY), ml_dsa_65(OTHER)]))
    assert check_of(mixed, [KEY.anchor(), OTHER.anchor()]) is PayloadCheck.UNKNOWN_KEY


def test_production_refuses_a_development_key() -> None:
    signed = sign(MODULE, PRACTICE)
    assert verify(signed, [PRACTICE.anchor()]).anchor.development
    assert check_of(signed, [PRACTICE.anchor()], production=True) is PayloadCheck.DEVELOPMENT_KEY


@pytest.mark.parametrize("order", [1, -1])
def test_a_copied_anchor_cannot_launder_a_development_key(order: int) -> None:
    honest = PRACTICE.anchor()
    laundered = TrustAnchor("clean", honest.ed25519_public_key, honest.ml_dsa_65_public_key, development=False)
    anchors = [honest, laundered][::order]
    assert check_of(sign(MODULE, PRACTICE), anchors, production=True) is PayloadCheck.DEVELOPMENT_KEY


@pytest.mark.parametrize(
    "text",
    [
        message(b"another module"),
        b"wasmsig\1\1" + DIGEST,  # without content type, as early versions of wasmsign2 did
        b"WASMSIG\1\1\1" + DIGEST,
        DIGEST,
        message(MODULE),  # the header is not part of what is hashed
    ],
)
def test_an_ed25519_signature_of_another_message_is_bad(text: bytes) -> None:
    assert check_of(module(envelope([ed25519(text=text), ml_dsa_65()]))) is PayloadCheck.BAD_ED25519


def test_an_ed25519_signature_by_another_key_is_bad() -> None:
    forged = record(KEY.anchor().ed25519_key_id, 0x01, OTHER.ed25519_private_key().sign(message()))
    assert check_of(module(envelope([forged, ml_dsa_65()]))) is PayloadCheck.BAD_ED25519


def test_an_ed25519_signature_has_no_second_form() -> None:
    # RFC 8032, 5.1.7: s + L would verify in a careless implementation (malleability).
    order = 2**252 + 27742317777372353535851937790883648493
    good = KEY.ed25519_private_key().sign(message())
    other_s = (int.from_bytes(good[32:], "little") + order).to_bytes(32, "little")
    twin = record(KEY.anchor().ed25519_key_id, 0x01, good[:32] + other_s)
    assert check_of(module(envelope([twin, ml_dsa_65()]))) is PayloadCheck.BAD_ED25519


@pytest.mark.parametrize("stated", [bytes(32), sha256(b"").digest()])
def test_a_stated_hash_which_is_not_the_contents_is_bad(stated: bytes) -> None:
    with pytest.raises(PayloadRejected, match="changed after signing") as caught:
        verify(module(envelope(BOTH, digest=stated)), ANCHORS)
    assert caught.value.check is PayloadCheck.BAD_ED25519


def test_changed_content_with_a_corrected_hash_is_bad() -> None:
    content = MODULE[8:].replace(b"_start", b"_stare")
    forged = HEADER + section(envelope(BOTH, digest=sha256(content).digest())) + content
    assert check_of(forged) is PayloadCheck.BAD_ED25519


@pytest.mark.parametrize("context", [b"", b"aether-quote"])
def test_an_ml_dsa_65_signature_of_another_context_is_bad(context: bytes) -> None:
    assert check_of(module(envelope([ed25519(), ml_dsa_65(context=context)]))) is PayloadCheck.BAD_ML_DSA_65


def test_an_ml_dsa_65_signature_of_another_message_is_bad() -> None:
    assert check_of(module(envelope([ed25519(), ml_dsa_65(text=b"else")]))) is PayloadCheck.BAD_ML_DSA_65


# Failing two checks gives the earlier one.


@pytest.mark.parametrize(
    ("data", "anchors", "check"),
    [
        (b"MZ", [], PayloadCheck.NOT_WASM),
        (MODULE, [], PayloadCheck.UNSIGNED),
        (module(envelope([record(b"", 0x65, b"")])), [], PayloadCheck.MALFORMED_SIGNATURE),
        (module(envelope([])), [], PayloadCheck.MISSING_ED25519),
        (module(envelope([record(b"", 0x01, bytes(64))])), [], PayloadCheck.MISSING_ML_DSA_65),
        (sign(MODULE, PRACTICE), [], PayloadCheck.UNKNOWN_KEY),
        (sign(MODULE, PRACTICE)[:-1] + b"\0", [PRACTICE.anchor()], PayloadCheck.DEVELOPMENT_KEY),
        (module(envelope([ed25519(text=b""), ml_dsa_65(text=b"")])), ANCHORS, PayloadCheck.BAD_ED25519),
    ],
)
def test_the_first_failing_check_is_the_answer(data: bytes, anchors: list[TrustAnchor], check: PayloadCheck) -> None:
    assert check_of(data, anchors, production=True) is check


def test_the_checks_are_listed_in_the_order_in_which_they_are_made() -> None:
    assert " ".join(check.name for check in PayloadCheck) == (
        "NOT_WASM UNSIGNED MALFORMED_SIGNATURE MISSING_ED25519 MISSING_ML_DSA_65 UNKNOWN_KEY DEVELOPMENT_KEY "
        "BAD_ED25519 BAD_ML_DSA_65 ARTEFACT_MISMATCH ARTEFACT_FOREIGN PROFILE"
    )
