"""FSCALE, FXTRACT and FRNDINT (SDM volume 2)."""

from machine.instructions.floating_point.extended import (
    BIAS,
    DENORMAL,
    EXPONENT,
    INFINITE,
    INFINITY,
    QNAN,
    SCALE,
    SIGN,
    SIGNIFICAND,
    ZERO_KIND,
    invalid,
    kind,
    not_a_number,
    not_numbers,
)
from machine.instructions.floating_point.rounding import normalized, round_fully, shorten
from machine.instructions.floating_point.words import DE, ROUNDING_SHIFT, ZE

_FARTHEST = 1 << 17
"""An exponent with which every number overflows or underflows, even after adjustment."""


def scale(a: int, b: int, control: int) -> tuple[int | None, int]:
    """Return a * 2**trunc(b)."""
    kind_a, kind_b = kind(a), kind(b)
    if kind_a >= QNAN or kind_b >= QNAN:
        return not_numbers(a, b, kind_a, kind_b, control)
    negative = a >> 79
    if kind_b == INFINITE and kind_a == (INFINITE if b >> 79 else ZERO_KIND):
        return invalid(control)
    bits = 0
    if DENORMAL in (kind_a, kind_b):
        bits = DE
        if not control & DE:
            return None, DE
    if kind_b == INFINITE:
        return negative << 79 | (0 if b >> 79 else INFINITY), bits
    if kind_a in (INFINITE, ZERO_KIND):
        return a, bits
    fraction_bits = SCALE - (b >> 64 & EXPONENT)
    power = min((b & SIGNIFICAND) >> fraction_bits, _FARTHEST) if fraction_bits >= 0 else _FARTHEST
    exponent = (a >> 64 & EXPONENT or 1) - SCALE + (-power if b >> 79 else power)
    value, rounded = round_fully(negative, exponent, a & SIGNIFICAND, control)
    return value, bits | rounded


def extract(a: int, control: int) -> tuple[int | None, int, int]:
    """Return exponent and significand of a, and bits for the status word; the exponent is None after an exception."""
    of_kind = kind(a)
    if of_kind >= QNAN:
        value, bits = not_a_number(a, of_kind, control)
        return value, value or 0, bits
    if of_kind == INFINITE:
        return INFINITY, a, 0
    if of_kind == ZERO_KIND:
        return SIGN | INFINITY if control & ZE else None, a, ZE
    bits = 0
    if of_kind == DENORMAL:
        bits = DE
        if not control & DE:
            return None, 0, DE
    significand, shift = normalized(a & SIGNIFICAND)
    exponent = (a >> 64 & EXPONENT or 1) - shift - BIAS
    if not exponent:
        found = 0
    else:
        found, _ = round_fully(int(exponent < 0), 0, abs(exponent), control)
    return found, (a >> 79 << 15 | BIAS) << 64 | significand, bits


def round_to_integer(a: int, control: int) -> tuple[int | None, int]:
    """Return a rounded to an integer by rounding control."""
    of_kind = kind(a)
    if of_kind >= QNAN:
        return not_a_number(a, of_kind, control)
    bits = 0
    if of_kind == DENORMAL:
        bits = DE
        if not control & DE:
            return None, DE
    exponent = (a >> 64 & EXPONENT or 1) - SCALE
    if exponent >= 0 or of_kind == ZERO_KIND:
        return a, bits
    negative = a >> 79
    whole, rounded = shorten(negative, a & SIGNIFICAND, -exponent, control >> ROUNDING_SHIFT & 3)
    if not whole:
        return negative << 79, bits | rounded
    value, _ = round_fully(negative, 0, whole, control)
    return value, bits | rounded
