"""The client: only a verdict that accepts this very challenge does, and everything else is a refusal in good time."""

import asyncio
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.errors import ConfigurationError
from enclave_sim.verifier_service.client import RemoteVerdict, RemoteVerifier
from enclave_sim.verifier_service.errors import VerifierUnavailable
from enclave_sim.verifier_service.server import serving
from tests.enclave_sim.verifier_service.hostile import (
    Behaviour,
    answer,
    deaf_and_endless,
    dripping,
    in_turn,
    peer,
    read_request,
    saying,
    silent,
)
from tests.enclave_sim.verifier_service.node import Node
from tests.enclave_sim.verifier_service.rig import Rig

NODE = Node()
ID = "c0ffee"
CHALLENGE = {"challenge": ID, "nonce": "ab" * 32, "expires_in_s": 60}
CHECK = {"name": "nonce", "passed": True, "message": "the challenge's"}
ACCEPTED = {"challenge": ID, "accepted": True, "cycle": 7, "reset_count": 1, "checks": [CHECK]}
FAST = 0.15  # s; a limit for peers that will never be done


def judged(second: Behaviour, timeout_s: float = 5.0) -> RemoteVerdict:
    """What a client makes of an answer to its evidence for cycle 7."""
    with peer(in_turn(saying(answer(CHALLENGE)), second)) as url:
        verifier = RemoteVerifier(url, timeout_s)
        verifier.challenge(7, None)
        return verifier.judge(7, b"evidence")


def assert_one_line(message: str, *words: str) -> None:
    assert message.isprintable()
    assert len(message) < 500
    assert [word for word in words if word not in message] == []


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


HUGE = answer(b" " * 2**21)
BEHAVIOURS: dict[str, tuple[Behaviour, str]] = {
    "closes": (saying(b""), "disconnected"),
    "no HTTP": (saying(b"220 mail.example ESMTP\r\n\r\n"), "illegal status line"),
    "a cut body": (saying(answer(ACCEPTED)[:-5]), "without sending complete"),
    "status 500": (saying(answer(ACCEPTED, "500 Oops")), "status 500"),
    "status 404": (saying(answer(b"<html>no</html>", "404 Not Found")), "status 404"),
    "an error": (saying(answer({"error": "a\x1b[2Jb", "message": "x" * 999}, "409 Conflict")), "a\\x1b[2Jb"),
    "status 201": (saying(answer(ACCEPTED, "201 Created")), "status 201"),
    "a redirect": (saying(answer(b"", "307 T", "location: http://127.0.0.1:1/\r\n")), "redirect"),
    "no body": (saying(answer(b"")), "not a "),
    "no JSON": (saying(answer(b"<html></html>")), "not a "),
    "deep JSON": (saying(answer(b"[" * 100_000)), "not a "),
    "no UTF-8": (saying(answer(b'{"challenge": "\xff"}')), "not a "),
    "a list": (saying(answer([ACCEPTED])), "not a "),
    "gzip": (saying(answer(b"\x1f\x8b", headers="content-encoding: gzip\r\n")), "encoded"),
    "a huge body": (saying(HUGE), "longer than"),
    "an endless body": (deaf_and_endless, "longer than"),
    "endless headers": (
        dripping(b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 60_000 + b"\r\n"),
        "",
    ),
    "dripping headers": (dripping(b"HTTP/1.1 200 OK\r\nx: "), "no complete answer within 0.15 s"),
    "a dripping body": (
        dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", b" "),
        "no complete answer within 0.15 s",
    ),
    "silence": (silent, "no complete answer within 0.15 s"),
}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_no_other_answer_is_a_challenge(name: str) -> None:
    behaviour, words = BEHAVIOURS[name]
    began = time.monotonic()
    with peer(behaviour) as url, pytest.raises(VerifierUnavailable) as refusal:
        RemoteVerifier(url, FAST if "0.15" in words or not words else 5).challenge(7, None)
    assert_one_line(str(refusal.value), url, words)
    assert time.monotonic() - began < 3  # s; well below the usual limit


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_no_other_answer_accepts(name: str) -> None:
    behaviour, words = BEHAVIOURS[name]

    verdict = judged(behaviour, FAST if "0.15" in words or not words else 5)
    assert not verdict.accepted
    assert_one_line(verdict.message, words)
    assert verdict.challenge == ID


