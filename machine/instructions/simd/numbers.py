"""Arithmetic of SSE on single and double numbers (SDM volume 1, 4.8, 10.2.3 and 11.5), in plain integers.

A number is represented by its bits. An operation on one element returns the masked result and the exceptions that it
raises, as the low six bits of MXCSR. `mxcsr` has the rounding control, the masks, DAZ (bit 6) and FTZ (bit 15).

Of the pre-computation exceptions only the one of highest priority is raised: SNaN or an invalid operand; then a QNaN,
which raises none and is the result; then invalid operations and division by zero; then a denormal operand.
"""

from math import isqrt

import msgspec

INVALID, DENORMAL, DIVIDE_BY_ZERO, OVERFLOW, UNDERFLOW, PRECISION = (1 << bit for bit in range(6))
DENORMALS_ARE_ZEROS, FLUSH_TO_ZERO = 1 << 6, 1 << 15
_MASKS, _ROUNDING = 7, 13
NEAREST, DOWN, UP, TRUNCATE = range(4)
Result = tuple[int, int]
"""The bits of a result, and the flags raised."""


class Format(msgspec.Struct, frozen=True):
    """A binary interchange format: the widths of a number and its fraction in bits, and derived values."""

    width: int
    fraction: int
    bias: int
    sign: int
    """The sign bit."""
    infinity: int
    """The bits of +infinity: all ones in the exponent."""
    quiet: int
    """The bit that is set in a quiet NaN and clear in a signaling one."""
    indefinite: int
    """The QNaN floating-point indefinite (SDM volume 1, 4.8.3.7)."""


def _format(width: int, fraction: int) -> Format:
    exponents = (1 << width - fraction - 1) - 1
    infinity, quiet, sign = exponents << fraction, 1 << fraction - 1, 1 << width - 1
    return Format(width, fraction, exponents >> 1, sign, infinity, quiet, sign | infinity | quiet)


SINGLE, DOUBLE = _format(32, 23), _format(64, 52)


def _operand(bits: int, form: Format, mxcsr: int) -> tuple[int, int]:
    """Return an operand, and DENORMAL if it is one. With DAZ a denormal is a zero of its sign."""
    if bits & form.infinity or not bits & ~form.sign:
        return bits, 0
    return (bits & form.sign, 0) if mxcsr & DENORMALS_ARE_ZEROS else (bits, DENORMAL)


def _is_nan(bits: int, form: Format) -> bool:
    return bits & ~form.sign > form.infinity


def _is_signaling(bits: int, form: Format) -> bool:
    return bits & ~form.sign > form.infinity and not bits & form.quiet


def _magnitude(bits: int, form: Format) -> tuple[int, int]:
    """Return significand and exponent of a finite number without its sign: significand * 2**exponent."""
    exponent = (bits & form.infinity) >> form.fraction
    significand = bits & (1 << form.fraction) - 1
    if exponent:
        return significand | 1 << form.fraction, exponent - form.bias - form.fraction
    return significand, 1 - form.bias - form.fraction


def nan_of(a: int, b: int, form: Format) -> Result | None:
    """Return the first NaN of two operands, quieted (SDM volume 1, table 4-7), and flags; None without a NaN."""
    if _is_nan(a, form):
        flags = INVALID if _is_signaling(a, form) or _is_signaling(b, form) else 0
        return a | form.quiet, flags
    if _is_nan(b, form):
        return b | form.quiet, INVALID if _is_signaling(b, form) else 0
    return None


def flags_set(raised: int, mxcsr: int) -> int:
    """Return those of the lanes' flags to set: nothing is computed after an unmasked IE, DE or ZE."""
    before = INVALID | DENORMAL | DIVIDE_BY_ZERO
    return raised & before if raised & before & ~(mxcsr >> _MASKS) else raised


# Rounding


def shifted(significand: int, places: int, mode: int, negative: bool) -> tuple[int, bool]:
    """Return `significand` / 2**`places`, rounded to an integer, and True if inexact."""
    if places <= 0:
        return significand << -places, False
    kept, lost = significand >> places, significand & (1 << places) - 1
    if not lost:
        return kept, False
    if mode == NEAREST:
        half = 1 << places - 1
        kept += lost > half or (lost == half and kept & 1)
    elif mode != TRUNCATE:
        kept += negative == (mode == DOWN)
    return kept, True


