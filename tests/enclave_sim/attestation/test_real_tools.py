"""tpm2-tools accept our output, and we accept that of a real TPM 2.0."""

from dataclasses import replace
from pathlib import Path

import pytest

from enclave_sim.attestation import Evidence, key_name, public_pem, verify
from enclave_sim.attestation.formats.event_log import EventLog
from enclave_sim.attestation.formats.public_area import parse_public, qualified_name
from enclave_sim.attestation.formats.quote import parse_quote
from enclave_sim.attestation.formats.signature import parse_signature
from tests.enclave_sim.attestation.nodes import (
    CAP,
    CHALLENGE,
    CYCLE,
    ECDSA_NODE,
    ENVELOPE_KEY,
    EVENTS,
    NONCE,
    REFERENCE,
    refused,
)
from tests.enclave_sim.attestation.tpm_tools import ATTRIBUTES, MISSING, Swtpm, checkquote, replayed, run, swtpm

pytestmark = [pytest.mark.tpm, pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")]


def test_tpm2_checkquote_accepts_our_quote_with_the_key_as_pem_and_as_tpm2b_public(tmp_path: Path) -> None:
    evidence = ECDSA_NODE.evidence()
    for public in (public_pem(evidence.quotes[0].public), evidence.quotes[0].public):
        done = checkquote(tmp_path, evidence, 0, public)
        assert done.returncode == 0, done.stderr


def test_tpm2_checkquote_refuses_what_we_refuse(tmp_path: Path) -> None:
    evidence = ECDSA_NODE.evidence()
    public = evidence.quotes[0].public
    for bad in (
        replace(evidence, nonce=bytes(32)),
        replace(evidence, event_log=EventLog(EVENTS[:-1]).encode()),
        replace(evidence, quotes=(evidence.quotes[0]._replace(attest=evidence.quotes[0].attest[:-1] + b"\0"),)),
    ):
        assert checkquote(tmp_path, bad, 0, public).returncode != 0


def test_tpm2_eventlog_reads_our_log_and_replays_it_as_we_do(tmp_path: Path) -> None:
    log = EventLog((*EVENTS, CAP))
    (tmp_path / "log").write_bytes(log.encode())
    done = run("tpm2_eventlog", "log", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert replayed(done.stdout) == log.replay()
    for event in log.events:
        assert event.digest.hex() in done.stdout


def test_a_quote_of_swtpm_is_accepted() -> None:
    with swtpm() as tpm:
        public = tpm.create_ak()
        tpm.measure(EVENTS)
        evidence = tpm.evidence(NONCE, CYCLE, public, EVENTS)
        name = (tpm.folder / "ak.name").read_bytes()
        assert key_name(public) == name
        assert qualified_name(name) == (tpm.folder / "ak.qn").read_bytes()
        assert checkquote(tpm.folder, evidence, 0, public).returncode == 0
    reference = replace(REFERENCE, ak_names=frozenset({name.hex()}))
    verdict = verify(Evidence.decode(evidence.encode(ENVELOPE_KEY)), CHALLENGE, reference)
    assert verdict.failures == ()
    assert verdict.accepted
    quote = evidence.quotes[0]
    assert parse_quote(quote.attest).encode() == quote.attest
    assert parse_signature(quote.signature).encode() == quote.signature
    assert parse_public(quote.public).encode() == quote.public


def measured(tpm: Swtpm, **ak: str) -> tuple[Evidence, bytes]:
    public = tpm.create_ak(**ak)
    tpm.measure(EVENTS)
    return tpm.evidence(NONCE, CYCLE, public, EVENTS), public


def judged(evidence: Evidence, public: bytes) -> list[str]:
    reference = replace(REFERENCE, ak_names=frozenset({key_name(public).hex()}))
    return refused(verify(evidence, CHALLENGE, reference))


def test_a_quote_of_swtpm_by_a_key_of_the_owner_hierarchy_is_refused() -> None:
    with swtpm() as tpm:
        assert judged(*measured(tpm, hierarchy="o")) == ["quote 1 qualified name"]


def test_a_quote_of_swtpm_by_an_unrestricted_key_is_refused() -> None:
    with swtpm() as tpm:
        loose = ATTRIBUTES.replace("|restricted", "")
        assert judged(*measured(tpm, attributes=loose)) == ["quote 1 AK attributes"]


def test_a_quote_of_swtpm_over_other_pcrs_is_refused() -> None:
    with swtpm() as tpm:
        evidence, public = measured(tpm)
        extra_data = NONCE + CYCLE.to_bytes(4, "big")
        other = replace(evidence, quotes=(tpm.quote(extra_data, public, "sha256:8,9,10,11,12"),))
        assert judged(other, public) == ["quote 1 PCR selection", "quote 1 PCR digest"]


def test_a_quote_of_swtpm_after_the_cap_is_refused() -> None:
    with swtpm() as tpm:
        public = tpm.create_ak()
        tpm.measure((*EVENTS, CAP))
        assert judged(tpm.evidence(NONCE, CYCLE, public, EVENTS), public) == ["quote 1 PCR digest"]


def test_swtpm_signs_with_a_restricted_key_anything_but_what_begins_with_the_magic() -> None:
    """The other half of the check of the magic: a TPM's AK never signs an attest made outside it."""
    with swtpm() as tpm:
        evidence, _ = measured(tpm)
        attest = evidence.quotes[0].attest
        codes = []
        for data in (attest, b"\0" + attest):
            (tpm.folder / "data").write_bytes(data)
            command = ("tpm2_sign", "-c", "ak.ctx", "-g", "sha256", "-o", "signed", "data")
            codes.append(run(*command, tcti=f"swtpm:path={tpm.folder / 'tpm'}", folder=tpm.folder).returncode)
            run("tpm2_flushcontext", "-t", tcti=f"swtpm:path={tpm.folder / 'tpm'}", folder=tpm.folder)
        assert codes[0] != 0
        assert codes[1] == 0
