"""The way to one gdb: a socket, or standard input and output."""

import contextlib
import os
import select
import socket
from typing import Protocol

_SEND_S = 10.0
"""A client that takes nothing for so long is gone."""
_PIECE = 4096
"""So much can be written to what `select` says can be written to."""
_RECEIVED = 1 << 16


class Gone(Exception):  # noqa: N818 - it is no error: clients come and go
    """There is nobody at the other end any more."""


class Channel(Protocol):
    """Bytes in both directions."""

    def receive(self, timeout_s: float | None) -> bytes:
        """What has come; empty if nothing does within a time (None: for ever). Raises Gone."""

    def send(self, data: bytes) -> None:
        """Send all of it. Raises Gone."""


class FileChannel:
    """A channel of two file descriptors, which may be the same."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads = reads
        self._writes = writes

    @classmethod
    def of(cls, connection: socket.socket) -> "FileChannel":
        """One over a socket, which the caller keeps open."""
        connection.setblocking(False)
        with contextlib.suppress(OSError):  # of one that is gone already; or of a family that has no such option
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(connection.fileno(), connection.fileno())

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
