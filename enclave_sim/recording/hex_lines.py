"""A hex dump: sixteen bytes per line, with their address and ASCII characters."""

from collections.abc import Iterator
from typing import NamedTuple

LINE_BYTES = 16


class HexLine(NamedTuple):
    """Up to sixteen bytes."""

    address: int
    data: bytes

    @property
    def hexadecimal(self) -> str:
        """The bytes in hexadecimal, padded to the width of a full line."""
        return f"{self.data.hex(' '):<{3 * LINE_BYTES - 1}}"

    def __str__(self) -> str:
        """Address (eight digits without a prefix), hexadecimal, characters."""
        return f"{self.address:08x}  {self.hexadecimal}  {ascii_of(self.data)}"


def hex_lines(base: int, data: bytes) -> Iterator[HexLine]:
    """Split bytes into lines. The first line starts at `base`, aligned or not."""
    for offset in range(0, len(data), LINE_BYTES):
        yield HexLine(base + offset, data[offset : offset + LINE_BYTES])


def ascii_of(data: bytes) -> str:
    """Return printable ASCII characters unchanged, and a full stop for every other byte."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
