"""The evidence file: one encoding, which other implementations of CWT, COSE and CBOR also read and write."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import cwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.attestation import EnvelopeKey, Evidence, EvidenceError, SignedQuote
from enclave_sim.attestation.evidence import (
    BOOT_COUNT,
    CYCLE,
    EAT_NONCE,
    EAT_PROFILE,
    MAX_FILE_BYTES,
    MEASUREMENTS,
    PROFILE,
    QUOTES,
    UEID,
)
from enclave_sim.attestation.formats.envelope import check_envelope, protected_header, signed_bytes
from tests.enclave_sim.attestation.nodes import AKS, ENVELOPE_KEY, HONEST, NONCE, RESET_COUNT, error_of, judge

EVIDENCE = HONEST.evidence()
UNPROTECTED = bytes.fromhex("d9 0259")
SIGNED_CWT = bytes.fromhex("d8 3d d2")
BLOBS = st.binary(max_size=60)
EVIDENCES = st.builds(
    Evidence,
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**32 - 1),
    st.lists(st.builds(SignedQuote, BLOBS, BLOBS, BLOBS), min_size=1, max_size=4).map(tuple),
    BLOBS,
)


def claims() -> dict[Any, Any]:
    loaded: dict[Any, Any] = cbor2.loads(EVIDENCE.encode(None)[len(UNPROTECTED) :])
    return loaded


def unprotected(content: object) -> bytes:
    return UNPROTECTED + cbor2.dumps(content, canonical=True)


def enveloped(payload: bytes, protected: bytes | None = None, header: object = None, size: int = 64) -> bytes:
    protected = protected_header(ENVELOPE_KEY.public) if protected is None else protected
    signature = ENVELOPE_KEY.sign(signed_bytes(protected, payload)).ljust(size, b"\0")[:size]
    return SIGNED_CWT + cbor2.dumps([protected, {} if header is None else header, payload, signature])


@given(EVIDENCES, st.sampled_from([None, ENVELOPE_KEY]))
def test_evidence_that_is_written_is_read_again(evidence: Evidence, key: EnvelopeKey | None) -> None:
    file = evidence.encode(key)
    decoded = Evidence.decode(file)
    assert decoded == evidence
    assert decoded.file == file
    assert decoded.encode(key) == file


def test_a_file_is_the_same_whenever_it_is_written() -> None:
    assert EVIDENCE.encode(ENVELOPE_KEY) == EVIDENCE.encode(EnvelopeKey.from_seed(b"a node's envelope key"))


def test_the_claims_are_those_of_the_profile() -> None:
    assert claims() == {
        EAT_NONCE: NONCE,
        UEID: b"\x01" + AKS[0].name[2:],
        EAT_PROFILE: PROFILE,
        BOOT_COUNT: RESET_COUNT,
        MEASUREMENTS: [[42, EVIDENCE.event_log]],
        CYCLE: 3,
        QUOTES: [[quote.attest, quote.signature, quote.public] for quote in EVIDENCE.quotes],
    }


def test_another_implementation_of_cwt_accepts_our_envelope_and_reads_our_claims() -> None:
    numbers = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), ENVELOPE_KEY.public).public_numbers()
    parameters: dict[int, Any] = {1: 2, 2: ENVELOPE_KEY.public, 3: -7, -1: 1}
    parameters |= {-2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
    key = cwt.COSEKey.new(parameters)
    assert cwt.decode(EVIDENCE.encode(ENVELOPE_KEY), key) == claims()
    *content, last = EVIDENCE.encode(ENVELOPE_KEY)
    broken = bytes([*content, last ^ 1])
    with pytest.raises(cwt.VerifyError):
        cwt.decode(broken, key)


def test_we_accept_an_envelope_that_another_implementation_of_cose_wrote() -> None:
    private = ec.derive_private_key(ENVELOPE_KEY.secret, ec.SECP256R1())
    from cwt.algs.ec2 import EC2Key

    parameters: dict[int, Any] = EC2Key.to_cose_key(private)
    parameters |= {2: ENVELOPE_KEY.public, 3: -7}
    key = cwt.COSEKey.new(parameters)
    payload = cbor2.dumps(claims(), canonical=True)
    cose = cwt.COSE.new().encode(payload, key, protected={1: -7, 4: ENVELOPE_KEY.public})
    assert isinstance(cose, bytes)
    evidence = Evidence.decode(bytes.fromhex("d83d") + cose)
    assert evidence == EVIDENCE
    assert judge(evidence).accepted


def without(claim: int) -> dict[Any, Any]:
    return {key: value for key, value in claims().items() if key != claim}


NESTED = b"\x81" * 5000 + b"\x00"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "it begins with nothing; expected the tags 61 and 18"),
        (b"not an evidence file", "it begins with 6e6f7420; expected the tags 61 and 18"),
        (bytes(MAX_FILE_BYTES + 1), "it has 65537 bytes; at most 65536 are allowed"),
        (UNPROTECTED, "its claims cannot be read as CBOR"),
        (UNPROTECTED + b"\x18", "claims: an item at offset 1 is cut short"),
        (UNPROTECTED + b"\x58\x02\0", "claims: a string at offset 2 is cut short: 1 bytes are left; it takes 2"),
        (UNPROTECTED + b"\xbf\xff", "claims: an item at offset 0 has no definite length"),
        (UNPROTECTED + b"\xa1\xa0\0", "claim 265 (eat_profile) is missing"),
        (unprotected({10**5000: 0}), "claims: an item at offset 1 is a tag, a float or a simple value"),
        (unprotected({2**64 - 1: 0, EAT_PROFILE: PROFILE}), "claim 18446744073709551615 is not one of its profile"),
        (unprotected({1: cbor2.CBORTag(35, "(?i)[\0-\uffff]" * 999)}), "an item at offset 2 is a tag"),
        (UNPROTECTED + NESTED, "claims: an item at offset 64 is one too many; no file needs more than 64"),
        (unprotected([1, 2]), "the claims are not a map"),
        (unprotected(without(EAT_PROFILE)), f"claim 265 (eat_profile) is missing; expected {PROFILE!r}"),
        (unprotected({**claims(), EAT_PROFILE: "tag:other"}), "claim 265 (eat_profile) is 'tag:other'; expected"),
        (unprotected({**claims(), 4: 1700000000}), "claim 4 is not one of its profile"),
        (unprotected({**claims(), "x": 0}), "claim 'x' is not one of its profile"),
        (unprotected({**claims(), EAT_NONCE: "text"}), "claim 10 (eat_nonce) must be 32 bytes"),
        (unprotected({**claims(), EAT_NONCE: bytes(31)}), "the nonce has 31 bytes; expected 32"),
        (unprotected(without(EAT_NONCE)), "claim 10 (eat_nonce) must be 32 bytes"),
        (unprotected({**claims(), CYCLE: True}), "is a tag, a float or a simple value; no claim has one"),
        (unprotected({**claims(), CYCLE: -1}), "the cycle is -1; expected 0 to 4294967295"),
        (unprotected({**claims(), CYCLE: 2**32}), "the cycle is 4294967296; expected 0 to 4294967295"),
        (unprotected({**claims(), CYCLE: b""}), "claim -70001 (cycle) must be an unsigned number"),
        (unprotected({**claims(), QUOTES: []}), "there are 0 quotes; expected 1 to 4"),
        (unprotected({**claims(), QUOTES: claims()[QUOTES] * 3}), "there are 6 quotes; expected 1 to 4"),
        (unprotected({**claims(), QUOTES: [[b"", b""]]}), "claim -70002 (quotes) must be a list of"),
        (unprotected({**claims(), QUOTES: [[b"", b"", "x"]]}), "claim -70002 (quotes) must be a list of"),
        (unprotected({**claims(), MEASUREMENTS: b""}), "claim 273 (measurements) must be [[42, event log]]"),
        (unprotected({**claims(), MEASUREMENTS: [[43, EVIDENCE.event_log]]}), "its claims are not written"),
        (unprotected({**claims(), UEID: b"\x01" + bytes(32)}), "its claims are not written as they must be"),
        (unprotected({**claims(), BOOT_COUNT: RESET_COUNT + 1}), "its claims are not written as they must be"),
        (unprotected(without(BOOT_COUNT)), "its claims are not written as they must be"),
        (UNPROTECTED + cbor2.dumps(dict(reversed(claims().items()))), "its claims are not written as they must be"),
        (EVIDENCE.encode(None) + b"\0", "its claims are not written as they must be"),
        (EVIDENCE.encode(ENVELOPE_KEY) + b"\0", "the envelope is not written as it must be"),
        (SIGNED_CWT + cbor2.dumps([b"", {}, b""]), "the envelope is not [protected header, {}, claims, signature]"),
        (enveloped(b"", header={4: b"kid"}), "the envelope is not written as it must be"),
        (enveloped(b"", size=63), "the envelope's signature has 63 bytes; expected 64"),
        (enveloped(b"", protected=b""), "the protected header is ...; expected {1: -7 (ES256)"),
        (enveloped(b"", protected=cbor2.dumps({1: -35, 4: ENVELOPE_KEY.public})), "expected {1: -7 (ES256)"),
        (enveloped(b"", protected=cbor2.dumps({1: -7, 2: [99], 99: 0})), "expected {1: -7 (ES256)"),
        (enveloped(b""), "its claims cannot be read as CBOR"),
    ],
)
def test_what_is_not_an_evidence_file_is_refused_in_one_line(file: bytes, message: str) -> None:
    error = error_of(Evidence.decode, file)
    assert message in error
    assert "\n" not in error


SHAPES: list[Callable[[bytes], bytes]] = [
    lambda data: data,
    lambda data: UNPROTECTED + data,
    lambda data: SIGNED_CWT + data,
    enveloped,
]
CBOR = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(-70003, 300) | st.text(max_size=3), inner, max_size=4)
        | st.builds(cbor2.CBORTag, st.integers(0, 300).filter(lambda tag: tag != 29), inner)
    ),
)


@given(st.binary(max_size=100), st.sampled_from(SHAPES))
def test_bytes_of_any_kind_are_refused_with_an_evidence_error(data: bytes, shape: Callable[[bytes], bytes]) -> None:
    assert error_of(Evidence.decode, shape(data))


@pytest.mark.slow
@given(CBOR, st.sampled_from(SHAPES))
def test_cbor_of_any_kind_is_refused_with_an_evidence_error(content: object, shape: Callable[[bytes], bytes]) -> None:
    error = error_of(Evidence.decode, shape(cbor2.dumps(content)))
    assert error
    assert "\n" not in error


@given(st.sampled_from(sorted(claims())), CBOR)
def test_a_claim_of_another_kind_is_refused(claim: int, content: object) -> None:
    changed = unprotected({**claims(), claim: content})
    assert error_of(Evidence.decode, changed) or Evidence.decode(changed).encode(None) == changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nonce": b""}, "the nonce has 0 bytes; expected 32"),
        ({"cycle": 2**32}, "the cycle is 4294967296"),
        ({"quotes": ()}, "there are 0 quotes; expected 1 to 4"),
        ({"event_log": bytes(MAX_FILE_BYTES)}, "at most 65536 are allowed"),
    ],
)
def test_what_no_file_can_carry_is_not_written(change: dict[str, Any], message: str) -> None:
    with pytest.raises(EvidenceError, match=message):
        replace(EVIDENCE, **change).encode(ENVELOPE_KEY)


def test_a_file_may_be_as_large_as_the_limit() -> None:
    room = MAX_FILE_BYTES - len(replace(EVIDENCE, event_log=bytes(50000)).encode(None)) + 50000
    file = replace(EVIDENCE, event_log=bytes(room)).encode(None)
    assert len(file) == MAX_FILE_BYTES
    assert Evidence.decode(file).event_log == bytes(room)


def test_an_envelope_key_needs_a_seed_of_16_bytes() -> None:
    with pytest.raises(EvidenceError, match="at least 16 bytes, not 15"):
        EnvelopeKey.from_seed(bytes(15))
    assert EnvelopeKey.from_seed(bytes(16)).public[0] in (2, 3)


def test_an_envelope_by_a_key_that_is_not_a_point_is_refused() -> None:
    with pytest.raises(EvidenceError, match="not a point of P-256"):
        check_envelope(b"\x02" + b"\xff" * 32, b"", bytes(64))
