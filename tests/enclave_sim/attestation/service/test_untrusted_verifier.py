"""The client with peers that are not verifiers: only the requested verdict accepts, and all ends in time."""

import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.attestation.service.client import RemoteVerdict, RemoteVerifier
from enclave_sim.attestation.service.errors import VerifierUnavailable
from tests.enclave_sim.attestation.service.hostile import (
    ACCEPTED,
    CHALLENGE,
    CHECK,
    ID,
    Behaviour,
    answer,
    assert_one_line,
    deaf_and_endless,
    dripping,
    in_turn,
    peer,
    saying,
    silent,
)

FAST = 0.15  # s; a limit for peers that never finish
_PATIENCE_S = 300
"""A limit for those that finish."""


def judged(second: Behaviour, timeout_s: float = _PATIENCE_S) -> RemoteVerdict:
    """The client's result for an answer to its evidence for cycle 7."""
    with peer(in_turn(saying(answer(CHALLENGE)), second)) as url:
        verifier = RemoteVerifier(url)
        verifier.challenge(7, None)
        verifier.timeout_s = timeout_s
        return verifier.judge(7, b"evidence")


BEHAVIOURS: dict[str, tuple[Behaviour, str]] = {
    "closes": (saying(b""), "the answer is not HTTP"),
    "no HTTP": (saying(b"220 mail.example ESMTP\r\n\r\n"), "the answer is not HTTP"),
    "a cut body": (saying(answer(ACCEPTED)[:-5]), "the answer is not HTTP"),
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
    "a huge body": (saying(answer(b" " * 2**21)), "longer than"),
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
    with peer(behaviour) as url, pytest.raises(VerifierUnavailable) as refusal:
        RemoteVerifier(url, FAST if "0.15" in words or not words else _PATIENCE_S).challenge(7, None)
    assert_one_line(str(refusal.value), url, words)


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_no_other_answer_accepts(name: str) -> None:
    behaviour, words = BEHAVIOURS[name]

    verdict = judged(behaviour, FAST if "0.15" in words or not words else _PATIENCE_S)
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
def test_a_malformed_challenge_is_not_a_challenge(content: Any) -> None:
    with peer(saying(answer(content))) as url, pytest.raises(VerifierUnavailable, match="not a challenge"):
        RemoteVerifier(url).challenge(7, None)


def test_the_time_limit_is_for_the_whole_exchange() -> None:
    began = time.monotonic()
    with peer(dripping(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n")) as url, pytest.raises(VerifierUnavailable):
        RemoteVerifier(url, FAST).challenge(0, None)
    assert time.monotonic() - began >= FAST


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with peer(silent) as url:
        for _ in range(3):
            with pytest.raises(VerifierUnavailable):
                RemoteVerifier(url, 0.05).challenge(0, None)
    deadline = time.monotonic() + _PATIENCE_S
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


@settings(max_examples=60)
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
