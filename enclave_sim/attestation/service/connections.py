"""Limits on connections, enforced at accept(): below HTTP, and below TLS, whose handshake a peer may never finish.

No ASGI server limits connections per address, and uvicorn has no time limit for an incomplete request. So one rule
bounds everything that a peer can do slowly or never: each exchange has `EXCHANGE_S`, from the opening of the
connection, or the previous answer, to the last byte of the answer. If there are too many connections, the newest is
accepted and the oldest exchange is cut: a served exchange takes milliseconds, so the oldest one belongs to a peer that
stalls.
"""

import asyncio
import contextlib
import ipaddress
import resource
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

EXCHANGE_S = 15.0
"""Seconds for an exchange: TLS handshake, request, judgement, and reading of the answer."""
MAX_CONNECTIONS = 512
"""At most half of the process's file limit, if that is less."""
MAX_PER_ADDRESS = 64
"""An address is an IPv4 address or an IPv6 /64 prefix, because a host can use any address in its prefix."""
BACKLOG = 1024
"""Connections that may wait in the kernel."""
ACCEPTED_AT_ONCE = 32
"""Connections accepted before others are served again; below the limit of an address, so that none is cut unread."""

_Scope = MutableMapping[str, Any]
_Application = Callable[[_Scope, Any, Any], Awaitable[None]]
_Ends = tuple[str, int, str, int]  # address and port of the peer, then of this host
_RESET = struct.pack("ii", 1, 0)  # linger for 0 s: unsent data is discarded


@dataclass(frozen=True, slots=True)
class _Exchange:
    connection: socket.socket
    address: str
    limit: asyncio.TimerHandle


class LimitedListener(socket.socket):
    """A listening socket that limits accepted connections. The event loop owns them; this only cuts them."""

    def __init__(self, listener: socket.socket) -> None:
        """Take over a listening socket, which must not be used any more."""
        super().__init__(listener.family, listener.type, listener.proto, fileno=listener.detach())
        self._exchanges: dict[_Ends, _Exchange] = {}  # oldest first
        self._most = min(MAX_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and cut another if there are too many. Called by the event loop."""
        connection, peer = super().accept()
        address = _address(peer[0])
        self._make_room(address)
        self._begin((*peer[:2], *connection.getsockname()[:2]), connection, address)
        return connection, peer

    def renewing(self, application: _Application) -> _Application:
        """Wrap an ASGI application: after each of its answers, the next exchange on that connection begins."""

        async def renewed(scope: _Scope, receive: Any, send: Any) -> None:
            try:
                await application(scope, receive, send)
            finally:
                ends = (*(scope["client"] or ("", 0)), *scope["server"])  # no client: it has already disconnected
                exchange = self._forget(ends)
                if exchange is not None:
                    self._begin(ends, exchange.connection, exchange.address)

        return renewed

    def _make_room(self, address: str) -> None:
        for ends in [ends for ends, exchange in self._exchanges.items() if exchange.connection.fileno() < 0]:
            self._forget(ends)
        counts = Counter(exchange.address for exchange in self._exchanges.values())
        if counts[address] >= MAX_PER_ADDRESS:
            crowded = address
        elif counts.total() >= self._most:
            crowded = counts.most_common(1)[0][0]
        else:
            return
        self._cut(next(ends for ends, exchange in self._exchanges.items() if exchange.address == crowded))

    def _begin(self, ends: _Ends, connection: socket.socket, address: str) -> None:
        self._forget(ends)
        limit = asyncio.get_running_loop().call_later(EXCHANGE_S, self._cut, ends)
        self._exchanges[ends] = _Exchange(connection, address, limit)

    def _forget(self, ends: _Ends) -> _Exchange | None:
        exchange = self._exchanges.pop(ends, None)
        if exchange is not None:
            exchange.limit.cancel()
        return exchange

    def _cut(self, ends: _Ends) -> None:
        """End a connection. The event loop reads its end, or fails to write, and closes it."""
        exchange = self._forget(ends)
        if exchange is not None:
            with contextlib.suppress(OSError):  # it is closed already
                exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                exchange.connection.shutdown(socket.SHUT_RDWR)


def _address(host: str) -> str:
    """Return the part of an address that belongs to one host."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv4Address):
        return host
    mapped = address.ipv4_mapped
    return str(ipaddress.ip_network((int(address), 64), strict=False)) if mapped is None else str(mapped)
