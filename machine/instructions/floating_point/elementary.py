"""Elementary functions of exact arguments, with MPFR (gmpy2): it rounds correctly, so all hosts get the same results.

A number is a pair: significand * 2**exponent. A result has at least `_BITS` bits, and its last bit is set if it is
inexact, so that it can be rounded in any mode (rounding.py). All results are within the range of MPFR. Contexts are
passed explicitly, so the default contexts of Python and gmpy2 have no effect.
"""

from collections.abc import Callable
from typing import Any

from machine.instructions.floating_point.mpfr import gmpy2

Exact = tuple[int, int]
_BITS = 130
_WORKING = 192
_NEGLIGIBLE = -120
"""Below 2**this, an argument and its arc tangent differ by less than the kept bits can show."""


def _context(precision: int, rounding: int) -> Any:
    return gmpy2.context(
        precision=precision, round=rounding, emin=gmpy2.get_emin_min(), emax=gmpy2.get_emax_max(), subnormalize=False
    )


_truncating = _context(_BITS, gmpy2.RoundToZero)
_loading = _context(512, gmpy2.RoundToZero)
"""Has more bits than any argument, so all are loaded exactly."""


def _load(number: Exact) -> Any:
    significand, exponent = number
    real = _loading.add(significand, 0)
    return _loading.mul_2exp(real, exponent) if exponent >= 0 else _loading.div_2exp(real, -exponent)


def _take(real: Any) -> Exact:
    significand, exponent = real.as_mantissa_exp()
    return int(significand), int(exponent)


def _sticky(real: Any) -> Exact:
    """Return a truncated result; if it is inexact, with `_BITS` bits and another one, set."""
    significand, exponent = _take(real)
    if not real.rc:
        return significand, exponent
    missing = _BITS - abs(significand).bit_length()
    significand <<= missing
    return (significand * 2 - 1 if significand < 0 else significand * 2 + 1), exponent - missing - 1


def sine(x: Exact) -> Exact:
    """Return sin(x)."""
    return _sticky(_truncating.sin(_load(x)))


def cosine(x: Exact) -> Exact:
    """Return cos(x)."""
    return _sticky(_truncating.cos(_load(x)))


def tangent(x: Exact) -> Exact:
    """Return tan(x)."""
    return _sticky(_truncating.tan(_load(x)))


def arc_tangent(y: Exact, x: Exact) -> Exact:
    """Return atan2(y, x) of finite, nonzero arguments."""
    magnitude = y[1] + abs(y[0]).bit_length() - x[1] - abs(x[0]).bit_length()
    if x[0] > 0 and magnitude < _NEGLIGIBLE:  # just below y / x: MPFR would need very many bits to distinguish them
        quotient, rest = divmod(abs(y[0]) << 2 * _BITS, x[0])
        significand = 2 * (quotient if rest else quotient - 1) + 1
        return (-significand if y[0] < 0 else significand), y[1] - x[1] - 2 * _BITS - 1
    return _sticky(_truncating.atan2(_load(y), _load(x)))


def arc_tangent_of_limits(y: int, x: int) -> Exact:
    """Return atan2(y, x) for arguments of -1, 0 and 1, which represent infinite or zero ones: multiples of pi / 4."""
    return _sticky(_truncating.atan2(_load((y, 0)), _load((x, 0))))


def _enclose(bounds: Callable[[Any, Any], tuple[Exact, Exact]]) -> Exact:
    """Compute bounds with increasing precision until they agree in `_BITS` bits, and return the irrational result."""
    precision = _WORKING
    while True:
        lower, upper = bounds(_context(precision, gmpy2.RoundDown), _context(precision, gmpy2.RoundUp))
        found = _common(lower, upper)
        if found is not None:
            return found
        precision *= 2


def _common(lower: Exact, upper: Exact) -> Exact | None:
    if lower[0] < 0:
        found = _common((-upper[0], upper[1]), (-lower[0], lower[1]))
        return None if found is None else (-found[0], found[1])
    exponent = lower[1] + lower[0].bit_length() - _BITS
    low, high = _shift(lower, exponent), _shift(upper, exponent)
    return (low * 2 + 1, exponent - 1) if low == high else None


def _shift(number: Exact, exponent: int) -> int:
    distance = number[1] - exponent
    return number[0] << distance if distance >= 0 else number[0] >> -distance


def power_of_two_minus_one(x: Exact) -> Exact:
    """Return 2**x - 1 for |x| <= 1, x nonzero."""
    if _magnitude(x) == 1:
        return (1, 0) if x[0] > 0 else (-1, -1)

    def bounds(down: Any, up: Any) -> tuple[Exact, Exact]:
        low, high = (down, up) if x[0] > 0 else (up, down)  # of ln 2, for the right bound of the product
        return (
            _take(down.expm1(down.mul(_load(x), low.const_log2()))),
            _take(up.expm1(up.mul(_load(x), high.const_log2()))),
        )

    return _enclose(bounds)


def _magnitude(x: Exact) -> int:
    """Return 1 if |x| is 1, else 0."""
    significand = abs(x[0])
    return int(significand == 1 << significand.bit_length() - 1 and x[1] == 1 - significand.bit_length())


def logarithm_product(y: Exact, x: Exact) -> Exact:
    """Return y * log2(x) for a positive x other than 1."""
    power = x[1] + x[0].bit_length() - 1
    if x[0] & x[0] - 1 == 0:
        return y[0] * power, y[1]

    def bounds(down: Any, up: Any) -> tuple[Exact, Exact]:
        return _product(y, _take(down.log2(_load(x))), _take(up.log2(_load(x))))

    return _enclose(bounds)


def logarithm_product_of_sum(y: Exact, x: Exact) -> Exact:
    """Return y * log2(1 + x) for x > -1, x nonzero."""
    if abs(x[1]) < 2 * _BITS:  # the sum may be a power of two, whose logarithm is exact
        if x[1] < 0:
            return logarithm_product(y, (x[0] + (1 << -x[1]), x[1]))
        return logarithm_product(y, ((x[0] << x[1]) + 1, 0))

    def bounds(down: Any, up: Any) -> tuple[Exact, Exact]:
        low, high = (up, down) if x[0] > 0 else (down, up)
        return _product(
            y,
            _take(down.div(down.log1p(_load(x)), low.const_log2())),
            _take(up.div(up.log1p(_load(x)), high.const_log2())),
        )

    return _enclose(bounds)


def _product(y: Exact, low: Exact, high: Exact) -> tuple[Exact, Exact]:
    """Return the bounds of y times a number between `low` and `high`."""
    lower, upper = (y[0] * low[0], y[1] + low[1]), (y[0] * high[0], y[1] + high[1])
    return (lower, upper) if y[0] > 0 else (upper, lower)
