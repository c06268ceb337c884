"""Fields of packets: numbers and bytes, in hexadecimal."""

from enclave_sim.gdb.protocol.packets import parse_hex


class Malformed(Exception):  # noqa: N818 - the error is gdb's
    """A packet is malformed."""


def number(text: bytes) -> int:
    """Parse a number of 1 to 16 hexadecimal digits. Raises Malformed."""
    value = parse_hex(text)
    if value is None:
        raise Malformed
    return value


def numbers(text: bytes, count: int) -> list[int]:
    """Parse `count` numbers separated by commas. Raises Malformed."""
    found = [number(part) for part in text.split(b",")]
    if len(found) != count:
        raise Malformed
    return found


def hex_bytes(text: bytes) -> bytes:
    """Parse bytes from pairs of hexadecimal digits. Raises Malformed."""
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raise Malformed from None
