"""The inspector in the browser: textual-serve starts one per visitor, and stops it when the visitor leaves.

Anyone who reaches the page controls a process of this user, so it is served on the loopback interface by default. A
browser would let pages of other sites connect, so their requests are refused. The page, in `templates`, loads nothing
from other sites, and shows the progress until the inspector draws.
"""

import ipaddress
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from aiohttp import WSCloseCode, web
from textual_serve.app_service import AppService
from textual_serve.server import Server

from enclave_sim.listening import listen

_WEB_OPTIONS = ("--port", "--host")
_NAME = "Enclave Sim"
_TEMPLATES = Path(__file__).parent / "templates"
_POLICY = "default-src 'self' 'unsafe-inline' data:; connect-src 'self' ws: wss:; frame-ancestors 'none'"


def command_of(arguments: Sequence[str]) -> str:
    """Return the command to run for a visitor: this one, without the server options."""
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
    """A server of our own page, which refuses requests of other sites."""

    def __init__(self, command: str, host: str, port: int) -> None:
        super().__init__(command, host=host, port=port, title=_NAME, templates_path=_TEMPLATES)
        self._connected: set[web.WebSocketResponse] = set()

    async def on_startup(self, _app: web.Application) -> None:
        """Print the address of the inspector."""
        print(f"{_NAME}: the inspector is at {self.public_url}/ (Ctrl-C ends it)", flush=True)

    async def on_shutdown(self, _app: web.Application) -> None:
        """Close the connections of all visitors, which the server would otherwise wait for."""
        for websocket in [*self._connected]:
            await websocket.close(code=WSCloseCode.GOING_AWAY)

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        self._connected.add(websocket)
        try:
            await super()._process_messages(websocket, app_service)
        finally:
            self._connected.discard(websocket)

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
            raise web.HTTPForbidden(text="refused: this request comes from the page of another site")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = _POLICY
        return response

    return guard


def is_welcome(host: str, asked: str, origin: str | None) -> bool:
    """Return whether a request comes from the page itself.

    Args:
        host: The server's address, in any spelling.
        asked: The request's Host. It must be `host`, localhost or a loopback address if the server is at one, because
        a foreign name may resolve to this host.
        origin: The request's Origin, if any. It must be the requested host.

    Returns:
        True if the request may be answered.
    """
    name = asked.rsplit(":", 1)[0].strip("[]") if not asked.endswith("]") else asked.strip("[]")
    if _is_at_loopback(host) and name not in (host, "localhost") and not _is_loopback(name):
        return False
    return origin is None or origin.partition("://")[2] == asked


@cache
def _is_at_loopback(host: str) -> bool:
    """Return whether the server's name or address, such as 127.1, is one of the loopback interface."""
    try:
        return _is_loopback(str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]))
    except OSError:
        return True  # nothing is known about it, so nothing is allowed


def _is_loopback(address: str) -> bool:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = known.ipv4_mapped if isinstance(known, ipaddress.IPv6Address) else None
    return (mapped or known).is_loopback


def serve(command: str, host: str, port: int) -> None:
    """Serve until Ctrl-C; port 0 is any free one. Raises ConfigurationError for an address or port that is unusable."""
    with listen(host, port) as probe:
        port = probe.getsockname()[1]
    _Server(command, host, port).serve()
