"""Packets over a channel: acknowledged until gdb turns that off, and re-sent on request.

A link answers the packets about the connection itself, because they need no run: `qSupported`, the first one, and
`QStartNoAckMode`.

A client without an acknowledgement within its time-out re-sends its packet (gdb: after 2 s, three times). If the server
was only slow, both copies arrive. So a copy is acknowledged but not answered: a second answer would be mistaken for the
answer to the next packet, and so on. A copy is a packet repeated before the client has acknowledged the answer.
"""

from collections import deque

from enclave_sim.gdb.protocol.channel import Channel, Gone
from enclave_sim.gdb.protocol.packets import PACKET_SIZE, Control, Item, Packet, PacketReader, encoded

_SUPPORTED = (
    *(f"PacketSize={PACKET_SIZE:x}", "QStartNoAckMode+", "qXfer:features:read+", "qXfer:memory-map:read+"),
    *("ReverseStep+", "ReverseContinue+", "swbreak+", "hwbreak+", "vContSupported+", "binary-upload+"),
)
_MAX_WAITING = 4096
"""The maximum number of pending packets and controls. gdb waits for each answer; other clients may not."""


class Link:
    """Packets from and to one gdb."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._reader = PacketReader()
        self._waiting: deque[Item] = deque()
        self._accepted: bytes | None = None
        """An acknowledged packet that `receive` has not returned yet."""
        self._latest: bytes | None = None
        """The last acknowledged packet."""
        self._is_answered = True
        self._sent = b""
        self._unacknowledged = 0
        """The number of packets sent since `_latest` that the client has not acknowledged."""
        self._acknowledges = True
        self.features: frozenset[bytes] = frozenset()
        """The features of gdb, such as `swbreak+`, once announced."""

    def receive(self) -> bytes:
        """Wait for the next packet that is not about the connection, and return its data. Raises Gone."""
        while not self._accept():
            self._take(self._channel.receive(None))
        data, self._accepted = self._accepted, None
        assert data is not None
        return data

    def poll(self) -> bool:
        """Process input without waiting and without a run.

        Returns:
            True if a packet is waiting for its answer.

        Raises: Gone: The other end has closed the connection.
        """
        self._take(self._channel.receive(0))
        return self._accept()

    def send(self, data: bytes, *, more: bool = False) -> None:
        """Send a packet. Raises Gone.

        Args:
            data: Its data.
            more: True if this is not the answer yet.
        """
        self._sent = encoded(data)
        self._unacknowledged += self._acknowledges
        self._is_answered = not more
        self._channel.send(self._sent)

    def keep_waiting(self) -> None:
        """Send another acknowledgement, which restarts gdb's time-out, so that it waits for the answer. Raises Gone."""
        self._channel.send(b"+")

    def interrupted(self) -> bool:
        """Return whether Ctrl-C was received, without waiting for it. Raises Gone."""
        self._take(self._channel.receive(0))
        if Control.INTERRUPT in self._waiting:
            self._waiting.remove(Control.INTERRUPT)
            return True
        if len(self._waiting) > _MAX_WAITING:
            raise Gone
        return False

    def _take(self, received: bytes) -> None:
        for item in self._reader.feed(received):
            if item is not Control.ACKNOWLEDGED:
                self._waiting.append(item)
            elif self._unacknowledged:
                self._unacknowledged -= 1

    def _accept(self) -> bool:
        """Process pending input up to a packet for `receive`. Return True if there is one."""
        while self._waiting and (self._accepted is None or self._is_copy(self._waiting[0])):
            item = self._waiting.popleft()
            if isinstance(item, Packet):
                self._accept_packet(item)
            elif item is Control.BROKEN and self._acknowledges:
                self._channel.send(b"-")
            elif item is Control.NOT_ACKNOWLEDGED and self._unacknowledged:
                self._channel.send(self._sent)
        return self._accepted is not None

    def _is_copy(self, item: Item) -> bool:
        return item == Packet(self._latest or b"") and (not self._is_answered or self._unacknowledged > 0)

    def _accept_packet(self, packet: Packet) -> None:
        if self._acknowledges:
            self._channel.send(b"+")
        if self._is_copy(packet):
            return
        self._latest, self._is_answered, self._unacknowledged = packet.data, False, 0
        if packet.data.startswith(b"qSupported"):
            self.features = frozenset(packet.data.partition(b":")[2].split(b";"))
            self.send(";".join(_SUPPORTED).encode())
        elif packet.data == b"QStartNoAckMode":
            self.send(b"OK")
            self._acknowledges = False
        else:
            self._accepted = packet.data
