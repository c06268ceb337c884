"""Which exceptions a floating-point operation raises (IEEE 754; SDM volume 1, 11.5.2), worked out exactly.

Numbers are fractions, so nothing is lost. Flags are the low six bits of MXCSR. Of the exceptions before the
computation only the one of highest priority is raised: SNaN or an operand that is invalid, then a QNaN (which is none
and ends it), then invalid operations and division by zero, then a denormal operand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

INVALID, DENORMAL, DIVIDE_BY_ZERO, OVERFLOW, UNDERFLOW, PRECISION = (1 << bit for bit in range(6))
DENORMALS_ARE_ZEROS, FLUSH_TO_ZERO = 1 << 6, 1 << 15
_MASKS, _ROUNDING = 7, 13
_NEAREST, _DOWN, _UP, _TRUNCATE = range(4)


@dataclass(frozen=True, slots=True)
class Format:
    """A binary interchange format by its width in bits and that of its fraction."""

    width: int
    fraction: int

    @property
    def largest_exponent(self) -> int:
        """Of a normal number, unbiased."""
        return (1 << self.width - self.fraction - 2) - 1

    @property
    def smallest_exponent(self) -> int:
        """Of a normal number, unbiased."""
        return 1 - self.largest_exponent


SINGLE, DOUBLE = Format(32, 23), Format(64, 52)


@dataclass(frozen=True, slots=True)
class Number:
    """A floating-point datum, taken apart."""

    negative: bool
    value: Fraction
    """0 for infinities and NaNs."""
    is_infinite: bool = False
    is_quiet: bool = False
    is_signaling: bool = False
    is_denormal: bool = False

    @property
    def is_nan(self) -> bool:
        """Quiet or signaling."""
        return self.is_quiet or self.is_signaling

    @property
    def is_zero(self) -> bool:
        """Of either sign."""
        return not (self.value or self.is_infinite or self.is_nan)


def number(bits: int, form: Format, mxcsr: int = 0) -> Number:
    """A datum from its bits. With DAZ in `mxcsr` denormal ones are zeros."""
    fraction = bits & (1 << form.fraction) - 1
    exponent = bits >> form.fraction & (1 << form.width - form.fraction - 1) - 1
    negative = bool(bits >> form.width - 1)
    if exponent == (1 << form.width - form.fraction - 1) - 1:
        quiet = bool(fraction >> form.fraction - 1)
        return Number(negative, Fraction(0), not fraction, bool(fraction) and quiet, bool(fraction) and not quiet)
    denormal = exponent == 0 and fraction != 0
    if denormal and mxcsr & DENORMALS_ARE_ZEROS:
        return Number(negative, Fraction(0))
    whole = fraction if exponent == 0 else fraction | 1 << form.fraction
    scale = max(exponent, 1) - form.largest_exponent - form.fraction
    value = Fraction(whole) * Fraction(2) ** scale
    return Number(negative, -value if negative else value, is_denormal=denormal)


def _rounded(value: Fraction, mxcsr: int, *, truncate: bool = False) -> int:
    """To an integer by MXCSR's rounding control."""
    mode = _TRUNCATE if truncate else mxcsr >> _ROUNDING & 3
    if mode == _NEAREST:
        return round(value)  # half to even
    if mode == _TRUNCATE:
        return int(value)
    floor = value.numerator // value.denominator
    return floor if mode == _DOWN or floor == value else floor + 1


def _exponent(value: Fraction) -> int:
    """The power of two at or below `value`, which is positive."""
    found = value.numerator.bit_length() - value.denominator.bit_length()
    return found if value >= Fraction(2) ** found else found - 1


def result(value: Fraction, form: Format, mxcsr: int) -> int:
    """What rounding an exact result to a format raises. Tininess is found after rounding."""
    if not value:
        return 0
    exponent = _exponent(abs(value))
    scaled = value * Fraction(2) ** (form.fraction - exponent)
    rounded = _rounded(scaled, mxcsr)
    if abs(rounded) == 2 << form.fraction:
        exponent += 1
    if exponent > form.largest_exponent:
        return OVERFLOW | PRECISION
    if exponent >= form.smallest_exponent:
        return PRECISION if rounded != scaled else 0
    masked = mxcsr >> _MASKS & UNDERFLOW
    if masked and mxcsr & FLUSH_TO_ZERO:
        return UNDERFLOW | PRECISION
    scaled = value * Fraction(2) ** (form.fraction - form.smallest_exponent)
    inexact = _rounded(scaled, mxcsr) != scaled
    return (UNDERFLOW if inexact or not masked else 0) | (PRECISION if inexact else 0)


