"""Peers that connect and stall, in any number: others are served, and no connection lasts."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from enclave_sim.attestation.service import connections
from enclave_sim.attestation.service.client import RemoteVerifier
from enclave_sim.attestation.service.server import Tls, _bound, serving
from tests.enclave_sim.attestation.service.certificates import Authority
from tests.enclave_sim.attestation.service.node import Node
from tests.enclave_sim.attestation.service.rig import Rig

pytestmark = pytest.mark.slow

NODE = Node()
STALLED = {
    "nothing": b"",
    "half a request line": b"POST /evi",
    "half a body": b"POST /evidence?challenge=00 HTTP/1.1\r\nhost: x\r\ncontent-type: application/eat+cwt\r\n"
    b"content-length: 900\r\n\r\nabc",
}
NEVER_S = 3600.0


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, authority: Authority) -> Tls | None:
    return authority.certify("127.0.0.1") if request.param == "https" else None


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "good")


@contextlib.contextmanager
def stalling(url: str, number: int, sent: bytes, address: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """So many connections from an address that sent this and then nothing."""
    with contextlib.ExitStack() as stack:
        peers = []
        for _ in range(number):
            peer = socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0), source_address=(address, 0))
            peers.append(stack.enter_context(peer))
            with contextlib.suppress(ConnectionError):  # it may be cut already
                peer.sendall(sent)
        yield peers


def is_cut(peer: socket.socket) -> bool:
    """Wait until the other end has closed the connection; return True then."""
    peer.settimeout(300)
    try:
        while peer.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def is_open(peer: socket.socket) -> bool:
    try:
        return peer.recv(1) != b""
    except BlockingIOError:
        return True


def send_on(peer: socket.socket, data: bytes, pause_s: float = 0) -> None:
    peer.settimeout(300)
    for _ in range(100_000):
        peer.sendall(data)
        time.sleep(pause_s)


def cycle(url: str, number: int, authority: Path | None = None) -> bool:
    verifier = RemoteVerifier(url, timeout_s=300, ca_file=authority if url.startswith("https") else None)
    nonce = verifier.challenge(number, NODE.ak_name)
    return verifier.judge(number, NODE.evidence(nonce, number)).accepted


@pytest.mark.parametrize("sent", STALLED.values(), ids=STALLED.keys())
def test_a_thousand_stalled_connections_keep_nobody_out(
    rig: Rig, tls: Tls | None, authority: Authority, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No time limit ends within the test, so a client that is served did not wait for one."""
    monkeypatch.setattr(connections, "EXCHANGE_S", NEVER_S)
    with serving(rig.verifier, tls=tls) as url, stalling(url, 1000, sent):
        assert [cycle(url, number, authority.file) for number in range(3)] == [True] * 3


def test_peers_of_many_addresses_keep_nobody_out(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "EXCHANGE_S", NEVER_S)
    with serving(rig.verifier) as url, contextlib.ExitStack() as stack:
        for host in range(2, 22):
            stack.enter_context(stalling(url, 50, b"", f"127.0.0.{host}"))
        assert cycle(url, 0)


def test_an_address_that_stalls_takes_no_connection_from_another(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "EXCHANGE_S", NEVER_S)
    with (
        serving(rig.verifier) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=300) as client,
        stalling(url, 10, b"", "127.0.0.2") as quiet,
        stalling(url, 1000, b"", "127.0.0.3") as crowd,
    ):
        assert client.get("/health").status_code == 200
        assert all(map(is_cut, crowd[: -connections.MAX_PER_ADDRESS]))
        for peer in quiet + crowd[-connections.MAX_PER_ADDRESS :]:
            peer.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            peer.settimeout(300)
            assert peer.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("sent", [*STALLED.values(), b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"])
def test_every_exchange_has_a_limit_of_time(
    rig: Rig, tls: Tls | None, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "EXCHANGE_S", 0.05)
    with serving(rig.verifier, tls=tls) as url, stalling(url, 3, sent) as peers:
        assert all(map(is_cut, peers))


def test_a_peer_that_sends_a_byte_at_a_time_gains_no_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "EXCHANGE_S", 0.1)
    with serving(rig.verifier) as url, stalling(url, 1, b"GET /") as (peer,), pytest.raises(ConnectionError):
        send_on(peer, b"x", pause_s=0.01)


def test_a_peer_that_reads_no_answers_is_cut(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for more than the kernel's buffers hold, and reads nothing."""
    for number in range(20):
        challenge, _ = rig.challenge(number)
        rig.submit(challenge, b"x")
    monkeypatch.setattr(connections, "EXCHANGE_S", 0.5)
    with serving(rig.verifier) as url, stalling(url, 1, b"") as (peer,), pytest.raises(ConnectionError):
        send_on(peer, b"GET /verdicts HTTP/1.1\r\nhost: x\r\n\r\n" * 100)


def test_a_connection_that_is_used_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time restarts with each answer."""
    monkeypatch.setattr(connections, "EXCHANGE_S", 60.0)
    with serving(rig.verifier) as url, stalling(url, 1, b"") as (first,):
        first.settimeout(300)
        with stalling(url, connections.MAX_PER_ADDRESS - 2, b""):
            request = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
            first.sendall(request)
            assert first.recv(12) == b"HTTP/1.1 200"
            with stalling(url, 2, b""):  # the two that are now the oldest are cut
                assert cycle(url, 0)
                first.sendall(request)
                assert first.recv(65536)


def test_connections_that_were_answered_count_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two connections that an address may have, the one with the older answer is closed."""
    monkeypatch.setattr(connections, "MAX_PER_ADDRESS", 2)

    async def answered(_scope: Any, _receive: Any, _send: Any) -> None:
        return

    async def connect(listener: connections.LimitedListener) -> list[bool]:
        application = listener.renewing(answered)
        with contextlib.ExitStack() as stack:
            peers, scopes = [], []
            for number in range(3):
                peers.append(stack.enter_context(socket.create_connection(listener.getsockname())))
                connection = stack.enter_context(listener.accept()[0])
                scopes.append({"client": connection.getpeername(), "server": connection.getsockname()})
                if number == 1:
                    for scope in (scopes[1], scopes[0]):
                        await application(scope, None, None)
            for peer in peers:
                peer.setblocking(False)
            return [is_open(peer) for peer in peers]

    with _bound("127.0.0.1", 0) as listener:
        assert asyncio.run(connect(listener)) == [True, False, True]


def test_cut_connections_hold_no_files(rig: Rig, tls: Tls | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "EXCHANGE_S", NEVER_S)

    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    with serving(rig.verifier, tls=tls) as url:
        before = files()
        with stalling(url, 300, b"POST /evi") as peers:
            assert all(map(is_cut, peers[: -connections.MAX_PER_ADDRESS]))
            for _ in range(1200):  # the service closes its end after the peer has noticed
                if files() <= before + len(peers) + connections.MAX_PER_ADDRESS:
                    return
                time.sleep(0.05)
    pytest.fail(f"{files() - before} more files than before")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%lo", "fe80::/64"),
    ],
)
def test_an_address_is_what_one_host_has_to_itself(host: str, address: str) -> None:
    assert connections._address(host) == address


def test_peers_that_speak_no_http_are_answered_and_leave_no_line_in_the_log(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(rig.verifier) as url, stalling(url, 5, b"\x16\x03\x01 hello\r\n\r\n") as peers:
        assert all(map(is_cut, peers))
        assert cycle(url, 0)
    assert caplog.records == []


def test_a_low_limit_of_open_files_lowers_that_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (100, 100))
    with _bound("127.0.0.1", 0) as listener:
        assert listener._most == 50
