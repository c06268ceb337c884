"""The server: one gdb after the other, each of which finds the run where the one before has left it."""

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.gdb.protocol.channel import Channel, FileChannel, Gone
from enclave_sim.gdb.protocol.link import Link
from enclave_sim.gdb.stub import Detached, Stub
from enclave_sim.time_travel.travel import Travel

LOOPBACK = "127.0.0.1"


def serve_one(session: Travel[Any], channel: Channel) -> None:
    """Serve one gdb until it is gone."""
    with contextlib.suppress(Gone, Detached):
        Stub(session, Link(channel)).serve()


def serve(session: Travel[Any], host: str, port: int, on_listening: Callable[[str], None]) -> None:
    """Serve until Ctrl-C, which is raised. Port 0 picks a free one; `on_listening` is told the address.

    Raises ConfigurationError for an address that cannot be used.
    """
    with listen(host, port) as listener:
        on_listening(f"{host if ':' not in host else f'[{host}]'}:{listener.getsockname()[1]}")
        while True:
            try:
                connection = listener.accept()[0]
            except ConnectionError:  # it came, and went before anybody looked
                continue
            with connection:
                serve_one(session, FileChannel.of(connection))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1)
    except OSError as error:
        # The text has the address in it, so the plain reason is looked up; name servers have codes of their own.
        is_errno = error.errno is not None and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno or 0) if is_errno else error.strerror
        raise ConfigurationError(f"cannot listen at {host} port {port}: {reason}") from None
