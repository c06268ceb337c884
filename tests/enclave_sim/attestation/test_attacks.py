"""Forgeries that an attacker might present. None is accepted, and the right check says why."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from enclave_sim.attestation import ECDSA_P256, ML_DSA_65, Challenge, Evidence, Policy, Position, SignedQuote
from enclave_sim.attestation.formats.algorithms import TPM_ALG_SHA1
from enclave_sim.attestation.formats.public_area import AK_ATTRIBUTES, TPM_RH_OWNER
from enclave_sim.attestation.formats.quote import QUOTED_PCRS, PcrSelection
from enclave_sim.attestation.formats.signature import EcdsaSignature
from tests.enclave_sim.attestation.nodes import (
    AKS,
    BOTH,
    CAP,
    CYCLE,
    ECDSA_NODE,
    EVENTS,
    HONEST,
    NONCE,
    RESET_COUNT,
    Ak,
    Node,
    ecdsa_ak,
    judge,
    ml_dsa_ak,
    refused,
    with_hash,
    with_head,
    with_quote,
)

ECDSA, ML_DSA = 0, 1


def signed_again(evidence: Evidence, index: int, attest: bytes, ak: Ak | None = None) -> Evidence:
    """The quote with another attest, signed by the right key: the result of a hole in a TPM's own checks."""
    ak = ak or AKS[index]
    return with_quote(evidence, index, SignedQuote(attest, ak.sign(attest), ak.public))


@pytest.mark.parametrize("magic", [b"\0\0\0\0", b"\xff\x54\x43\x46", b"GCT\xff"])
def test_an_attest_without_the_magic_of_a_tpm_is_refused(magic: bytes) -> None:
    """CVE-2024-29038: an unrestricted use of the key could sign any bytes but these."""
    evidence = HONEST.evidence()
    forged = signed_again(evidence, ECDSA, with_head(evidence.quotes[ECDSA].attest, magic=magic))
    names = refused(judge(forged))
    assert names[0] == "quote 1 magic"
    assert "quote 1 signature" not in names


@pytest.mark.parametrize("kind", [0x8014, 0x8017, 0x8019, 0x801A])
def test_an_attest_of_another_type_is_refused(kind: int) -> None:
    attest = HONEST.evidence().quotes[ECDSA].attest
    forged = signed_again(HONEST.evidence(), ECDSA, with_head(attest, kind=kind))
    assert refused(judge(forged))[0] == "quote 1 type"


@pytest.mark.parametrize(
    "selections",
    [
        (),
        (PcrSelection.of((8, 9, 10, 11, 12)),),
        (PcrSelection.of(tuple(range(8, 15))),),
        (PcrSelection.of((16, 17, 18, 19, 20, 21)),),
        (PcrSelection.of(QUOTED_PCRS, 0x0004),),
        (PcrSelection.of(QUOTED_PCRS), PcrSelection.of((0,), 0x0004)),
        (PcrSelection.of(QUOTED_PCRS), PcrSelection.of(QUOTED_PCRS)),
        (PcrSelection(0x000B, b"\0\x3f\0\0"),),
    ],
)
def test_a_quote_over_other_pcrs_is_refused(selections: tuple[PcrSelection, ...]) -> None:
    """CVE-2024-29039: the digest is right, but of PCRs that anybody can extend."""
    verdict = judge(replace(ECDSA_NODE, selections=selections).evidence())
    assert refused(verdict) == ["quote 1 PCR selection"]


def test_another_key_with_the_same_attributes_is_refused() -> None:
    assert refused(judge(Node(aks=(ecdsa_ak(6),)).evidence())) == ["quote 1 AK known"]
    assert refused(judge(Node(aks=(AKS[0], ml_dsa_ak(6))).evidence())) == ["quote 2 AK known"]


@pytest.mark.parametrize("index", [ECDSA, ML_DSA])
def test_a_quote_signed_by_another_key_than_the_one_shown_is_refused(index: int) -> None:
    other = (ecdsa_ak(6), ml_dsa_ak(6))[index]
    evidence = HONEST.evidence()
    quote = evidence.quotes[index]
    forged = with_quote(evidence, index, quote._replace(signature=other.sign(quote.attest)))
    assert refused(judge(forged)) == [f"quote {index + 1} signature"]


