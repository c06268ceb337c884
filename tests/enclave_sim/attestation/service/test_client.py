"""The client with a good verifier, with none, and with URLs and options that it refuses."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from enclave_sim.attestation.service.client import RemoteVerifier
from enclave_sim.attestation.service.errors import VerifierUnavailable
from enclave_sim.attestation.service.server import serving
from enclave_sim.errors import ConfigurationError
from tests.enclave_sim.attestation.service.hostile import (
    ACCEPTED,
    CHALLENGE,
    answer,
    assert_one_line,
    in_turn,
    peer,
    read_request,
    saying,
)
from tests.enclave_sim.attestation.service.node import Node
from tests.enclave_sim.attestation.service.rig import Rig

NODE = Node()


def test_good_evidence_is_accepted(rig: Rig) -> None:
    with serving(rig.verifier) as url:
        verifier = RemoteVerifier(url)
        for cycle in range(3):
            nonce = verifier.challenge(cycle, NODE.ak_name)
            verdict = verifier.judge(cycle, NODE.evidence(nonce, cycle))
            assert verdict.accepted
            assert verdict.message == f"accepted: {len(verdict.checks)} checks passed"
            assert all(check.passed for check in verdict.checks)
            assert rig.request("GET", f"/verdicts/{verdict.challenge}").content["accepted"] is True


def test_a_refusal_names_the_first_failed_check(rig: Rig) -> None:
    with serving(rig.verifier) as url:
        verifier = RemoteVerifier(url)
        verifier.challenge(0, NODE.ak_name)
        verdict = verifier.judge(0, NODE.evidence(bytes(32)))
    assert not verdict.accepted
    assert_one_line(verdict.message, "nonce: is 0000", "(and 1 more)")
    assert [check.name for check in verdict.checks if not check.passed] == ["nonce", "quote 1 extra data"]


def test_an_expired_challenge_is_refused_with_the_service_s_words(rig: Rig) -> None:
    with serving(rig.verifier) as url:
        verifier = RemoteVerifier(url)
        nonce = verifier.challenge(0, NODE.ak_name)
        rig.clock.now_ns += 3600 * 10**9
        verdict = verifier.judge(0, NODE.evidence(nonce))
    assert not verdict.accepted
    assert_one_line(verdict.message, "410", "challenge_expired", "is over; ask for another")


def test_without_a_challenge_for_the_cycle_nothing_is_sent() -> None:
    given, accepting = saying(answer(CHALLENGE)), saying(answer(ACCEPTED))
    with peer(in_turn(given, given, accepting)) as url:
        verifier = RemoteVerifier(url)
        assert not verifier.judge(7, b"evidence").accepted
        verifier.challenge(7, None)
        assert not verifier.judge(8, b"evidence").accepted
        assert not verifier.judge(7, b"evidence").accepted
        verifier.challenge(7, None)
        assert verifier.judge(7, b"evidence").accepted
        verdict = verifier.judge(7, b"evidence")
    assert not verdict.accepted
    assert_one_line(verdict.message, "no challenge for cycle 7 is open")


def test_a_failed_request_for_a_challenge_closes_the_one_before() -> None:
    with peer(saying(answer(CHALLENGE))) as url:
        verifier = RemoteVerifier(url)
        verifier.challenge(7, None)
    with pytest.raises(VerifierUnavailable):
        verifier.challenge(7, None)
    assert_one_line(verifier.judge(7, b"evidence").message, "no challenge")


def test_a_verifier_that_is_down_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(VerifierUnavailable, match=url):
        RemoteVerifier(url).challenge(0, None)


def test_a_verifier_that_goes_down_accepts_nothing(rig: Rig) -> None:
    with serving(rig.verifier) as url:
        verifier = RemoteVerifier(url)
        nonce = verifier.challenge(0, None)
    verdict = verifier.judge(0, NODE.evidence(nonce))
    assert not verdict.accepted
    assert_one_line(verdict.message, url)


def test_a_host_without_address_is_unavailable() -> None:
    with pytest.raises(VerifierUnavailable, match=r"verifier\.invalid"):
        RemoteVerifier("https://verifier.invalid:8040", 3.0).challenge(0, None)


def test_a_verifier_can_be_asked_from_within_an_event_loop(rig: Rig) -> None:
    async def ask(url: str) -> bytes:
        return RemoteVerifier(url).challenge(0, None)

    with serving(rig.verifier) as url:
        assert len(asyncio.run(ask(url))) == 32


def test_proxies_of_the_environment_are_not_used(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serving(rig.verifier) as url:
        assert len(RemoteVerifier(url).challenge(0, None)) == 32


def test_a_verifier_may_stand_below_a_path() -> None:
    requests: list[bytes] = []

    def behave(connection: socket.socket, _over: threading.Event) -> None:
        requests.append(read_request(connection))
        connection.sendall(answer(CHALLENGE))

    with peer(behave) as url:
        RemoteVerifier(url + "/fleet/a/").challenge(7, NODE.ak_name)
    assert requests[0].startswith(b"POST /fleet/a/challenge HTTP/1.1\r\n")
    assert requests[0].endswith(b'{"cycle":7,"ak":"%s"}' % NODE.ak_name.hex().encode())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not the URL"),
        ("verifier.example", "not the URL"),
        ("ftp://verifier.example", "not the URL"),
        ("http://", "not the URL"),
        ("http://[::1", "is not the URL of a verifier"),
        ("http://127.0.0.1:99999", "is not the URL of a verifier"),
        ("https://name:word@verifier.example", "no user"),
        ("https://verifier.example?x=y", "no query"),
        ("http://verifier.example", "use https"),
        ("http://127.0.0.1.example", "use https"),
        ("http://10.0.0.1:8040", "use https"),
        ("http://0.0.0.0:8040", "use https"),
    ],
)
def test_a_url_that_cannot_be_trusted_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        RemoteVerifier(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost", "http://[::1]:8040", "https://a.example"])
def test_loopback_and_https_urls_are_taken(url: str) -> None:
    assert RemoteVerifier(url + "/").url == url


def test_plain_http_to_other_hosts_is_for_those_who_insist() -> None:
    assert RemoteVerifier("http://10.0.0.1", allow_insecure=True).url == "http://10.0.0.1"


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf")])
def test_a_time_limit_is_a_positive_number_of_seconds(timeout_s: float) -> None:
    with pytest.raises(ConfigurationError, match="timeout_s"):
        RemoteVerifier("http://127.0.0.1", timeout_s)


def test_certificate_authorities_must_be_there_and_of_use(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"no certificate")
    for ca_file, url, words in (
        (empty, "https://a.example", "has no certificates in PEM"),
        (tmp_path / "missing.pem", "https://a.example", "cannot read"),
        (empty, "http://127.0.0.1", "for https"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            RemoteVerifier(url, ca_file=ca_file)
