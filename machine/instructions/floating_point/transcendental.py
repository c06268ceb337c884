"""FSIN, FCOS, FPTAN, FPATAN, F2XM1, FYL2X and FYL2XP1: special values and rounding (SDM volume 2, and volume 1, 8.3).

Results are the true values (with exact pi), correctly rounded by rounding control. `elementary` computes them.
"""

from machine.instructions.floating_point.extended import (
    BIAS,
    DENORMAL,
    EXPONENT,
    INFINITE,
    INFINITY,
    ONE,
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
from machine.instructions.floating_point.rounding import round_fully
from machine.instructions.floating_point.words import C2, DE, ZE

_OUT_OF_RANGE = BIAS + 63
_NEGATIVE_ONE = SIGN | ONE

Exact = tuple[int, int]


def _exact(number: int) -> Exact:
    significand = number & SIGNIFICAND
    return (-significand if number >> 79 else significand), (number >> 64 & EXPONENT or 1) - SCALE


def _round(value: Exact, control: int, bits: int) -> tuple[int, int]:
    number, rounded = round_fully(int(value[0] < 0), value[1], abs(value[0]), control)
    return number, rounded | bits


def _argument(a: int, control: int) -> tuple[int, int | None, int]:
    """Return the kind of a trigonometric argument, the result if the kind decides it (else None), and C2 or flags."""
    of_kind = kind(a)
    if of_kind >= QNAN:
        return of_kind, *not_a_number(a, of_kind, control)
    if of_kind == INFINITE:
        return of_kind, *invalid(control)
    if a >> 64 & EXPONENT >= _OUT_OF_RANGE:
        return of_kind, a, C2
    return of_kind, None, DE if of_kind == DENORMAL else 0


def _trigonometric(a: int, control: int, at_zero: int, name: str) -> tuple[int | None, int]:
    of_kind, value, bits = _argument(a, control)
    if of_kind >= INFINITE or bits & C2:
        return value, bits
    if of_kind == ZERO_KIND:
        return at_zero, 0
    if bits & ~control & DE:
        return None, DE
    from machine.instructions.floating_point import elementary  # noqa: PLC0415 - loads gmpy2

    return _round(getattr(elementary, name)(_exact(a)), control, bits)


def sine(a: int, control: int) -> tuple[int | None, int]:
    """Return sin(a); a itself with C2 if its magnitude is 2**63 or more."""
    return _trigonometric(a, control, a, "sine")


def cosine(a: int, control: int) -> tuple[int | None, int]:
    """Return cos(a); a itself with C2 if its magnitude is 2**63 or more."""
    return _trigonometric(a, control, ONE, "cosine")


def tangent(a: int, control: int) -> tuple[int | None, int]:
    """Return tan(a); a itself with C2 if its magnitude is 2**63 or more."""
    return _trigonometric(a, control, a, "tangent")


def arc_tangent(y: int, x: int, control: int) -> tuple[int | None, int]:
    """Return the angle of the point (x, y): atan(y / x) in its quadrant."""
    kind_y, kind_x = kind(y), kind(x)
    if kind_y >= QNAN or kind_x >= QNAN:
        return not_numbers(y, x, kind_y, kind_x, control)
    bits = 0
    if DENORMAL in (kind_y, kind_x):
        bits = DE
        if not control & DE:
            return None, DE
    if not x >> 79 and (kind_y == ZERO_KIND or (kind_x == INFINITE and kind_y != INFINITE)):
        return y & SIGN, bits
    from machine.instructions.floating_point import elementary  # noqa: PLC0415 - loads gmpy2

    if kind_y in (ZERO_KIND, INFINITE) or kind_x in (ZERO_KIND, INFINITE):
        # Only the ratio counts: if it is infinite, the smaller argument counts as zero.
        rank_y, rank_x = _rank(kind_y), _rank(kind_x)
        at = (int(rank_y >= rank_x), int(rank_x >= rank_y))
        if kind_y == ZERO_KIND:
            at = (0, 1)  # x is negative, possibly a negative zero
        value = elementary.arc_tangent_of_limits(at[0], -at[1] if x >> 79 else at[1])
        return _round((-abs(value[0]) if y >> 79 else abs(value[0]), value[1]), control, bits)
    return _round(elementary.arc_tangent(_exact(y), _exact(x)), control, bits)


def _rank(of_kind: int) -> int:
    return {ZERO_KIND: 0, INFINITE: 2}.get(of_kind, 1)


def power_of_two_minus_one(a: int, control: int) -> tuple[int | None, int]:
    """Return 2**a - 1; a itself outside [-1, 1], where the result is undefined."""
    of_kind = kind(a)
    if of_kind >= QNAN:
        return not_a_number(a, of_kind, control)
    if of_kind == ZERO_KIND:
        return a, 0
    if of_kind == INFINITE:
        return (_NEGATIVE_ONE if a >> 79 else a), 0
    if a & ~SIGN > ONE:
        return a, 0
    bits = DE if of_kind == DENORMAL else 0
    if bits & ~control:
        return None, bits
    from machine.instructions.floating_point import elementary  # noqa: PLC0415 - loads gmpy2

    return _round(elementary.power_of_two_minus_one(_exact(a)), control, bits)


def logarithm_product(y: int, x: int, control: int) -> tuple[int | None, int]:
    """Return y * log2(x)."""
    kind_y, kind_x = kind(y), kind(x)
    if kind_y >= QNAN or kind_x >= QNAN:
        return not_numbers(y, x, kind_y, kind_x, control)
    if kind_x == ZERO_KIND:
        if kind_y == ZERO_KIND:
            return invalid(control)
        infinity = ~y & SIGN | INFINITY
        if kind_y == INFINITE:
            return infinity, 0
        return infinity if control & ZE else None, ZE
    if x >> 79:
        return invalid(control)
    bits = DE if DENORMAL in (kind_y, kind_x) else 0
    if kind_x == INFINITE:
        if kind_y == ZERO_KIND:
            return invalid(control)
        return (None if bits & ~control else y & SIGN | INFINITY), bits
    sign = y & SIGN if x >= ONE else ~y & SIGN
    if kind_y == INFINITE:
        if x == ONE:
            return invalid(control)
        return (None if bits & ~control else sign | INFINITY), bits
    if bits & ~control:
        return None, bits
    if kind_y == ZERO_KIND or x == ONE:
        return sign, bits
    from machine.instructions.floating_point import elementary  # noqa: PLC0415 - loads gmpy2

    return _round(elementary.logarithm_product(_exact(y), _exact(x)), control, bits)


def logarithm_product_of_sum(y: int, x: int, control: int) -> tuple[int | None, int]:
    """Return y * log2(1 + x). For x below -1, which the manual leaves undefined, it is invalid."""
    kind_y, kind_x = kind(y), kind(x)
    if kind_y >= QNAN or kind_x >= QNAN:
        return not_numbers(y, x, kind_y, kind_x, control)
    sign = (x ^ y) & SIGN
    bits = DE if DENORMAL in (kind_y, kind_x) else 0
    if kind_y == INFINITE and kind_x == ZERO_KIND:
        return invalid(control)
    if x >> 79 and x & ~SIGN > ONE:
        return invalid(control)
    if kind_x == INFINITE or x == _NEGATIVE_ONE:
        if kind_y == ZERO_KIND:
            return invalid(control)
        if x == _NEGATIVE_ONE and kind_y != INFINITE:
            return (sign | INFINITY if control & ZE else None), ZE
    if bits & ~control:
        return None, bits
    if INFINITE in (kind_y, kind_x):
        return sign | INFINITY, bits
    if ZERO_KIND in (kind_y, kind_x):
        return sign, bits
    from machine.instructions.floating_point import elementary  # noqa: PLC0415 - loads gmpy2

    return _round(elementary.logarithm_product_of_sum(_exact(y), _exact(x)), control, bits)
