"""Serving a verifier with uvicorn: for the command line, or in a thread of another program."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from enclave_sim.attestation.service.application import application
from enclave_sim.attestation.service.connections import ACCEPTED_AT_ONCE, BACKLOG, LimitedListener
from enclave_sim.attestation.service.verifier import Verifier
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import SMALL, read_file
from enclave_sim.listening import listen

SHUTDOWN_S = 2
"""Seconds allowed for running requests when the service ends."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The server's credentials: PEM files, the certificate first in its chain."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Raise ConfigurationError if the files do not contain a certificate and its key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for path in (self.certificate, self.key):
            read_file(path, SMALL)  # OpenSSL, which reads them again, has no limit
        try:
            # Without this OpenSSL would ask for a pass phrase at the terminal, where nobody would answer.
            context.load_cert_chain(self.certificate, self.key, password=lambda: b"")
        except ssl.SSLError:
            raise ConfigurationError(
                f"{self.certificate}, {self.key}: are not a PEM certificate and its unencrypted key"
            ) from None


class _Server(uvicorn.Server):
    """A server that reports when it listens."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():  # uvicorn's `backlog` is also the number accepted at once
            listener.listen(BACKLOG)
        self._on_listening()


def serve(
    verifier: Verifier,
    host: str = "127.0.0.1",
    port: int = 8040,
    tls: Tls | None = None,
    on_listening: Callable[[str], None] = lambda _url: None,
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        verifier: The verifier.
        host: The address to listen at.
        port: The port; 0 chooses a free one.
        tls: The certificate and key for https; None for plain http.
        on_listening: Called with the URL once the service listens.
    """
    with _bound(host, port) as listener:
        url = _url(listener, host, tls)
        server = _Server(_configuration(verifier, listener, tls), lambda: on_listening(url))
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn shuts down first, then raises it again
            server.run([listener])


@contextlib.contextmanager
def serving(verifier: Verifier, host: str = "127.0.0.1", port: int = 0, tls: Tls | None = None) -> Iterator[str]:
    """Serve in a thread while the block runs, and yield the URL. Raises ConfigurationError as `serve` does."""
    with _bound(host, port) as listener:
        listening = threading.Event()
        server = _Server(_configuration(verifier, listener, tls), listening.set)

        def run() -> None:
            try:
                server.run([listener])
            finally:
                listening.set()  # even after a failure: the caller waits for it

        thread = threading.Thread(target=run, name="verifier", daemon=True)
        thread.start()
        try:
            listening.wait()
            if not server.started:
                raise RuntimeError("the service has not started; its thread says why")
            yield _url(listener, host, tls)
        finally:
            server.should_exit = True
            thread.join()


def _configuration(verifier: Verifier, listener: LimitedListener, tls: Tls | None) -> uvicorn.Config:
    if tls is not None:
        tls.check()
    return uvicorn.Config(
        listener.renewing(application(verifier)),
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # it warns of requests that are not HTTP, and a peer may send any number of them
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


def _bound(host: str, port: int) -> LimitedListener:
    """Return a listening socket. Raises ConfigurationError."""
    listener = listen(host, port, BACKLOG)
    # Connections inherit it. Without it the body of each answer waits 40 ms for the acknowledgement of the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return LimitedListener(listener)


def _url(listener: socket.socket, host: str, tls: Tls | None) -> str:
    scheme = "http" if tls is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
