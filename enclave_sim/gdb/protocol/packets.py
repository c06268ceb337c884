"""Packets of the remote serial protocol: `$data#checksum`, and the single bytes between them.

`PacketReader` takes arbitrary bytes in pieces of any size. Anything that is not a packet is reported as broken or
skipped, and never raises an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

PACKET_SIZE = 0x4000
"""The maximum number of bytes between `$` and `#`: a longer packet is broken."""
_START, _END, _ESCAPE = b"$#}"
_MASK = 0x20
_CHECKSUM_DIGITS = 2
_RESERVED = frozenset(b"$#}*")


class Control(Enum):
    """Items between packets."""

    ACKNOWLEDGED = "+"
    NOT_ACKNOWLEDGED = "-"
    INTERRUPT = "\x03"
    """Ctrl-C at the other end."""
    BROKEN = "broken"
    """A packet with a wrong checksum or escape, or one that is too long."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet: the data between `$` and `#`, without escapes."""

    data: bytes


Item = Packet | Control
_CONTROLS = {ord("+"): Control.ACKNOWLEDGED, ord("-"): Control.NOT_ACKNOWLEDGED, 3: Control.INTERRUPT}


class PacketReader:
    """Parses a stream of bytes into packets. It buffers at most one packet."""

    def __init__(self) -> None:
        self._content: bytearray | None = None
        self._checksum: bytearray | None = None
        self._too_long = False

    def feed(self, received: bytes) -> Iterator[Item]:
        """Yield the items that these bytes complete."""
        for byte in received:
            if self._checksum is not None:
                self._checksum.append(byte)
                if len(self._checksum) == _CHECKSUM_DIGITS:
                    yield self._complete()
            elif byte == _START:
                self._begin()
            elif self._content is None:
                if byte in _CONTROLS:
                    yield _CONTROLS[byte]
            elif byte == _END:
                self._checksum = bytearray()
            elif len(self._content) < PACKET_SIZE:
                self._content.append(byte)
            else:
                self._too_long = True

    def _begin(self) -> None:
        """Begin a packet at `$`, even within another one, which was then cut off."""
        self._content, self._checksum, self._too_long = bytearray(), None, False

    def _complete(self) -> Item:
        content, digits, too_long = self._content, self._checksum, self._too_long
        self._content = self._checksum = None
        if content is None or digits is None or too_long or parse_hex(bytes(digits)) != checksum(content):
            return Control.BROKEN
        data = unescaped(bytes(content))
        return Control.BROKEN if data is None else Packet(data)


def checksum(content: bytes | bytearray) -> int:
    """Return the sum of all bytes, modulo 256."""
    return sum(content) & 0xFF


def encoded(data: bytes) -> bytes:
    """Return the complete packet for some data, with reserved bytes escaped."""
    content = b"".join(bytes([_ESCAPE, byte ^ _MASK]) if byte in _RESERVED else bytes([byte]) for byte in data)
    return b"$%b#%02x" % (content, checksum(content))


def unescaped(content: bytes) -> bytes | None:
    """Return the data of a packet's content; None if an escape has nothing after it."""
    first, *rest = content.split(bytes([_ESCAPE]))
    if any(not part for part in rest):
        return None  # the end, or another escape, follows: an escape byte is itself sent escaped, as another byte
    return first + b"".join(bytes([part[0] ^ _MASK]) + part[1:] for part in rest)


def parse_hex(text: bytes) -> int | None:
    """Return the number of 1 to 16 hexadecimal digits; None for any other text."""
    if not 1 <= len(text) <= 16 or any(byte not in b"0123456789abcdefABCDEF" for byte in text):
        return None
    return int(text, 16)
