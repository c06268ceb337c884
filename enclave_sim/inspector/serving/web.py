"""The inspector in the browser: textual-serve starts one for each visitor, and stops it when the visitor leaves.

Whoever reaches the page controls a process of this user: it is for the loopback interface, unless one is told
otherwise. Pages of other sites, which any browser would let connect, are turned away, and the page loads nothing from
elsewhere.
"""

import shlex
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence

from aiohttp import web
from textual_serve.server import Server

from enclave_sim.errors import ConfigurationError

_WEB_OPTIONS = ("--port", "--host")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_POLICY = "default-src 'self' 'unsafe-inline' data:; connect-src 'self' ws: wss:; frame-ancestors 'none'"


def command_of(arguments: Sequence[str]) -> str:
    """The command that a visitor gets: this one, without what is for the server."""
    return shlex.join([sys.executable, "-m", "enclave_sim", *_without_web(arguments)])


def _without_web(arguments: Iterable[str]) -> Iterable[str]:
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in _WEB_OPTIONS:
            skip = True
        elif argument != "--web" and not argument.startswith(tuple(f"{name}=" for name in _WEB_OPTIONS)):
            yield argument


class _Server(Server):
    """One that knows who may ask."""

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(_guard(self.host))
        return app


def _guard(host: str) -> Callable[..., Awaitable[web.StreamResponse]]:
    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not is_welcome(host, request.headers.get("Host", ""), request.headers.get("Origin")):
            raise web.HTTPForbidden(text="this page is for visitors who opened it themselves")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = _POLICY
        return response

    return guard


def is_welcome(host: str, asked: str, origin: str | None) -> bool:
    """Whether a request comes from the page itself: its origin, if any, is the host that was asked for, which is a
    name of the loopback interface where that is served on."""
    name = asked.rsplit(":", 1)[0].strip("[]") if not asked.endswith("]") else asked.strip("[]")
    if host in _LOOPBACK and name not in _LOOPBACK:
        return False  # a foreign name that leads here
    return origin is None or origin.partition("://")[2] == asked


def serve(command: str, host: str, port: int) -> None:
    """Serve until Ctrl-C. Raises ConfigurationError where that cannot be."""
    if not 1 <= port <= 0xFFFF:
        raise ConfigurationError(f"--port is {port}; it must be 1 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigurationError(f"cannot serve on {host} port {port}: {error.strerror}") from None
    _Server(command, host=host, port=port, title="Enclave Sim").serve()