def rounded(negative: bool, significand: int, exponent: int, form: Format, mxcsr: int) -> Result:
    """Round the nonzero number ±significand * 2**exponent.

    Tininess is detected after rounding. An inexact significand must have its lowest bit set and two more bits than the
    format. Unmasked overflow and underflow are inexact only if the significand is; their result is not delivered and is
    meaningless.

    Args:
        negative: The sign.
        significand: A positive integer of any length.
        exponent: Any integer.
        form: The format of the result.
        mxcsr: MXCSR.

    Returns:
        The result and the flags raised.
    """
    mode, fraction = mxcsr >> _ROUNDING & 3, form.fraction
    sign = form.sign if negative else 0
    excess = significand.bit_length() - fraction - 1
    kept = significand >> excess if excess > 0 else significand << -excess
    inexact = excess > 0 and kept << excess != significand
    if inexact:
        kept, _ = shifted(significand, excess, mode, negative)
    biased = exponent + excess + fraction + form.bias
    if kept >> fraction + 1:
        kept >>= 1
        biased += 1
    if biased >= form.infinity >> fraction:
        to_infinity = mode == NEAREST or (mode == UP and not negative) or (mode == DOWN and negative)
        lossy = inexact or mxcsr >> _MASKS & OVERFLOW
        return sign | form.infinity - (not to_infinity), OVERFLOW | (PRECISION if lossy else 0)
    if biased > 0:
        return sign | biased << fraction | kept & (1 << fraction) - 1, PRECISION if inexact else 0
    if not mxcsr >> _MASKS & UNDERFLOW:
        return sign, UNDERFLOW | (PRECISION if inexact else 0)
    if mxcsr & FLUSH_TO_ZERO:
        return sign, UNDERFLOW | PRECISION
    kept, inexact = shifted(significand, 1 - form.bias - form.fraction - exponent, mode, negative)
    return sign | kept, UNDERFLOW | PRECISION if inexact else 0


# Arithmetic


def add(a: int, b: int, form: Format, mxcsr: int) -> Result:
    """Return a + b."""
    infinity, fraction = form.infinity, form.fraction
    if 0 < a & infinity < infinity and 0 < b & infinity < infinity:  # no special case: most operands
        hidden = 1 << fraction
        x, y = a & hidden - 1 | hidden, b & hidden - 1 | hidden
        first, second = (a & infinity) >> fraction, (b & infinity) >> fraction
        exponent = min(first, second)
        x, y = x << first - exponent, y << second - exponent
        total = (-x if a & form.sign else x) + (-y if b & form.sign else y)
        if total:
            return rounded(total < 0, abs(total), exponent - form.bias - fraction, form, mxcsr)
        return form.sign if mxcsr >> _ROUNDING & 3 == DOWN else 0, 0
    found = nan_of(a, b, form)
    if found is not None:
        return found
    a, first = _operand(a, form, mxcsr)
    b, second = _operand(b, form, mxcsr)
    flags = first | second
    infinite_a, infinite_b = a & form.infinity == form.infinity, b & form.infinity == form.infinity
    if infinite_a and infinite_b and a != b:
        return form.indefinite, INVALID
    if infinite_a or infinite_b:
        return a if infinite_a else b, flags
    x, exponent_x = _magnitude(a, form)
    y, exponent_y = _magnitude(b, form)
    exponent = min(exponent_x, exponent_y)
    x <<= exponent_x - exponent
    y <<= exponent_y - exponent
    total = (-x if a & form.sign else x) + (-y if b & form.sign else y)
    if not total:
        if a & b & form.sign or ((a ^ b) & form.sign and mxcsr >> _ROUNDING & 3 == DOWN):
            return form.sign, flags
        return 0, flags
    result, raised = rounded(total < 0, abs(total), exponent, form, mxcsr)
    return result, flags | raised


def subtract(a: int, b: int, form: Format, mxcsr: int) -> Result:
    """Return a - b."""
    return add(a, b if _is_nan(b, form) else b ^ form.sign, form, mxcsr)


