"""Addition, subtraction, multiplication, division and square root (SDM volume 2, FADD to FSUBR, FSQRT)."""

from math import isqrt

from machine.instructions.floating_point.extended import (
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
from machine.instructions.floating_point.rounding import round_to_register
from machine.instructions.floating_point.words import DE, DOWN, ROUNDING_SHIFT, ZE

_GUARD = 130
"""Enough extra bits to round the sum, quotient or root of 64-bit significands correctly."""


def add(a: int, b: int, control: int) -> tuple[int | None, int]:
    """Return a + b."""
    return _sum(a, b, 0, control)


def subtract(a: int, b: int, control: int) -> tuple[int | None, int]:
    """Return a - b."""
    return _sum(a, b, 1, control)


def reverse_subtract(a: int, b: int, control: int) -> tuple[int | None, int]:
    """Return b - a."""
    return _sum(b, a, 1, control)


def reverse_divide(a: int, b: int, control: int) -> tuple[int | None, int]:
    """Return b / a."""
    return divide(b, a, control)


def _sum(a: int, b: int, negate: int, control: int) -> tuple[int | None, int]:
    exponent, exponent_b = a >> 64 & EXPONENT, b >> 64 & EXPONENT
    significand, significand_b = a & SIGNIFICAND, b & SIGNIFICAND
    negative, negative_b = a >> 79, b >> 79 ^ negate
    bits = 0
    if not (0 < exponent < EXPONENT and 0 < exponent_b < EXPONENT and significand >> 63 and significand_b >> 63):
        is_final, value, bits = _unusual_sum(a, b, negate, control)
        if is_final:
            return value, bits
        exponent, exponent_b = exponent or 1, exponent_b or 1
    if exponent < exponent_b:
        exponent, exponent_b = exponent_b, exponent
        significand, significand_b = significand_b, significand
        negative, negative_b = negative_b, negative
    distance = exponent - exponent_b
    if distance > _GUARD:
        distance, significand_b = _GUARD, int(significand_b != 0)
    total = significand << distance
    if negative == negative_b:
        total += significand_b
    else:
        total -= significand_b
        if total < 0:
            total, negative = -total, negative_b
        elif not total:
            return _zero(negative, negative_b, control), bits
    value, rounded = round_to_register(negative, exponent - distance - SCALE, total, control)
    return value, rounded | bits


def _unusual_sum(a: int, b: int, negate: int, control: int) -> tuple[bool, int | None, int]:
    """Return True if special operands determine the sum, then the sum and its bits: DE if an operand is denormal."""
    kind_a, kind_b = kind(a), kind(b)
    if kind_a >= QNAN or kind_b >= QNAN:
        return True, *not_numbers(a, b, kind_a, kind_b, control)
    if kind_a == INFINITE == kind_b:
        return True, *(invalid(control) if (a ^ b) >> 79 != negate else (a, 0))
    bits = DE if DENORMAL in (kind_a, kind_b) else 0
    if bits & ~control:
        return True, None, bits
    if kind_a == INFINITE:
        return True, a, bits
    if kind_b == INFINITE:
        return True, b ^ negate << 79, bits
    if kind_a == ZERO_KIND == kind_b:
        return True, _zero(a >> 79, b >> 79 ^ negate, control), bits
    return False, None, bits


def _zero(negative: int, negative_b: int, control: int) -> int:
    """Return the sum of two zeros, or of a number and its negative: a zero with the right sign."""
    if negative == negative_b:
        return negative << 79
    return SIGN if control >> ROUNDING_SHIFT & 3 == DOWN else 0


def multiply(a: int, b: int, control: int) -> tuple[int | None, int]:
    """Return a * b."""
    exponent_a, exponent_b = a >> 64 & EXPONENT, b >> 64 & EXPONENT
    significand_a, significand_b = a & SIGNIFICAND, b & SIGNIFICAND
    negative = (a ^ b) >> 79
    bits = 0
    if not (0 < exponent_a < EXPONENT and 0 < exponent_b < EXPONENT and significand_a >> 63 and significand_b >> 63):
        kind_a, kind_b = kind(a), kind(b)
        if kind_a >= QNAN or kind_b >= QNAN:
            return not_numbers(a, b, kind_a, kind_b, control)
        if INFINITE in (kind_a, kind_b) and ZERO_KIND in (kind_a, kind_b):
            return invalid(control)
        if DENORMAL in (kind_a, kind_b):
            bits = DE
            if not control & DE:
                return None, DE
        if INFINITE in (kind_a, kind_b):
            return negative << 79 | INFINITY, bits
        if ZERO_KIND in (kind_a, kind_b):
            return negative << 79, bits
        exponent_a, exponent_b = exponent_a or 1, exponent_b or 1
    exponent = exponent_a + exponent_b - 2 * SCALE
    value, rounded = round_to_register(negative, exponent, significand_a * significand_b, control)
    return value, rounded | bits


def divide(a: int, b: int, control: int) -> tuple[int | None, int]:
    """Return a / b."""
    exponent_a, exponent_b = a >> 64 & EXPONENT, b >> 64 & EXPONENT
    significand_a, significand_b = a & SIGNIFICAND, b & SIGNIFICAND
    negative = (a ^ b) >> 79
    bits = 0
    if not (0 < exponent_a < EXPONENT and 0 < exponent_b < EXPONENT and significand_a >> 63 and significand_b >> 63):
        kind_a, kind_b = kind(a), kind(b)
        if kind_a >= QNAN or kind_b >= QNAN:
            return not_numbers(a, b, kind_a, kind_b, control)
        if kind_a == kind_b and kind_a in (INFINITE, ZERO_KIND):
            return invalid(control)
        if kind_b == ZERO_KIND and kind_a != INFINITE:
            return negative << 79 | INFINITY if control & ZE else None, ZE
        if DENORMAL in (kind_a, kind_b):
            bits = DE
            if not control & DE:
                return None, DE
        if kind_a == INFINITE:
            return negative << 79 | INFINITY, bits
        if kind_a == ZERO_KIND or kind_b == INFINITE:
            return negative << 79, bits
        exponent_a, exponent_b = exponent_a or 1, exponent_b or 1
    quotient, rest = divmod(significand_a << _GUARD, significand_b)
    exponent = exponent_a - exponent_b - _GUARD
    if rest:
        quotient |= 1  # sticky, far below the bits that are kept
    value, rounded = round_to_register(negative, exponent, quotient, control)
    return value, rounded | bits


def square_root(a: int, control: int) -> tuple[int | None, int]:
    """Return the square root of a."""
    of_kind, bits = kind(a), 0
    if of_kind >= QNAN:
        return not_a_number(a, of_kind, control)
    if of_kind == ZERO_KIND:
        return a, 0
    if a >> 79:
        return invalid(control)
    if of_kind == INFINITE:
        return a, 0
    if of_kind == DENORMAL:
        bits = DE
        if not control & DE:
            return None, DE
    exponent = (a >> 64 or 1) - SCALE - _GUARD
    significand = (a & SIGNIFICAND) << _GUARD
    if exponent & 1:
        exponent -= 1
        significand <<= 1
    root = isqrt(significand)
    if root * root != significand:
        root = root << 1 | 1
        exponent -= 2
    value, rounded = round_to_register(0, exponent >> 1, root, control)
    return value, rounded | bits
