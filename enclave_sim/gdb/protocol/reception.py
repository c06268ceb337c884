"""Reception of a gdb that has connected before the run exists, as when gdb itself starts the server.

gdb waits 2 s for each of its first answers, and a busy host needs longer to import the emulator. So the first packet is
answered earlier, by minimal code, and gdb is kept waiting with its next one for as long as necessary: any byte between
packets restarts its time-out.
"""

import sys
from functools import cache
from threading import Lock, Thread

from enclave_sim.gdb.protocol.channel import FileChannel, Gone, ReadableChannel
from enclave_sim.gdb.protocol.link import Link

_PERIOD_S = 0.5
"""The interval between signs of life, in host seconds."""


class Reception:
    """Answers everything that needs no run, in a thread, until `end`."""

    def __init__(self, channel: ReadableChannel) -> None:
        self._channel = channel
        self._link = Link(channel)
        self._over = False
        self._lock = Lock()
        """Held by the current user of the link."""
        self._thread = Thread(target=self._serve, daemon=True)

    def begin(self) -> None:
        """Answer pending packets, and continue in a thread."""
        if self._poll():
            self._thread.start()

    def end(self) -> Link:
        """Hand gdb over to the caller. A pending packet is the first that the link returns."""
        with self._lock:
            self._over = True
        return self._link

    def _serve(self) -> None:
        while True:
            received = self._channel.is_readable(_PERIOD_S)
            with self._lock:
                if self._over or not self._poll(late=not received):
                    return

    def _poll(self, *, late: bool = False) -> bool:
        """Poll the link once. Return False if gdb is gone, which the next user of the link will also detect."""
        try:
            if self._link.poll() and late:
                self._link.keep_waiting()
        except Gone:
            return False
        return True


@cache
def standard_reception() -> Reception | None:
    """Return the reception on standard input and output of this process; None if one of them is closed."""
    if sys.stdin is None or sys.stdout is None:
        return None
    return Reception(FileChannel(sys.stdin.fileno(), sys.stdout.fileno()))