def multiply(a: int, b: int, form: Format, mxcsr: int) -> Result:
    """Return a * b."""
    infinity, fraction = form.infinity, form.fraction
    if 0 < a & infinity < infinity and 0 < b & infinity < infinity:  # no special case: most operands
        hidden = 1 << fraction
        x, y = a & hidden - 1 | hidden, b & hidden - 1 | hidden
        exponent = ((a & infinity) + (b & infinity) >> fraction) - 2 * (form.bias + fraction)
        return rounded(bool((a ^ b) & form.sign), x * y, exponent, form, mxcsr)
    found = nan_of(a, b, form)
    if found is not None:
        return found
    a, first = _operand(a, form, mxcsr)
    b, second = _operand(b, form, mxcsr)
    flags, sign = first | second, (a ^ b) & form.sign
    if a & form.infinity == form.infinity or b & form.infinity == form.infinity:
        zero = not a & ~form.sign or not b & ~form.sign
        return (form.indefinite, INVALID) if zero else (sign | form.infinity, flags)
    x, exponent_x = _magnitude(a, form)
    y, exponent_y = _magnitude(b, form)
    if not x or not y:
        return sign, flags
    result, raised = rounded(bool(sign), x * y, exponent_x + exponent_y, form, mxcsr)
    return result, flags | raised


def divide(a: int, b: int, form: Format, mxcsr: int) -> Result:
    """Return a / b."""
    infinity, fraction = form.infinity, form.fraction
    if 0 < a & infinity < infinity and 0 < b & infinity < infinity:  # no special case: most operands
        hidden, places = 1 << fraction, fraction + 3
        quotient, remainder = divmod((a & hidden - 1 | hidden) << places, b & hidden - 1 | hidden)
        exponent = ((a & infinity) - (b & infinity) >> fraction) - places - 1
        return rounded(bool((a ^ b) & form.sign), quotient << 1 | bool(remainder), exponent, form, mxcsr)
    found = nan_of(a, b, form)
    if found is not None:
        return found
    a, first = _operand(a, form, mxcsr)
    b, second = _operand(b, form, mxcsr)
    flags, sign = first | second, (a ^ b) & form.sign
    infinite_a, infinite_b = a & form.infinity == form.infinity, b & form.infinity == form.infinity
    x, exponent_x = _magnitude(a, form)
    y, exponent_y = _magnitude(b, form)
    if (infinite_a and infinite_b) or not (x or y):
        return form.indefinite, INVALID
    if infinite_a:
        return sign | form.infinity, flags
    if infinite_b or not x:
        return sign, flags
    if not y:
        return sign | form.infinity, DIVIDE_BY_ZERO
    places = form.fraction + 3 + max(y.bit_length() - x.bit_length(), 0)
    quotient, remainder = divmod(x << places, y)
    exponent = exponent_x - exponent_y - places - 1
    result, raised = rounded(bool(sign), quotient << 1 | bool(remainder), exponent, form, mxcsr)
    return result, flags | raised


