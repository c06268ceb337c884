"""FPREM and FPREM1: exact remainders, in several steps if the quotient is large (SDM volume 2)."""

from machine.instructions.floating_point.extended import (
    DENORMAL,
    EXPONENT,
    INFINITE,
    QNAN,
    SCALE,
    SIGNIFICAND,
    ZERO_KIND,
    invalid,
    kind,
    not_numbers,
)
from machine.instructions.floating_point.rounding import normalized, round_fully
from machine.instructions.floating_point.words import C0, C1, C2, C3, DE

_REDUCTION = 64
"""A quotient below 2**this takes one step; otherwise a step reduces the exponent difference by 32 to 63."""


def remainder(a: int, b: int, control: int, *, to_nearest: bool = False) -> tuple[int | None, int]:
    """Return the remainder of a / b.

    Args:
        a: The dividend.
        b: The divisor.
        control: The control word.
        to_nearest: The quotient is rounded to nearest (FPREM1), otherwise truncated (FPREM).

    Returns:
        The remainder, and bits for the status word: flags, and the quotient's last three bits in C0, C3 and C1, or C2
        if the remainder is partial.
    """
    kind_a, kind_b = kind(a), kind(b)
    if kind_a >= QNAN or kind_b >= QNAN:
        return not_numbers(a, b, kind_a, kind_b, control)
    if kind_a == INFINITE or kind_b == ZERO_KIND:
        return invalid(control)
    bits = 0
    if DENORMAL in (kind_a, kind_b):
        bits = DE
        if not control & DE:
            return None, DE
    if kind_a == ZERO_KIND:
        return a, bits
    negative = a >> 79
    significand, shift = normalized(a & SIGNIFICAND)
    exponent = (a >> 64 & EXPONENT or 1) - shift
    if kind_b == INFINITE:
        value, rounded = round_fully(negative, exponent - SCALE, significand, control)
        return value, bits | rounded
    divisor, shift = normalized(b & SIGNIFICAND)
    divisor_exponent = (b >> 64 & EXPONENT or 1) - shift
    distance = exponent - divisor_exponent
    if distance >= _REDUCTION:
        step = distance - (distance & 31 | 32)
        rest = (significand << distance - step) % divisor
        divisor_exponent += step
        bits |= C2
    else:
        if distance >= 0:
            quotient, rest = divmod(significand << distance, divisor)
        else:  # in units of the dividend's last place
            divisor_exponent, divisor = exponent, divisor << -(exponent - divisor_exponent)
            quotient, rest = 0, significand
        if to_nearest and (2 * rest > divisor or (2 * rest == divisor and quotient & 1)):
            quotient += 1
            rest = divisor - rest
            negative ^= 1
        bits |= (C0 if quotient & 4 else 0) | (C3 if quotient & 2 else 0) | (C1 if quotient & 1 else 0)
    if not rest:
        return (a >> 79) << 79, bits
    value, rounded = round_fully(negative, divisor_exponent - SCALE, rest, control)
    return value, bits | rounded
