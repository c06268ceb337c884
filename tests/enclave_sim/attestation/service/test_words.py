"""The service's refusals, word for word, and its defaults."""

import inspect
import socket
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from enclave_sim.attestation import Position
from enclave_sim.attestation.service import connections, exchange, protocol, server, verifier
from enclave_sim.attestation.service.client import RemoteVerifier
from enclave_sim.attestation.service.database import Database, StoredChallenge
from enclave_sim.attestation.service.errors import VerifierUnavailable
from enclave_sim.attestation.service.kept_files import KeptFiles
from enclave_sim.attestation.service.server import serve, serving
from enclave_sim.errors import ConfigurationError
from tests.enclave_sim.attestation.service.hostile import answer, peer, saying
from tests.enclave_sim.attestation.service.node import Node
from tests.enclave_sim.attestation.service.rig import EVIDENCE, JSON, Rig

NODE = Node()


def default(function: Any, name: str) -> Any:
    return inspect.signature(function).parameters[name].default


def test_these_are_the_defaults() -> None:
    assert verifier.DEFAULT_LIFETIME_NS == 60_000_000_000
    assert default(RemoteVerifier, "timeout_s") == 5.0
    assert [default(serve, name) for name in ("host", "port", "tls")] == ["127.0.0.1", 8040, None]
    assert [default(serving, name) for name in ("host", "port", "tls")] == ["127.0.0.1", 0, None]
    assert not default(RemoteVerifier, "allow_insecure")
    assert server.SHUTDOWN_S == 2


def test_these_are_the_limits_of_the_protocol() -> None:
    assert (protocol.NONCE_BYTES, protocol.NAME_BYTES, protocol.MAX_CYCLE) == (32, 34, 0xFFFF_FFFF)
    assert (protocol.MAX_EVIDENCE_BYTES, protocol.MAX_REQUEST_BYTES) == (65_536, 4_096)
    assert protocol.MAX_ANSWER_BYTES == 1_048_576
    assert connections.ACCEPTED_AT_ONCE < connections.MAX_PER_ADDRESS < connections.MAX_CONNECTIONS
    assert (connections.BACKLOG, connections.ACCEPTED_AT_ONCE) == (1024, 32)


@pytest.mark.parametrize(
    ("name", "right"), [("a", True), ("A-_9" * 16, True), ("x" * 65, False), ("", False), ("a b", False), ("ä", False)]
)
def test_the_id_of_a_challenge_has_1_to_64_letters(name: str, right: bool) -> None:
    assert bool(protocol.CHALLENGE_ID.fullmatch(name)) == right


