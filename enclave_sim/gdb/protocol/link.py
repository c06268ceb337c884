"""Packets over a channel: acknowledged until gdb turns that off, and sent again when it asks for it."""

from collections import deque

from enclave_sim.gdb.protocol.channel import Channel, Gone
from enclave_sim.gdb.protocol.packets import Control, Item, Packet, PacketReader, encoded

_MOST_WAITING = 4096
"""The most packets and controls that may wait. gdb waits for each answer, so a client that sends more is not gdb."""


class Link:
    """Packets from and to one gdb."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._reader = PacketReader()
        self._waiting: deque[Item] = deque()
        self._last = b""
        self.acknowledges = True

    def receive(self) -> bytes:
        """Wait for the next packet and return its data. Raises Gone."""
        while True:
            while self._waiting:
                item = self._waiting.popleft()
                if isinstance(item, Packet):
                    if self.acknowledges:
                        self._channel.send(b"+")
                    return item.data
                if item is Control.BROKEN and self.acknowledges:
                    self._channel.send(b"-")
                elif item is Control.NOT_ACKNOWLEDGED and self.acknowledges:
                    self._channel.send(self._last)
            self._take(self._channel.receive(None))

    def _take(self, received: bytes) -> None:
        self._waiting.extend(item for item in self._reader.feed(received) if item is not Control.ACKNOWLEDGED)

    def send(self, data: bytes) -> None:
        """Send a packet. Raises Gone."""
        self._last = encoded(data)
        self._channel.send(self._last)

    def interrupted(self) -> bool:
        """Return whether Ctrl-C was received, without waiting for it. Raises Gone."""
        self._take(self._channel.receive(0))
        if Control.INTERRUPT in self._waiting:
            self._waiting.remove(Control.INTERRUPT)
            return True
        if len(self._waiting) > _MOST_WAITING:
            raise Gone
        return False
