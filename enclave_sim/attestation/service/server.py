"""Serving a verifier with uvicorn: for the command line, or in a thread beside other work."""

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from enclave_sim.attestation.service.application import application
from enclave_sim.attestation.service.verifier import Verifier
from enclave_sim.errors import ConfigurationError

SHUTDOWN_S = 2
"""How long requests that are under way may still take when the service ends."""
MAX_CONNECTIONS = 256
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Tls:
    """What a server proves itself with: PEM files, the certificate first in its chain."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Raises ConfigurationError where the files do not hold a certificate and its key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # A pass phrase would be asked for at the terminal; a service has nobody there.
            context.load_cert_chain(self.certificate, self.key, password=lambda: b"")
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"{self.certificate}, {self.key}: are not a PEM certificate and its unencrypted key: {error.reason}"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"{self.certificate}, {self.key}: cannot be read: {error.strerror}") from None


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()


def serve(
    verifier: Verifier,
    host: str = "127.0.0.1",
    port: int = 8040,
    tls: Tls | None = None,
    on_listening: Callable[[str], None] = lambda _url: None,
) -> None:
    """Serve until Ctrl-C or SIGTERM. Port 0 picks a free one; `on_listening` is told the URL.

    Raises ConfigurationError for an address or TLS files that cannot be used.
    """
    with _bound(host, port) as listener:
        url = _url(listener, host, tls)
        server = _Server(_configuration(verifier, tls), lambda: on_listening(url))
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends in order, then tells what ended it
            server.run([listener])


@contextlib.contextmanager
def serving(verifier: Verifier, host: str = "127.0.0.1", port: int = 0, tls: Tls | None = None) -> Iterator[str]:
    """Serve in a thread while the block runs; gives the URL. Raises ConfigurationError as `serve` does."""
    with _bound(host, port) as listener:
        listening = threading.Event()
        server = _Server(_configuration(verifier, tls), listening.set)

        def run() -> None:
            try:
                server.run([listener])
            finally:
                listening.set()  # whoever waits must learn of a failure, too

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


def _configuration(verifier: Verifier, tls: Tls | None) -> uvicorn.Config:
    if tls is not None:
        tls.check()
    return uvicorn.Config(
        application(verifier),
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # The text has the address in it, so the plain reason is looked up; name servers have codes of their own.
        is_errno = error.errno is not None and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno or 0) if is_errno else error.strerror
        raise ConfigurationError(f"cannot listen at {host} port {port}: {reason}") from None
    # Connections inherit it. Without it the body of an answer waits for the head to be acknowledged: 40 ms each.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(listener: socket.socket, host: str, tls: Tls | None) -> str:
    scheme = "http" if tls is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