def changed(**changes: Any) -> dict[str, Any]:
    return {**ACCEPTED, **changes}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ACCEPTED.items() if key != name}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed(challenge="another"), "another challenge"),
        (changed(cycle=8), "cycle 8, not 7"),
        (changed(cycle=None), "cycle None, not 7"),
        (changed(cycle="7"), "not a verdict"),
        (changed(accepted=1), "not a verdict"),
        (changed(accepted="true"), "not a verdict"),
        (changed(checks=[]), "contradicts"),
        (changed(checks=None), "not a verdict"),
        (changed(checks=[CHECK, {**CHECK, "passed": False}]), "contradicts"),
        (changed(accepted=False), "contradicts"),
        (changed(accepted=False, checks=[{**CHECK, "passed": False}]), "nonce: the challenge's"),
        (without("challenge"), "not a verdict"),
        (without("accepted"), "not a verdict"),
        (without("cycle"), "not a verdict"),
        (without("checks"), "not a verdict"),
        ({"error": "x", "message": "y"}, "not a verdict"),
    ],
)
def test_a_verdict_that_is_not_the_one_asked_for_does_not_accept(content: Any, words: str) -> None:
    verdict = judged(saying(answer(content)))
    assert not verdict.accepted
    assert_one_line(verdict.message, words)


@pytest.mark.parametrize(
    "content",
    [
        {**CHALLENGE, "nonce": "ab" * 31},
        {**CHALLENGE, "nonce": "ab" * 33},
        {**CHALLENGE, "nonce": "ab" * 32 + "\n"},
        {**CHALLENGE, "nonce": "zz" * 32},
        {**CHALLENGE, "challenge": ""},
        {**CHALLENGE, "challenge": "x&y"},
        {**CHALLENGE, "challenge": "a" * 65},
        {**CHALLENGE, "challenge": "a\n"},
        {**CHALLENGE, "expires_in_s": 0},
        {"nonce": "ab" * 32},
    ],
)
def test_a_malformed_challenge_is_no_challenge(content: Any) -> None:
    with peer(saying(answer(content))) as url, pytest.raises(VerifierUnavailable, match="not a challenge"):
        RemoteVerifier(url).challenge(7, None)


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


def test_the_time_limit_is_for_the_whole_exchange() -> None:
    began = time.monotonic()
    with peer(dripping(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n")) as url, pytest.raises(VerifierUnavailable):
        RemoteVerifier(url, FAST).challenge(0, None)
    assert FAST <= time.monotonic() - began < FAST + 0.5


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with peer(silent) as url:
        for _ in range(3):
            with pytest.raises(VerifierUnavailable):
                RemoteVerifier(url, 0.05).challenge(0, None)
    deadline = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


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
        ("http://[::1", "is not a URL"),
        ("http://127.0.0.1:99999", "is not a URL"),
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
        (empty, "https://a.example", "holds no PEM"),
        (tmp_path / "missing.pem", "https://a.example", "cannot be read"),
        (empty, "http://127.0.0.1", "for https"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            RemoteVerifier(url, ca_file=ca_file)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200)
    | st.builds(
        lambda at, new: answer(CHALLENGE)[:at] + new + answer(CHALLENGE)[at + len(new) :],
        st.integers(0, 80),
        st.binary(min_size=1, max_size=3),
    )
)
def test_whatever_a_peer_says_is_a_challenge_or_unavailable(said: bytes) -> None:
    with peer(saying(said)) as url:
        try:
            nonce = RemoteVerifier(url, 2).challenge(7, None)
        except VerifierUnavailable as refusal:
            assert_one_line(str(refusal))
        else:
            assert nonce == bytes.fromhex("ab" * 32)
