"""Operands at the edges, from a seeded source."""

import random

SINGLE, DOUBLE = (32, 23), (64, 52)
"""Width of a number and of its fraction."""


def number(rng: random.Random, form: tuple[int, int]) -> int:
    """A floating-point number: zeros, denormals, infinities, NaNs, extremes, and ordinary ones near each other."""
    width, fraction = form
    largest = (1 << width - fraction - 1) - 1
    ones = (1 << fraction) - 1
    low = rng.choice((0, 1, ones, ones - 1, 1 << fraction - 1, rng.getrandbits(fraction), 1 << rng.randrange(fraction)))
    kind = rng.randrange(10)
    if kind == 0:
        low, exponent = rng.choice(((0, 0), (low, 0), (0, largest), (low, largest)))
    elif kind == 1:
        exponent = rng.choice((rng.randrange(1, 5), rng.randrange(largest - 4, largest), rng.randrange(1, largest)))
    elif kind == 2:
        exponent = (largest >> 1) + rng.choice((30, 31, 32, 62, 63, -1, -2, -75))
    else:
        exponent = (largest >> 1) + rng.randrange(-4, fraction + 4)
    return rng.getrandbits(1) << width - 1 | exponent << fraction | low


def vector(rng: random.Random) -> int:
    """An XMM register of single or double numbers, or of bytes of any value."""
    form = rng.choice((SINGLE, DOUBLE, None))
    if form is None:
        return rng.getrandbits(128)
    return sum(number(rng, form) << at for at in range(0, 128, form[0]))


def integer(rng: random.Random) -> int:
    """A general register."""
    edge = 1 << rng.choice((0, 7, 8, 15, 16, 31, 32, 53, 63, 64))
    return (
        rng.choice((0, edge, edge - 1, -edge, rng.getrandbits(64), rng.getrandbits(32), rng.getrandbits(6))) & 2**64 - 1
    )


def mxcsr(rng: random.Random, *, masked: bool = False) -> int:
    """Any masks, rounding, DAZ, FTZ and initially set flags."""
    masks = 0x1F80 if masked or rng.random() < 0.4 else rng.getrandbits(6) << 7
    modes = rng.choice((0, 0, rng.getrandbits(2) << 13, 0x40, 0x8000, 0x8040))
    return masks | modes | rng.choice((0, 0, 0x3F, rng.getrandbits(6)))