@pytest.mark.parametrize("bit", range(32))
def test_the_right_key_with_other_attributes_is_refused(bit: int) -> None:
    """Unrestricted, it would sign an attest made outside the TPM; not fixed to it, it could have been copied."""
    changed = ecdsa_ak(5, AK_ATTRIBUTES ^ 1 << bit)
    assert refused(judge(Node(aks=(changed,)).evidence())) == ["quote 1 AK attributes", "quote 1 AK known"]


def test_a_key_with_a_policy_is_refused() -> None:
    changed = ecdsa_ak(5, AK_ATTRIBUTES, bytes(32))
    assert refused(judge(Node(aks=(changed,)).evidence())) == ["quote 1 AK attributes", "quote 1 AK known"]


@pytest.mark.parametrize("hierarchy", [TPM_RH_OWNER, 0x4000000C, 0x40000007])
def test_an_ak_in_another_hierarchy_is_refused(hierarchy: int) -> None:
    verdict = judge(replace(HONEST, hierarchy=hierarchy).evidence())
    assert refused(verdict) == ["quote 1 qualified name", "quote 2 qualified name"]
    assert ("owner hierarchy" in verdict.failures[0].message) == (hierarchy == TPM_RH_OWNER)


def test_one_signature_is_refused_where_both_are_required() -> None:
    assert refused(judge(ECDSA_NODE.evidence(), policy=BOTH)) == ["signature algorithms"]
    assert refused(judge(Node(aks=AKS[1:]).evidence(), policy=BOTH)) == ["signature algorithms"]


def test_no_algorithm_stands_in_for_the_one_required() -> None:
    assert refused(judge(ECDSA_NODE.evidence(), policy=Policy(frozenset({ML_DSA_65})))) == ["signature algorithms"]
    assert refused(judge(Node(aks=AKS[1:]).evidence(), policy=Policy(frozenset({ECDSA_P256})))) == [
        "signature algorithms"
    ]


def test_the_same_quote_twice_does_not_stand_for_two_algorithms() -> None:
    evidence = ECDSA_NODE.evidence()
    twice = replace(evidence, quotes=evidence.quotes * 2)
    assert refused(judge(twice)) == ["signature algorithms"]
    assert refused(judge(twice, policy=BOTH)) == ["signature algorithms"]


def test_more_quotes_than_a_node_has_are_refused() -> None:
    evidence = ECDSA_NODE.evidence()
    assert refused(judge(replace(evidence, quotes=evidence.quotes * 5)))[0] == "number of quotes"


def test_a_bad_second_signature_is_refused_even_where_the_first_would_do() -> None:
    evidence = HONEST.evidence()
    quote = evidence.quotes[ML_DSA]
    bad = quote._replace(signature=quote.signature[:-1] + bytes([quote.signature[-1] ^ 1]))
    assert refused(judge(with_quote(evidence, ML_DSA, bad))) == ["quote 2 signature"]


@pytest.mark.parametrize(("index", "other"), [(ECDSA, ML_DSA), (ML_DSA, ECDSA)])
def test_a_signature_of_the_other_algorithm_is_refused(index: int, other: int) -> None:
    evidence = HONEST.evidence()
    quote = evidence.quotes[index]
    swapped = quote._replace(signature=AKS[other].sign(quote.attest))
    verdict = judge(with_quote(evidence, index, swapped), policy=BOTH)
    assert refused(verdict) == [f"quote {index + 1} signature"]
    assert "both must be one" in verdict.failures[0].message


