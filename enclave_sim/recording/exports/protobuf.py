"""The wire format of protocol buffers, as far as exports write it (https://protobuf.dev/programming-guides/encoding)."""

from collections.abc import Callable, Hashable
from typing import TypeVar

_BITS, _MASK = 14, (1 << 14) - 1
_MOST_KEPT = 4096
_Key = TypeVar("_Key", bound=Hashable)


def _slow_varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


_LAST = [_slow_varint(value) for value in range(1 << _BITS)]
_MORE = [bytes((value & 0x7F | 0x80, value >> 7 | 0x80)) for value in range(1 << _BITS)]


def varint(value: int) -> bytes:
    """Return a number of 0 or more, 7 bits a byte, the lowest first."""
    if value <= _MASK:
        return _LAST[value]
    if value < 1 << 2 * _BITS:
        return _MORE[value & _MASK] + _LAST[value >> _BITS]
    return _MORE[value & _MASK] + varint(value >> _BITS)


def fixed64(value: int) -> bytes:
    """Return a number of 64 bits."""
    return value.to_bytes(8, "little")


def message(content: bytes) -> bytes:
    """Return bytes, a text or a message after its length."""
    return varint(len(content)) + content


class Kept(dict[_Key, bytes]):
    """The results of a function, of which the first few thousand are kept."""

    def __init__(self, make: Callable[[_Key], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: _Key) -> bytes:
        made = self._make(key)
        if len(self) < _MOST_KEPT:
            self[key] = made
        return made
