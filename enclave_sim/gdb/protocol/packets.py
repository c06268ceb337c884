"""Packets of the remote serial protocol: `$data#checksum`, and the single bytes between them.

`PacketReader` takes bytes as they come, in pieces of any size, whatever they are: what is no packet is said to be
broken, or passed over, and never an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

PACKET_SIZE = 0x4000
"""The most bytes between `$` and `#`: more are not taken."""
_START, _END, _ESCAPE = b"$#}"
_MASK = 0x20
_CHECKSUM_DIGITS = 2
_RESERVED = frozenset(b"$#}*")


class Control(Enum):
    """What comes beside packets."""

    ACKNOWLEDGED = "+"
    NOT_ACKNOWLEDGED = "-"
    INTERRUPT = "\x03"
    """Ctrl-C at the other end."""
    BROKEN = "broken"
    """A packet with a wrong checksum or escape, or one that is too long."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What stood between `$` and `#`, without escapes."""

    data: bytes


Item = Packet | Control
_CONTROLS = {ord("+"): Control.ACKNOWLEDGED, ord("-"): Control.NOT_ACKNOWLEDGED, 3: Control.INTERRUPT}


class PacketReader:
    """Makes packets of a stream of bytes. Holds no more than one packet of it."""

    def __init__(self) -> None:
        self._content: bytearray | None = None
        self._checksum: bytearray | None = None
        self._too_long = False

    def feed(self, received: bytes) -> Iterator[Item]:
        """What is complete with these bytes."""
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
        """A `$` begins a packet, in the midst of another one, too: what was before has been cut off."""
        self._content, self._checksum, self._too_long = bytearray(), None, False

    def _complete(self) -> Item:
        content, digits, too_long = self._content, self._checksum, self._too_long
        self._content = self._checksum = None
        if content is None or digits is None or too_long or parse_hex(bytes(digits)) != checksum(content):
            return Control.BROKEN
        data = unescaped(bytes(content))
        return Control.BROKEN if data is None else Packet(data)


def checksum(content: bytes | bytearray) -> int:
    """The sum of all bytes, modulo 256."""
    return sum(content) & 0xFF


def encoded(data: bytes) -> bytes:
    """A whole packet, with what has a meaning of its own escaped."""
    content = b"".join(bytes([_ESCAPE, byte ^ _MASK]) if byte in _RESERVED else bytes([byte]) for byte in data)
    return b"$%b#%02x" % (content, checksum(content))


def unescaped(content: bytes) -> bytes | None:
    """The data of a packet's content; None where an escape ends it."""
    first, *rest = content.split(bytes([_ESCAPE]))
    if any(not part for part in rest):
        return None  # nothing that can be escaped stands behind an escape: an escape itself is always escaped
    return first + b"".join(bytes([part[0] ^ _MASK]) + part[1:] for part in rest)


def parse_hex(text: bytes) -> int | None:
    """A number in hexadecimal digits and nothing else, of at most 64 bits; None for what is none."""
    if not 1 <= len(text) <= 16 or any(byte not in b"0123456789abcdefABCDEF" for byte in text):
        return None
    return int(text, 16)
