"""Rounding of exact results (SDM volume 1, 4.8.4, 4.9.1 and 8.5.4 to 8.5.6).

An exact result is a sign and significand * 2**exponent, with a positive integer significand of any length. If it has no
finite binary form, it has at least 66 bits, and the last one is set to represent all that follow ("sticky").
"""

from machine.instructions.floating_point.extended import BIAS, EXPONENT, INFINITY, INTEGER_BIT, SIGNIFICAND
from machine.instructions.floating_point.words import (
    C1,
    DOWN,
    NEAREST,
    OE,
    PE,
    PRECISION_SHIFT,
    PRECISIONS,
    ROUNDING_SHIFT,
    UE,
    UP,
)

_BIAS_ADJUSTMENT = 24576
"""Adjustment of the exponent after an unmasked overflow or underflow with a register as the destination."""
_FULL = 64


def shorten(negative: int, significand: int, drop: int, mode: int) -> tuple[int, int]:
    """Drop the low `drop` bits of a significand, rounding by `mode`; return it, PE and C1."""
    if drop <= 0:
        return significand << -drop, 0
    kept = significand >> drop
    rest = significand - (kept << drop)
    if not rest:
        return kept, 0
    if mode == NEAREST:
        half = 1 << drop - 1
        up = rest > half or (rest == half and kept & 1)
    else:
        up = mode == (DOWN if negative else UP)
    return (kept + 1, PE | C1) if up else (kept, PE)


def overflows_to_infinity(negative: int, control: int) -> bool:
    """Return True if the masked response to an overflow is infinity, False if the largest finite number."""
    mode = control >> ROUNDING_SHIFT & 3
    return mode in (NEAREST, DOWN if negative else UP)


def round_to_register(negative: int, exponent: int, significand: int, control: int) -> tuple[int, int]:
    """Round by precision control, as FADD, FSUB, FMUL, FDIV and FSQRT do."""
    return round_to(PRECISIONS[control >> PRECISION_SHIFT & 3], negative, exponent, significand, control)


def round_fully(negative: int, exponent: int, significand: int, control: int) -> tuple[int, int]:
    """Round to 64 bits, ignoring precision control."""
    return round_to(_FULL, negative, exponent, significand, control)


def round_to(precision: int, negative: int, exponent: int, significand: int, control: int) -> tuple[int, int]:
    """Round to `precision` bits in a register, which always has the exponent range of the extended format."""
    length = significand.bit_length()
    biased = exponent + length + (BIAS - 1)
    rounded, bits = shorten(negative, significand, length - precision, control >> ROUNDING_SHIFT & 3)
    if rounded >> precision:
        rounded >>= 1
        biased += 1
    if 0 < biased < EXPONENT:
        return (negative << 15 | biased) << 64 | rounded << 64 - precision, bits
    if biased > 0:
        if control & OE:
            return _masked_overflow(negative, precision, control)
        biased -= _BIAS_ADJUSTMENT
        if biased >= EXPONENT:  # massive overflow, of FSCALE
            return negative << 79 | INFINITY, OE | PE | C1
        return (negative << 15 | biased) << 64 | rounded << 64 - precision, bits | OE
    if control & UE:  # tiny: round again at the last bit of a denormal number
        drop = 2 - BIAS - precision - exponent
        rounded, bits = shorten(negative, significand, drop, control >> ROUNDING_SHIFT & 3)
        bits |= UE if bits else 0
        return (negative << 79) + (rounded << 64 - precision) + (rounded >> precision - 1 << 64), bits
    biased += _BIAS_ADJUSTMENT
    if biased <= 0:  # massive underflow, of FSCALE
        return negative << 79, UE | PE
    return (negative << 15 | biased) << 64 | rounded << 64 - precision, bits | UE


def _masked_overflow(negative: int, precision: int, control: int) -> tuple[int, int]:
    if overflows_to_infinity(negative, control):
        return negative << 79 | INFINITY, OE | PE | C1
    largest = SIGNIFICAND ^ (1 << 64 - precision) - 1
    return (negative << 15 | EXPONENT - 1) << 64 | largest, OE | PE


def normalized(significand: int) -> tuple[int, int]:
    """Shift a significand until its integer bit is set; return it and the shift count."""
    shift = INTEGER_BIT.bit_length() - significand.bit_length()
    return significand << shift, shift