def said(rig: Rig, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> str:
    found = rig.request(method, path, body, headers)
    assert found.status != 200
    message: str = found.content["message"]
    return message


def test_every_refusal_says_what_would_be_right(rig: Rig) -> None:
    challenge, nonce = rig.challenge()
    path = f"/evidence?challenge={challenge}"
    assert said(rig, "POST", "/evidence", b"", EVIDENCE) == (
        "say which challenge is answered: POST /evidence?challenge=ID"
    )
    assert said(rig, "POST", path, b"", JSON) == "the content type must be application/eat+cwt"
    assert said(rig, "POST", "/challenge", b"", EVIDENCE) == "the content type must be application/json"
    assert said(rig, "POST", path, bytes(65_537), EVIDENCE) == "the body must not exceed 65536 bytes"
    assert said(rig, "POST", "/challenge", b" " * 4097, JSON) == "the body must not exceed 4096 bytes"
    assert said(rig, "POST", "/challenge", b"{", JSON).startswith(
        'the body is not {"cycle": 0 to 4294967295, "ak": Name of AK 1 in hex, or null}: '
    )
    assert said(rig, "POST", "/evidence?challenge=1&challenge=2", b"", EVIDENCE) == "challenge must be given once"
    assert said(rig, "GET", "/verdicts?limit=x") == "limit must be 1 to 1000"
    assert said(rig, "GET", "/verdicts?accepted=x") == "accepted must be true or false"
    assert said(rig, "GET", "/verdicts/x") == "there is no verdict for this challenge"
    assert said(rig, "GET", "/nothing") == "GET /nothing: Not Found"
    assert said(rig, "PUT", "/challenge") == "PUT /challenge: Method Not Allowed"
    assert said(rig, "POST", "/evidence?challenge=x", b"", EVIDENCE) == (
        "this challenge is unknown; ask for one at POST /challenge"
    )
    rig.submit(challenge, NODE.evidence(nonce))
    assert said(rig, "POST", path, b"", EVIDENCE) == (
        "evidence for this challenge was submitted already; ask for another"
    )
    late, _ = rig.challenge()
    rig.clock.now_ns += 60 * 10**9
    assert said(rig, "POST", f"/evidence?challenge={late}", b"", EVIDENCE) == (
        "the time to answer this challenge is over; ask for another"
    )
    rig.database.close()
    assert said(rig, "GET", "/health").startswith("the database cannot be used: ")


@pytest.mark.parametrize(("later_ns", "status"), [(-1, 410), (0, 200), (60 * 10**9 - 1, 200), (60 * 10**9, 410)])
def test_a_challenge_is_answered_within_its_lifetime(rig: Rig, later_ns: int, status: int) -> None:
    challenge, nonce = rig.challenge()
    rig.clock.now_ns += later_ns
    assert rig.submit(challenge, NODE.evidence(nonce)).status == status


@pytest.mark.parametrize(("later_ns", "status"), [(120 * 10**9, 410), (120 * 10**9 + 1, 404)])
def test_a_challenge_is_forgotten_one_lifetime_after_it_has_expired(rig: Rig, later_ns: int, status: int) -> None:
    challenge, nonce = rig.challenge()
    rig.clock.now_ns += later_ns
    rig.challenge()
    assert rig.submit(challenge, NODE.evidence(nonce)).status == status


def test_a_verdict_is_dated_to_the_millisecond_and_names_its_key(rig: Rig) -> None:
    rig.clock.now_ns = 1_700_000_000_123_456_789
    challenge, nonce = rig.challenge(4)
    found = rig.submit(challenge, NODE.evidence(nonce, 4)).content
    assert found["judged_at"] == "2023-11-14T22:13:20.123+00:00"
    assert (found["ak"], found["challenge"], found["cycle"]) == (NODE.ak_name.hex(), challenge, 4)
    challenge, _ = rig.challenge()
    found = rig.submit(challenge, b"x").content
    assert (found["ak"], found["cycle"], found["reset_count"]) == (None, None, None)


def test_the_key_that_asked_is_the_one_that_answers(rig: Rig) -> None:
    other = bytes(34)
    for asked, passed, message in (
        (NODE.ak_name, True, "the first quote is signed by the key that asked for the challenge"),
        (other, False, f"the challenge was given to key {other.hex()}, the first quote is of another key"),
    ):
        challenge, nonce = rig.challenge(7 if passed else 8, asked)
        check = rig.submit(challenge, NODE.evidence(nonce, 7 if passed else 8)).content["checks"][-1]
        assert check == {"name": "challenged key", "passed": passed, "message": message}


@pytest.mark.parametrize(("asked", "limit"), [("", 100), ("?limit=1", 1), ("?limit=1000", 1000), ("?limit=0007", 7)])
def test_a_hundred_verdicts_are_listed_by_default(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, asked: str, limit: int
) -> None:
    limits = []

    def newest(_database: Database, limit: int, *, accepted: bool | None = None) -> list[str]:
        assert accepted is None
        limits.append(limit)
        return []

    monkeypatch.setattr(Database, "newest_verdicts", newest)
    assert rig.request("GET", f"/verdicts{asked}").content == {"verdicts": []}
    assert limits == [limit]


def test_verdicts_are_numbered_and_their_bytes_are_added_up_by_kind(rig: Rig) -> None:
    texts = []
    for n, accepted in enumerate((True, False, False, True)):
        texts.append("ü" * (n + 1))
        with rig.database.transaction():
            rig.database.add_verdict(f"{n}", texts[-1], accepted=accepted)
    rows = rig.database._connection.execute("SELECT accepted, place, total FROM verdicts ORDER BY number").fetchall()
    assert rows == [(1, 1, 2), (0, 1, 4), (0, 2, 10), (1, 2, 10)]


@pytest.mark.parametrize("clock", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_clock_of_64_bits_comes_back(rig: Rig, clock: int) -> None:
    position = Position(1, 2, clock, 3)
    with rig.database.transaction():
        rig.database.set_last_accepted([b"a", b"b"], position)
        assert rig.database.last_accepted([b"a", b"c", b"b"]) == (position, position)


def test_a_hundred_probes_of_health_are_kept(rig: Rig) -> None:
    for _ in range(103):
        rig.database.check()
    connection = rig.database._connection
    rows = connection.execute("SELECT count(*), max(length(stored)), min(length(stored)) FROM health").fetchall()
    assert rows == [(100, 16_384, 16_384)]


def test_what_is_stored_as_something_else_is_noticed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("challenge", StoredChallenge("x", b"", 0, None, 0, 0)),
        ("last_accepted", ()),
        ("verdict", "another"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(Database, name, lambda *_arguments, value=value: value)
            with pytest.raises(sqlite3.DatabaseError, match=r"^what is stored is not what is read back$"):
                rig.database.check()
    with monkeypatch.context() as patch:
        patch.setattr(Database, "_has_probe", lambda *_arguments: False)
        with pytest.raises(sqlite3.DatabaseError, match=r"^what was stored cannot be read back$"):
            rig.database.check()


def test_a_file_that_is_lost_is_named_with_what_happened_to_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    files = [path, tmp_path / "x-wal", tmp_path / "x-shm"]
    rest = "nothing is stored until the verifier is restarted"
    for lost in files:
        for file in files:
            file.write_bytes(b"12345")
        kept = KeptFiles.of(path)
        kept.check()
        lost.write_bytes(b"123456")
        kept.check()
        lost.write_bytes(b"1234")
        if lost == path:
            with pytest.raises(sqlite3.OperationalError) as caught:
                kept.check()
            assert str(caught.value) == f"{path}: it was cut short; {rest}"
        else:
            kept.check()
        other = tmp_path / "other"
        other.write_bytes(b"12345")
        other.replace(lost)
        with pytest.raises(sqlite3.OperationalError) as caught:
            kept.check()
        assert str(caught.value) == f"{lost}: it was replaced by another file; {rest}"
        lost.unlink()
        with pytest.raises(sqlite3.OperationalError) as caught:
            kept.check()
        assert str(caught.value) == f"{lost}: No such file or directory; {rest}"


def test_foreign_text_is_one_line_of_200_characters() -> None:
    assert exchange.shown("a\n\tb\x1b") == "a b\\x1b"
    assert exchange.shown("x" * 200) == "x" * 200
    assert exchange.shown("x" * 201) == "x" * 200 + "..."


@pytest.mark.parametrize(("size", "words"), [(1 << 20, "the answer is not a challenge"), ((1 << 20) + 1, "is longer")])
def test_an_answer_has_at_most_a_mebibyte(size: int, words: str) -> None:
    with peer(saying(answer(b"x" * size))) as url, pytest.raises(VerifierUnavailable, match=words):
        RemoteVerifier(url).challenge(0, None)


@pytest.mark.parametrize(("status", "redirect"), [(299, False), (300, True), (399, True), (400, False)])
def test_a_redirect_is_not_followed(status: int, redirect: bool) -> None:
    head = b"HTTP/1.1 %d X\r\ncontent-length: 0\r\nlocation: /x\r\n\r\n" % status
    with peer(saying(head)) as url, pytest.raises(VerifierUnavailable) as caught:
        RemoteVerifier(url).challenge(0, None)
    assert str(caught.value) == (
        f"{url}/challenge: the answer is a redirect (status {status}), which is not followed;"
        " give the verifier's own URL"
        if redirect
        else f"{url}: the answer has status {status}"
    )


def test_an_address_that_cannot_be_listened_at_is_named(rig: Rig) -> None:
    words = "^cannot listen at 192.0.2.1 port 1: Cannot assign requested address$"
    with pytest.raises(ConfigurationError, match=words), serving(rig.verifier, "192.0.2.1", 1):
        pass


def test_the_service_says_nothing_of_its_software_and_trusts_no_header_of_a_proxy(rig: Rig) -> None:
    with server._bound("127.0.0.1", 0) as listener:
        made = server._configuration(rig.verifier, listener, None)
    assert not (made.server_header)
    assert not (made.proxy_headers)
    assert not (made.access_log)
    assert not (made.is_ssl)
    assert (made.ws, made.lifespan, made.http, made.loop) == ("none", "off", "h11", "asyncio")
    assert (made.backlog, made.timeout_graceful_shutdown, made.log_config) == (32, 2, None)
    assert made.log_level == "error"
    with serving(rig.verifier) as url:
        headers = httpx.get(f"{url}/health").headers
    assert "server" not in headers
    assert url.startswith("http://127.0.0.1:")


def test_small_answers_are_not_held_back(rig: Rig) -> None:
    with server._bound("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert server._url(listener, "127.0.0.1", None) == f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert server._url(listener, "::1", server.Tls(Path(), Path())).startswith("https://[::1]:")
    assert rig.verifier.nonce_lifetime_ns == 60 * 10**9