def _before(operands: tuple[Number, ...]) -> int | None:
    """What operands alone raise; None if there is a result to be computed."""
    if any(operand.is_signaling for operand in operands):
        return INVALID
    return 0 if any(operand.is_quiet for operand in operands) else None


def _denormal(operands: tuple[Number, ...]) -> int:
    return DENORMAL if any(operand.is_denormal for operand in operands) else 0


def _arithmetic(
    a: Number, b: Number, form: Format, mxcsr: int, *, invalid: bool, compute: Callable[[], Fraction]
) -> int:
    found = _before((a, b))
    if found is not None:
        return found
    if invalid:
        return INVALID
    denormal = _denormal((a, b))
    if a.is_infinite or b.is_infinite:
        return denormal
    return denormal | result(compute(), form, mxcsr)


def add(a: Number, b: Number, form: Format, mxcsr: int) -> int:
    """a + b."""
    opposite = a.is_infinite and b.is_infinite and a.negative != b.negative
    return _arithmetic(a, b, form, mxcsr, invalid=opposite, compute=lambda: a.value + b.value)


def subtract(a: Number, b: Number, form: Format, mxcsr: int) -> int:
    """a - b."""
    alike = a.is_infinite and b.is_infinite and a.negative == b.negative
    return _arithmetic(a, b, form, mxcsr, invalid=alike, compute=lambda: a.value - b.value)


def multiply(a: Number, b: Number, form: Format, mxcsr: int) -> int:
    """a * b."""
    undefined = (a.is_infinite and b.is_zero) or (a.is_zero and b.is_infinite)
    return _arithmetic(a, b, form, mxcsr, invalid=undefined, compute=lambda: a.value * b.value)


def divide(a: Number, b: Number, form: Format, mxcsr: int) -> int:
    """a / b."""
    undefined = (a.is_infinite and b.is_infinite) or (a.is_zero and b.is_zero)
    if b.is_zero and not (a.is_nan or a.is_infinite or a.is_zero):
        return DIVIDE_BY_ZERO
    return _arithmetic(
        a, b, form, mxcsr, invalid=undefined, compute=lambda: a.value / b.value if b.value else Fraction(0)
    )


def square_root(a: Number) -> int:
    """The square root: neither too large nor too small ever, but nearly always inexact."""
    found = _before((a,))
    if found is not None:
        return found
    if a.negative and not a.is_zero:
        return INVALID
    denormal = _denormal((a,))
    if a.is_infinite or a.is_zero:
        return denormal
    root = Fraction(isqrt(a.value.numerator), isqrt(a.value.denominator))
    return denormal | (0 if root * root == a.value else PRECISION)  # an exact root has half as many digits


def compare(a: Number, b: Number, *, quiet: bool) -> int:
    """A comparison; one that is not `quiet` is invalid for quiet NaNs, too."""
    if a.is_nan or b.is_nan:
        return INVALID if not quiet or a.is_signaling or b.is_signaling else 0
    return _denormal((a, b))


def to_integer(a: Number, bits: int, mxcsr: int, *, truncate: bool) -> int:
    """A conversion to a signed integer of `bits` bits."""
    if a.is_nan or a.is_infinite:
        return INVALID
    rounded = _rounded(a.value, mxcsr, truncate=truncate)
    if not -(1 << bits - 1) <= rounded < 1 << bits - 1:
        return INVALID
    return PRECISION if rounded != a.value else 0


def convert(a: Number, form: Format, mxcsr: int) -> int:
    """A conversion to another format."""
    found = _before((a,))
    if found is not None:
        return found
    return _denormal((a,)) | (0 if a.is_infinite else result(a.value, form, mxcsr))
