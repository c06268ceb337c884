"""The server: it serves one gdb after the other; each finds the run where the previous one left it."""

import contextlib
from collections.abc import Callable
from typing import Any

from enclave_sim.gdb.protocol.channel import Channel, FileChannel, Gone
from enclave_sim.gdb.protocol.link import Link
from enclave_sim.gdb.protocol.reception import Reception
from enclave_sim.gdb.stub import Detached, Stub
from enclave_sim.listening import listen
from enclave_sim.time_travel.travel import Travel


def serve_one(session: Travel[Any], channel: Channel) -> None:
    """Serve one gdb until it is gone."""
    _serve(Stub(session, Link(channel)))


def serve_received(session: Travel[Any], reception: Reception) -> None:
    """Serve the gdb that a reception has kept waiting."""
    _ = session.program  # which is read at its first use: gdb must not wait for that without a sign of life
    _serve(Stub(session, reception.end()))


def _serve(stub: Stub) -> None:
    with contextlib.suppress(Gone, Detached):
        stub.serve()


def serve(session: Travel[Any], host: str, port: int, on_listening: Callable[[str], None]) -> None:
    """Serve one gdb after the other until Ctrl-C.

    Args:
        session: The run to serve.
        host: The address to listen on.
        port: The TCP port; 0 for a free one.
        on_listening: Called with the address and port, as text.

    Raises:
        ConfigurationError: The address cannot be used.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    with listen(host, port) as listener:
        on_listening(f"{host if ':' not in host else f'[{host}]'}:{listener.getsockname()[1]}")
        while True:
            try:
                connection = listener.accept()[0]
            except ConnectionError:  # the client has disconnected already
                continue
            with connection:
                serve_one(session, FileChannel.of(connection))
