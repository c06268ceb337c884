"""The connection to one gdb: a socket, or standard input and output."""

import contextlib
import os
import select
import socket
from typing import Protocol

_SEND_S = 10.0
"""A client that reads nothing for this long (seconds) is gone."""
_PIECE = 4096
"""The number of bytes that can be written without blocking where `select` reports a descriptor as writable."""
_RECEIVED = 1 << 16


class Gone(Exception):  # noqa: N818 - not an error: clients come and go
    """The other end has closed the connection."""


class Channel(Protocol):
    """Bytes in both directions."""

    def receive(self, timeout_s: float | None) -> bytes:
        """Return received bytes; empty if there are none within `timeout_s` seconds (None: wait forever).

        Raises Gone.
        """

    def send(self, data: bytes) -> None:
        """Send all of it. Raises Gone."""


class ReadableChannel(Channel, Protocol):
    """A channel that can also be waited for without reading."""

    def is_readable(self, timeout_s: float) -> bool:
        """Wait for bytes, or the end, and return True; False if neither comes within `timeout_s` seconds."""


class FileChannel:
    """A channel of two file descriptors, which may be the same."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads = reads
        self._writes = writes

    @classmethod
    def of(cls, connection: socket.socket) -> "FileChannel":
        """Return a channel over a socket, which the caller keeps open."""
        connection.setblocking(False)
        with contextlib.suppress(OSError):  # the client is already gone, or its address family has no such option
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(connection.fileno(), connection.fileno())

    def is_readable(self, timeout_s: float) -> bool:
        """See `ReadableChannel`."""
        return bool(select.select([self._reads], [], [], timeout_s)[0])

    def receive(self, timeout_s: float | None) -> bytes:
        """See `Channel`."""
        try:
            if not select.select([self._reads], [], [], timeout_s)[0]:
                return b""
            received = os.read(self._reads, _RECEIVED)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise Gone from error
        if not received:
            raise Gone
        return received

    def send(self, data: bytes) -> None:
        """See `Channel`."""
        while data:
            try:
                if not select.select([], [self._writes], [], _SEND_S)[1]:
                    raise Gone
                data = data[os.write(self._writes, data[:_PIECE]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise Gone from error
