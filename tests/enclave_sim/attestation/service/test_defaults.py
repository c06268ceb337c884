"""The service's defaults: waits, threads, sockets and files."""

import asyncio
import resource
import socket
import struct
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from enclave_sim.attestation.service import application, connections, exchange, server
from enclave_sim.attestation.service.client import RemoteVerifier
from enclave_sim.attestation.service.connections import LimitedListener, _address
from enclave_sim.attestation.service.database import Database
from enclave_sim.attestation.service.exchange import Answer, Post
from enclave_sim.attestation.service.server import serving
from tests.enclave_sim.attestation.service.hostile import CHALLENGE, answer, peer, read_request
from tests.enclave_sim.attestation.service.rig import Rig


def test_a_body_has_ten_seconds() -> None:
    assert application.BODY_TIMEOUT_S == 10


def test_the_caller_waits_one_second_longer_than_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float | None] = []

    class Waiting(Future[Answer]):
        def result(self, timeout: float | None = None) -> Answer:
            waited.append(timeout)
            return super().result(60)

    async def at_once(_post: Post) -> Answer:
        return Answer(200, b"")

    monkeypatch.setattr(exchange, "Future", Waiting)
    monkeypatch.setattr(exchange, "_within_time", at_once)
    assert exchange.exchange(Post("http://x", "", b"", 2.5, None)) == Answer(200, b"")
    assert waited == [3.5]


def test_no_thread_keeps_a_process_from_ending(rig: Rig) -> None:
    seen: dict[str, bool] = {}

    def behave(connection: socket.socket, _over: threading.Event) -> None:
        read_request(connection)
        seen.update((thread.name, thread.daemon) for thread in threading.enumerate())
        connection.sendall(answer(CHALLENGE))

    with serving(rig.verifier), peer(behave) as url:
        RemoteVerifier(url).challenge(7, None)
    assert (seen["verifier exchange"], seen["verifier"]) == (True, True)


def test_the_id_of_a_challenge_has_128_bits(rig: Rig) -> None:
    challenge, nonce = rig.challenge()
    assert (len(bytes.fromhex(challenge)), len(nonce)) == (16, 32)


@pytest.mark.parametrize("path", [None, "verifier.sqlite"])
def test_a_database_waits_five_seconds_for_others_and_is_of_version_2(tmp_path: Path, path: str | None) -> None:
    database = Database(None if path is None else tmp_path / path)
    for pragma, value in (
        ("busy_timeout", 5000),
        ("user_version", 2),
        ("application_id", 0x41565246),
        ("synchronous", 2),
    ):
        assert database._number(f"PRAGMA {pragma}") == value
    database.close()


@pytest.mark.parametrize(
    ("files", "most"), [(4, 2), (5, 2), (1022, 511), (1023, 511), (1024, 512), (1025, 512), (1 << 20, 512)]
)
def test_half_of_the_files_may_be_connections_and_512_at_most(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (files, 1 << 20))
    with LimitedListener(socket.socket()) as listener:
        assert listener._most == most


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::1", "::/64"),
        ("2001:db8:1:2:3::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
    ],
)
def test_a_host_has_an_address_of_ipv4_or_64_bits_of_ipv6(host: str, address: str) -> None:
    assert _address(host) == address


def counted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times that the running loop is asked to wait, in s."""
    loop: Any = asyncio.get_running_loop()
    later, limits = loop.call_later, list[float]()

    def call_later(delay: float, *rest: Any) -> asyncio.TimerHandle:
        limits.append(delay)
        handle: asyncio.TimerHandle = later(delay, *rest)
        return handle

    monkeypatch.setattr(loop, "call_later", call_later, raising=False)
    return limits


def test_what_is_cut_is_reset_at_once_and_its_exchange_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cut() -> None:
        limits = counted(monkeypatch)
        with server._bound("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()) as client:
            connection, peer = listener.accept()
            (ends,) = listener._exchanges
            assert ends == (*peer, *listener.getsockname())
            listener._cut(ends)
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 0)
            assert listener._exchanges == {}
            listener._cut(ends)  # it is over already
            client.settimeout(60)
            assert client.recv(1) == b""
            connection.close()
        assert limits == [connections.EXCHANGE_S]

    asyncio.run(cut())


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("known", "renewed"), [(True, 1), (False, 0)])
def test_after_each_answer_the_next_exchange_of_that_connection_begins(
    monkeypatch: pytest.MonkeyPatch, known: bool, renewed: int, fails: bool
) -> None:
    """Without a client in the scope, it has disconnected already."""

    async def answering(_scope: Any, _receive: Any, _send: Any) -> None:
        if fails:
            raise ValueError

    async def answer_twice() -> None:
        limits = counted(monkeypatch)
        with server._bound("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
            connection, peer = listener.accept()
            before = dict(listener._exchanges)
            application = listener.renewing(answering)
            for _ in range(2):
                with suppress(ValueError):
                    await application({"client": peer if known else None, "server": listener.getsockname()}, None, None)
            assert listener._exchanges.keys() == before.keys()
            assert (listener._exchanges == before) == (not renewed)
            for exchange in listener._exchanges.values():
                exchange.limit.cancel()
            connection.close()
        assert limits == [connections.EXCHANGE_S] * (1 + 2 * renewed)

    asyncio.run(answer_twice())