def test_a_signature_over_sha1_is_refused() -> None:
    evidence = ECDSA_NODE.evidence()
    quote = evidence.quotes[0]
    key = ec.derive_private_key(5, ec.SECP256R1())
    r, s = utils.decode_dss_signature(key.sign(quote.attest, ec.ECDSA(hashes.SHA1())))
    claimed = EcdsaSignature(r.to_bytes(32, "big"), s.to_bytes(32, "big")).encode()
    weak = with_hash(claimed, TPM_ALG_SHA1)
    verdict = judge(with_quote(evidence, 0, quote._replace(signature=weak)))
    assert refused(verdict) == ["quote 1 signature"]
    assert "hash at offset 2 is 0x0004" in verdict.failures[0].message
    assert refused(judge(with_quote(evidence, 0, quote._replace(signature=claimed)))) == ["quote 1 signature"]


@pytest.mark.parametrize(("r", "s"), [(b"\0", b"\0"), (b"\0" * 32, b"\0" * 32), (b"\xff" * 32, b"\xff" * 32)])
def test_a_degenerate_ecdsa_signature_is_refused(r: bytes, s: bytes) -> None:
    evidence = ECDSA_NODE.evidence()
    forged = evidence.quotes[0]._replace(signature=EcdsaSignature(r, s).encode())
    assert refused(judge(with_quote(evidence, 0, forged))) == ["quote 1 signature"]


@pytest.mark.slow
@pytest.mark.parametrize("blob", ["attest", "signature", "public"])
@pytest.mark.parametrize("index", [ECDSA, ML_DSA])
def test_a_quote_cut_short_anywhere_is_refused(index: int, blob: str) -> None:
    evidence = HONEST.evidence()
    whole = getattr(evidence.quotes[index], blob)
    for length in range(len(whole)):
        cut = evidence.quotes[index]._replace(**{blob: whole[:length]})
        assert not judge(with_quote(evidence, index, cut)).accepted


@pytest.mark.parametrize("blob", ["attest", "signature", "public"])
def test_bytes_after_a_structure_are_refused(blob: str) -> None:
    evidence = HONEST.evidence()
    for index in (ECDSA, ML_DSA):
        longer = getattr(evidence.quotes[index], blob) + b"\0"
        assert not judge(with_quote(evidence, index, evidence.quotes[index]._replace(**{blob: longer}))).accepted


def test_evidence_for_another_nonce_is_refused() -> None:
    other = Challenge(bytes(32), CYCLE)
    assert refused(judge(ECDSA_NODE.evidence(), other)) == ["nonce", "quote 1 extra data"]
    relabelled = replace(ECDSA_NODE.evidence(), nonce=bytes(32))
    assert refused(judge(relabelled, other)) == ["quote 1 extra data"]


def test_evidence_of_another_cycle_is_refused() -> None:
    later = Challenge(NONCE, CYCLE + 1)
    assert refused(judge(ECDSA_NODE.evidence(), later)) == ["cycle", "quote 1 extra data"]
    relabelled = replace(ECDSA_NODE.evidence(), cycle=CYCLE + 1)
    assert refused(judge(relabelled, later)) == ["quote 1 extra data"]


def test_evidence_from_before_the_last_reset_is_refused() -> None:
    assert refused(judge(ECDSA_NODE.evidence(), Challenge(NONCE, CYCLE, (Position(RESET_COUNT + 1, 0, 0, 0),)))) == [
        "freshness"
    ]


def test_evidence_accepted_once_is_refused_afterwards() -> None:
    evidence = HONEST.evidence()
    first = judge(evidence)
    assert first.accepted
    assert first.position is not None
    assert refused(judge(evidence, Challenge(NONCE, CYCLE, (first.position,)))) == ["freshness"]


def test_quotes_of_different_boots_are_refused() -> None:
    later = replace(HONEST, reset_count=RESET_COUNT + 1).evidence()
    mixed = with_quote(HONEST.evidence(), ML_DSA, later.quotes[ML_DSA])
    verdict = judge(mixed)
    assert refused(verdict) == ["quotes agree"]
    assert "reset count" in verdict.failures[0].message


def test_quotes_of_different_states_are_refused() -> None:
    other = replace(HONEST, events=(*EVENTS, CAP)).evidence()
    mixed = with_quote(HONEST.evidence(), ML_DSA, other.quotes[ML_DSA])
    assert refused(judge(mixed)) == ["quote 2 PCR digest", "quotes agree"]