def square_root(a: int, form: Format, mxcsr: int) -> Result:
    """Return the square root of a."""
    hidden, flags = 1 << form.fraction, 0
    if hidden <= a < form.infinity:  # no special case: most operands
        x, exponent = a & hidden - 1 | hidden, (a >> form.fraction) - form.bias - form.fraction
    else:
        found = nan_of(a, a, form)
        if found is not None:
            return found
        a, flags = _operand(a, form, mxcsr)
        if not a & ~form.sign:
            return a, 0
        if a & form.sign:
            return form.indefinite, INVALID
        if a == form.infinity:
            return a, 0
        x, exponent = _magnitude(a, form)
    places = 2 * form.fraction + 6
    places += exponent - places & 1
    x <<= places
    root = isqrt(x)
    result, raised = rounded(False, root << 1 | (root * root != x), (exponent - places) // 2 - 1, form, mxcsr)
    return result, flags | raised


# Comparison


def _order(bits: int, form: Format) -> int:
    """Return an integer that compares as the number does; both zeros are 0."""
    magnitude = bits & ~form.sign
    return -magnitude if bits & form.sign else magnitude


def compare(a: int, b: int, form: Format, mxcsr: int, *, quiet: bool) -> tuple[int | None, int]:
    """Compare two numbers.

    Args:
        a: A number.
        b: A number.
        form: Their format.
        mxcsr: MXCSR.
        quiet: Quiet NaNs are not invalid.

    Returns:
        -1, 0 or 1 if a is less than, equal to or greater than b, or None if they are unordered; and the flags raised.
    """
    sign, infinity = form.sign, form.infinity
    if 0 < a & infinity < infinity and 0 < b & infinity < infinity:  # no special case: most operands
        left, right = -(a ^ sign) if a & sign else a, -(b ^ sign) if b & sign else b
        return (left > right) - (left < right), 0
    if _is_nan(a, form) or _is_nan(b, form):
        invalid = not quiet or _is_signaling(a, form) or _is_signaling(b, form)
        return None, INVALID if invalid else 0
    a, first = _operand(a, form, mxcsr)
    b, second = _operand(b, form, mxcsr)
    left, right = _order(a, form), _order(b, form)
    return (left > right) - (left < right), first | second


def smaller(a: int, b: int, form: Format, mxcsr: int) -> Result:
    """Evaluate MIN: the second operand if they are equal or one is a NaN."""
    order, flags = compare(a, b, form, mxcsr, quiet=False)
    return _operand(a if order == -1 else b, form, mxcsr)[0], flags


def larger(a: int, b: int, form: Format, mxcsr: int) -> Result:
    """Evaluate MAX: the second operand if they are equal or one is a NaN."""
    order, flags = compare(a, b, form, mxcsr, quiet=False)
    return _operand(a if order == 1 else b, form, mxcsr)[0], flags


# Conversion


def convert(a: int, source: Format, target: Format, mxcsr: int) -> Result:
    """Convert to another format; a NaN keeps the high bits of its fraction."""
    if _is_nan(a, source):
        payload, narrowing = a & (1 << source.fraction) - 1, source.fraction - target.fraction
        payload = payload >> narrowing if narrowing > 0 else payload << -narrowing
        sign = target.sign if a & source.sign else 0
        return sign | target.infinity | target.quiet | payload, INVALID if _is_signaling(a, source) else 0
    a, flags = _operand(a, source, mxcsr)
    sign = target.sign if a & source.sign else 0
    if not a & ~source.sign:
        return sign, 0
    if a & source.infinity == source.infinity:
        return sign | target.infinity, 0
    significand, exponent = _magnitude(a, source)
    result, raised = rounded(bool(sign), significand, exponent, target, mxcsr)
    return result, flags | raised


def from_integer(value: int, form: Format, mxcsr: int) -> Result:
    """Convert a signed integer."""
    return rounded(value < 0, abs(value), 0, form, mxcsr) if value else (0, 0)


def to_integer(a: int, form: Format, bits: int, mxcsr: int, *, truncate: bool = False) -> Result:
    """Convert to a signed integer of `bits` bits; the integer indefinite, 80...0, if it does not fit."""
    indefinite = 1 << bits - 1, INVALID
    if a & form.infinity == form.infinity:
        return indefinite
    a, _ = _operand(a, form, mxcsr)
    significand, exponent = _magnitude(a, form)
    if exponent > bits:
        return indefinite
    negative = bool(a & form.sign)
    mode = TRUNCATE if truncate else mxcsr >> _ROUNDING & 3
    value, inexact = shifted(significand, -exponent, mode, negative)
    value = -value if negative else value
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        return indefinite
    return value & (1 << bits) - 1, PRECISION if inexact else 0


def to_integral(a: int, form: Format, mode: int, mxcsr: int) -> Result:
    """Round to an integer in the same format (ROUNDxx)."""
    if not 0 < a & form.infinity < form.infinity:
        if _is_nan(a, form):
            return a | form.quiet, INVALID if _is_signaling(a, form) else 0
        a, _ = _operand(a, form, mxcsr)
    sign = a & form.sign
    significand, exponent = _magnitude(a, form)
    if a & form.infinity == form.infinity or exponent >= 0 or not significand:
        return a, 0
    value, inexact = shifted(significand, -exponent, mode, bool(sign))
    if not value:
        return sign, PRECISION if inexact else 0
    result, _ = rounded(bool(sign), value, 0, form, mxcsr)
    return result, PRECISION if inexact else 0
