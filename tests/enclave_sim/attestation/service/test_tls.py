"""TLS: a verifier's certificate must be valid for its host, from an authority that this node trusts."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from enclave_sim.attestation.service.client import RemoteVerifier
from enclave_sim.attestation.service.errors import VerifierUnavailable
from enclave_sim.attestation.service.server import Tls, serving
from enclave_sim.errors import ConfigurationError
from tests.enclave_sim.attestation.service.certificates import Authority, private_key
from tests.enclave_sim.attestation.service.hostile import peer, silent
from tests.enclave_sim.attestation.service.node import Node
from tests.enclave_sim.attestation.service.rig import Rig

pytestmark = pytest.mark.slow


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "good")


def test_evidence_is_accepted_over_tls(rig: Rig, authority: Authority) -> None:
    with serving(rig.verifier, tls=authority.certify("127.0.0.1")) as url:
        assert url.startswith("https://127.0.0.1:")
        verifier = RemoteVerifier(url, ca_file=authority.file)
        nonce = verifier.challenge(0, Node().ak_name)
        assert verifier.judge(0, Node().evidence(nonce)).accepted


def test_a_certificate_of_an_unknown_authority_is_refused(rig: Rig, authority: Authority) -> None:
    other = Authority(authority.directory, "other")
    with serving(rig.verifier, tls=authority.certify("127.0.0.1")) as url:
        for ca_file in (other.file, None):
            with pytest.raises(
                VerifierUnavailable, match="its certificate is not accepted: unable to get local issuer certificate"
            ):
                RemoteVerifier(url, ca_file=ca_file).challenge(0, None)


def test_an_authority_of_the_same_name_is_another(rig: Rig, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "impostor").mkdir()
    impostor = Authority(tmp_path / "impostor", authority.name)
    with serving(rig.verifier, tls=impostor.certify("127.0.0.1")) as url, pytest.raises(VerifierUnavailable):
        RemoteVerifier(url, ca_file=authority.file).challenge(0, None)


def test_a_certificate_for_another_host_is_refused(rig: Rig, authority: Authority) -> None:
    with (
        serving(rig.verifier, tls=authority.certify("127.0.0.2")) as url,
        pytest.raises(VerifierUnavailable, match=r"not valid for '127\.0\.0\.1'"),
    ):
        RemoteVerifier(url, ca_file=authority.file).challenge(0, None)


def test_an_expired_certificate_is_refused(rig: Rig, authority: Authority) -> None:
    with (
        serving(rig.verifier, tls=authority.certify("127.0.0.1", expired=True)) as url,
        pytest.raises(VerifierUnavailable, match="expired"),
    ):
        RemoteVerifier(url, ca_file=authority.file).challenge(0, None)


def test_plain_http_and_https_do_not_understand_each_other(rig: Rig, authority: Authority) -> None:
    with serving(rig.verifier, tls=authority.certify("127.0.0.1")) as url, pytest.raises(VerifierUnavailable):
        RemoteVerifier(url.replace("https", "http")).challenge(0, None)
    with serving(rig.verifier) as url, pytest.raises(VerifierUnavailable):
        RemoteVerifier(url.replace("http", "https"), ca_file=authority.file).challenge(0, None)


def test_a_handshake_that_does_not_end_times_out(authority: Authority) -> None:
    with peer(silent) as url, pytest.raises(VerifierUnavailable, match=r"no complete answer within 0\.15 s"):
        RemoteVerifier(url.replace("http", "https"), 0.15, authority.file).challenge(0, None)


def test_a_server_is_refused_files_that_hold_no_certificate_and_key(rig: Rig, authority: Authority) -> None:
    good, other = authority.certify("127.0.0.1"), authority.certify("127.0.0.2")
    secret = authority.directory / "secret.key"
    secret.write_bytes(private_key(ec.generate_private_key(ec.SECP256R1()), b"pass phrase"))
    for tls, words in (
        (Tls(good.certificate, other.key), "are not a PEM certificate and its"),
        (Tls(good.key, good.key), "are not a PEM certificate and its"),
        (Tls(good.certificate, secret), "unencrypted key"),
        (Tls(good.certificate, authority.directory / "missing.key"), "cannot read"),
    ):
        with pytest.raises(ConfigurationError, match=words), serving(rig.verifier, tls=tls):
            pass
