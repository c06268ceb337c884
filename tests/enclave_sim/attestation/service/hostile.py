"""Peers that are not verifiers: each accepts connections in a thread and does the same to all of them."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

Behaviour = Callable[[socket.socket, threading.Event], None]
"""A behaviour towards a connection; the event tells it to stop."""
ID = "c0ffee"
CHALLENGE = {"challenge": ID, "nonce": "ab" * 32, "expires_in_s": 60}
"""A challenge as of a good verifier."""
CHECK = {"name": "nonce", "passed": True, "message": "the challenge's"}
ACCEPTED = {"challenge": ID, "accepted": True, "cycle": 7, "reset_count": 1, "checks": [CHECK]}
"""A good verifier's verdict, if the challenge was for cycle 7."""


@contextlib.contextmanager
def peer(behaviour: Behaviour) -> Iterator[str]:
    """The URL of a peer that behaves so, while the block runs."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def handle(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(300)
            behaviour(connection, over)

    def accept() -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                if over.is_set():
                    connection.close()
                    return
                threads.append(threading.Thread(target=handle, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            over.set()
            socket.create_connection(("127.0.0.1", port)).close()
            for thread in (accepting, *threads):
                thread.join()


def saying(answer: bytes) -> Behaviour:
    """Reads a request, sends these bytes, and closes."""

    def behave(connection: socket.socket, _over: threading.Event) -> None:
        read_request(connection)
        connection.sendall(answer)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Treats the first connection in the first way, the second in the second, and so on; later ones are closed."""
    remaining = iter(behaviours)

    def behave(connection: socket.socket, over: threading.Event) -> None:
        behaviour = next(remaining, None)
        if behaviour is not None:
            behaviour(connection, over)

    return behave


def dripping(head: bytes, drop: bytes = b"x") -> Behaviour:
    """Sends the head at once, then a few bytes every 10 ms until the end."""

    def behave(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(head)
        while not over.wait(0.01):
            connection.sendall(drop)

    return behave


def silent(_connection: socket.socket, over: threading.Event) -> None:
    """Accepts a connection and never sends anything."""
    over.wait(10)


def deaf_and_endless(connection: socket.socket, over: threading.Event) -> None:
    """Sends an endless body, as fast as it is read."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    while not over.is_set():
        connection.sendall(b" " * 65536)


def read_request(connection: socket.socket) -> bytes:
    """The request on a connection: its head and as much of a body as was announced."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return data
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < sum(lengths):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(content: Any, status: str = "200 OK", headers: str = "") -> bytes:
    """An HTTP answer: JSON, or raw bytes."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def assert_one_line(message: str, *words: str) -> None:
    """A printable message that contains these words."""
    assert message.isprintable()
    assert len(message) < 500
    assert [word for word in words if word not in message] == []
