"""TPM structures: written ones can be read again; a malformed one raises one error that names the field."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.attestation import EvidenceError, key_name, public_pem
from enclave_sim.attestation.formats.public_area import (
    AK_ATTRIBUTES,
    TPM_RH_OWNER,
    EccPoint,
    PublicArea,
    parse_public,
    qualified_name,
)
from enclave_sim.attestation.formats.quote import ClockInfo, PcrSelection, Quote, parse_quote
from enclave_sim.attestation.formats.signature import EcdsaSignature, MlDsaSignature, parse_signature
from tests.enclave_sim.attestation.nodes import AKS, HONEST, ecdsa_ak, error_of, ml_dsa_ak

QUOTES = HONEST.evidence().quotes
U16, U32, U64 = (st.integers(0, 2**width - 1) for width in (16, 32, 64))
SELECTIONS = st.builds(PcrSelection, U16, st.binary(min_size=1, max_size=4))
COORDINATES = st.binary(min_size=1, max_size=32)
ATTESTS = st.builds(
    Quote,
    st.binary(min_size=34, max_size=34),
    st.binary(max_size=66),
    st.builds(ClockInfo, U64, U32, U32, st.booleans()),
    U64,
    st.lists(SELECTIONS, max_size=16).map(tuple),
    st.binary(min_size=32, max_size=32),
)
ML_DSA_KEYS = st.binary(min_size=1952, max_size=1952)
AREAS = st.builds(PublicArea, U32, st.binary(max_size=64), st.builds(EccPoint, COORDINATES, COORDINATES) | ML_DSA_KEYS)
SIGNATURES = st.builds(EcdsaSignature, COORDINATES, COORDINATES) | st.builds(
    MlDsaSignature, st.binary(min_size=3309, max_size=3309)
)
PARSERS: list[Callable[[bytes], object]] = [parse_quote, parse_public, parse_signature, key_name, public_pem]


@given(ATTESTS)
def test_a_quote_that_is_written_is_read_again(quote: Quote) -> None:
    assert parse_quote(quote.encode()) == quote


@given(AREAS)
def test_a_public_area_that_is_written_is_read_again(area: PublicArea) -> None:
    assert parse_public(area.encode()) == area


@given(SIGNATURES)
def test_a_signature_that_is_written_is_read_again(signature: EcdsaSignature | MlDsaSignature) -> None:
    assert parse_signature(signature.encode()) == signature


@given(st.sampled_from(PARSERS), st.binary(max_size=300))
def test_bytes_of_any_kind_are_a_structure_or_an_evidence_error(parse: Callable[[bytes], object], data: bytes) -> None:
    assert "\n" not in error_of(parse, data)


@given(
    st.sampled_from(PARSERS),
    st.sampled_from([blob for quote in QUOTES for blob in (quote.attest, quote.public, quote.signature)]),
    st.data(),
)
def test_an_edited_structure_is_a_structure_or_an_evidence_error(
    parse: Callable[[bytes], object], whole: bytes, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(whole)))
    edited = whole[:start] + data.draw(st.binary(max_size=6)) + whole[start + data.draw(st.integers(0, 6)) :]
    assert "\n" not in error_of(parse, edited)


@pytest.mark.parametrize("index", [0, 1])
def test_a_structure_cut_short_anywhere_is_refused(index: int) -> None:
    quote = QUOTES[index]
    for parse, whole in ((parse_quote, quote.attest), (parse_public, quote.public), (parse_signature, quote.signature)):
        for length in range(len(whole)):
            with pytest.raises(EvidenceError):
                parse(whole[:length])
        with pytest.raises(EvidenceError, match=r"nothing may follow|bytes follow"):
            parse(whole + b"\0")


ATTEST = QUOTES[0].attest
PUBLIC = QUOTES[0].public
SIGNATURE = QUOTES[0].signature
ML_DSA_PUBLIC = QUOTES[1].public


def put(data: bytes, offset: int, text: str) -> bytes:
    new = bytes.fromhex(text)
    return data[:offset] + new + data[offset + len(new) :]


@pytest.mark.parametrize(
    ("parse", "data", "message"),
    [
        (parse_quote, b"", "TPMS_ATTEST: magic at offset 0 is cut short: 0 bytes are left; it takes 4"),
        (parse_quote, put(ATTEST, 0, "00"), "magic at offset 0 is 0x00544347; expected 0xff544347"),
        (parse_quote, put(ATTEST, 4, "8017"), "type at offset 4 is 0x8017; expected 0x8018 (TPM_ST_ATTEST_QUOTE)"),
        (parse_quote, put(ATTEST, 6, "0004"), "qualifiedSigner at offset 6 has 4 bytes; expected 34"),
        (parse_quote, put(ATTEST, 42, "0043"), "extraData at offset 42 has 67 bytes; expected 0 to 66"),
        (parse_quote, put(ATTEST, 96, "02"), "clockInfo.safe at offset 96 is 0x02; expected 0 (NO) or 1 (YES)"),
        (parse_quote, put(ATTEST, 105, "00000011"), "pcrSelect.count at offset 105 is 17; a TPM has at most 16 banks"),
        (parse_quote, put(ATTEST, 111, "05"), "pcrSelect[0].sizeofSelect at offset 111 is 5; expected 1 to 4"),
        (parse_quote, put(ATTEST, 115, "0014"), "pcrDigest at offset 115 has 20 bytes; expected 32"),
        (parse_public, put(PUBLIC, 0, "0057"), "TPM2B_PUBLIC: size at offset 0 is 87; 88 bytes follow"),
        (parse_public, put(PUBLIC, 2, "0001"), "type at offset 2 is 0x0001; expected 0x0023 (TPM_ALG_ECC)"),
        (parse_public, put(PUBLIC, 4, "000c"), "nameAlg at offset 4 is 0x000c; expected 0x000b"),
        (parse_public, put(PUBLIC, 12, "0006"), "symmetric at offset 12 is 0x0006; expected 0x0010 (TPM_ALG_NULL)"),
        (parse_public, put(PUBLIC, 14, "001a"), "scheme at offset 14 is 0x001a; expected 0x0018 (TPM_ALG_ECDSA)"),
        (parse_public, put(PUBLIC, 16, "0004"), "hashAlg at offset 16 is 0x0004; expected 0x000b (TPM_ALG_SHA256)"),
        (parse_public, put(PUBLIC, 18, "0004"), "curveID at offset 18 is 0x0004; expected 0x0003"),
        (parse_public, put(PUBLIC, 20, "0020"), "kdf at offset 20 is 0x0020; expected 0x0010 (TPM_ALG_NULL)"),
        (parse_public, put(PUBLIC, 22, "0000"), "unique.x at offset 22 has 0 bytes; expected 1 to 32"),
        (parse_public, put(ML_DSA_PUBLIC, 12, "0003"), "parameterSet at offset 12 is 0x0003; expected 0x0002"),
        (parse_public, put(ML_DSA_PUBLIC, 14, "01"), "allowExternalMu at offset 14 is 0x01; expected 0x00 (NO)"),
        (parse_public, put(ML_DSA_PUBLIC, 15, "0520"), "unique at offset 15 has 1312 bytes; expected 1952"),
        (parse_signature, put(SIGNATURE, 0, "0014"), "sigAlg at offset 0 is 0x0014; expected 0x0018"),
        (parse_signature, put(SIGNATURE, 2, "0004"), "hash at offset 2 is 0x0004; expected 0x000b (TPM_ALG_SHA256)"),
        (parse_signature, put(SIGNATURE, 4, "0021"), "signatureR at offset 4 has 33 bytes; expected 1 to 32"),
        (parse_signature, bytes.fromhex("00a1 0974"), "signature at offset 2 has 2420 bytes; expected 3309"),
        (public_pem, put(PUBLIC, 24, "00" * 32), "unique is not a point of P-256"),
    ],
)
def test_an_error_names_the_field_its_offset_and_what_is_right(
    parse: Callable[[bytes], object], data: bytes, message: str
) -> None:
    with pytest.raises(EvidenceError) as caught:
        parse(data)
    assert message in str(caught.value)


def test_a_name_is_the_hash_algorithm_and_the_digest_of_the_public_area() -> None:
    assert key_name(PUBLIC) == b"\0\x0b" + sha256(PUBLIC[2:]).digest()
    assert qualified_name(key_name(PUBLIC)) == b"\0\x0b" + sha256(b"\x40\0\0\x0b" + key_name(PUBLIC)).digest()
    assert qualified_name(b"x", TPM_RH_OWNER) == b"\0\x0b" + sha256(b"\x40\0\0\1x").digest()
    assert sum(1 << bit for bit in (1, 4, 5, 6, 10, 16, 18)) == AK_ATTRIBUTES, "part 2, 8.3: TPMA_OBJECT"


def test_a_pem_is_the_key() -> None:
    for ak in AKS:
        key = load_pem_public_key(public_pem(ak.public))
        if isinstance(key, ec.EllipticCurvePublicKey):
            assert isinstance(ak.area.key, EccPoint)
            numbers = key.public_numbers()
            found = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
            assert found == (ak.area.key.x, ak.area.key.y)
        else:
            assert isinstance(key, mldsa.MLDSA65PublicKey)
            assert key.public_bytes_raw() == ak.area.key


def test_the_selection_of_pcrs_is_a_bitmap() -> None:
    assert PcrSelection.of((8, 13)).bitmap == b"\0\x21\0"
    assert PcrSelection.of((23, 0)).pcrs == (0, 23)


def test_keys_of_different_seeds_differ() -> None:
    assert len({ak.name for ak in (*AKS, ecdsa_ak(6), ml_dsa_ak(6))}) == 4
