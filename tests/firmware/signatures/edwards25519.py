"""Points of edwards25519 (RFC 8032, 5.1), slowly: for signatures that no signer makes."""

from hashlib import sha512

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def decode(encoded: bytes) -> Point:
    """Return the point of a canonical encoding. Raises ValueError if there is none."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square:
        raise ValueError("no point has this y")
    return (P - x if x & 1 != sign else x) % P, y


def encode(point: Point) -> bytes:
    """Return the canonical encoding."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def add(a: Point, b: Point) -> Point:
    """Return the sum of two points."""
    (x1, y1), (x2, y2) = a, b
    k = _D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - k, -1, P)
    return x % P, y % P


def times(scalar: int, point: Point) -> Point:
    """Return a multiple of a point."""
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


BASE = decode(bytes.fromhex("58" + 31 * "66"))
ORDER_8 = decode(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"))
SMALL = [times(n, ORDER_8) for n in range(8)]
"""All points of small order: the multiples of one of order 8."""


def hashed(r: bytes, key: bytes, message: bytes) -> int:
    """Return the scalar that a signature's R, the key and the message are hashed to."""
    return int.from_bytes(sha512(r + key + message).digest(), "little") % L


def signature(r: bytes, s: int) -> bytes:
    """Return the signature of R and S; S may be out of range."""
    return r + s.to_bytes(32, "little")
