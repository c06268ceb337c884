"""Single, double, integer and packed decimal operands in memory (SDM volume 1, 4.2 and 4.7; table 8-3 and 8.5.1).

`widen...` and `load_...` convert an operand to an extended number, `store_...` the reverse. Operands are given as bits.
Stores return None if an unmasked exception leaves memory unchanged.
"""

from machine.instructions.floating_point.extended import (
    BIAS,
    DENORMAL,
    EXPONENT,
    INFINITE,
    INTEGER_BIT,
    QNAN,
    QUIET_BIT,
    SCALE,
    SIGNIFICAND,
    UNSUPPORTED,
    ZERO_KIND,
    kind,
    not_a_number,
)
from machine.instructions.floating_point.rounding import normalized, overflows_to_infinity, shorten
from machine.instructions.floating_point.words import C1, DE, IE, OE, PE, ROUNDING_SHIFT, TRUNCATE, UE

_DECIMAL_DIGITS = 18
_DECIMAL_LIMIT = 10**_DECIMAL_DIGITS
DECIMAL_INDEFINITE = 0xFFFF_C000_0000_0000_0000


class Format:
    """A binary interchange format: its width and the precision of its significand, in bits, with the hidden bit."""

    __slots__ = ("bias", "exponents", "fraction", "indefinite", "infinity", "precision", "sign")

    def __init__(self, width: int, precision: int) -> None:
        self.precision = precision
        self.fraction = precision - 1
        self.exponents = (1 << width - precision) - 1
        self.bias = self.exponents >> 1
        self.sign = width - 1
        self.infinity = self.exponents << self.fraction
        self.indefinite = 1 << self.sign | self.infinity | 1 << self.fraction - 1


SINGLE, DOUBLE = Format(32, 24), Format(64, 53)


def widen(datum: int, form: Format) -> tuple[int, int]:
    """Convert a single or double to extended, exactly; return it, and DE if it was denormal."""
    fraction = datum & (1 << form.fraction) - 1
    exponent = datum >> form.fraction & form.exponents
    negative, spare = datum >> form.sign, 64 - form.precision
    if exponent == form.exponents:
        return (negative << 15 | EXPONENT) << 64 | INTEGER_BIT | fraction << spare, 0
    if exponent:
        return (negative << 15 | exponent + BIAS - form.bias) << 64 | INTEGER_BIT | fraction << spare, 0
    if not fraction:
        return negative << 79, 0
    significand, shift = normalized(fraction << spare)
    return (negative << 15 | 1 + BIAS - form.bias - shift) << 64 | significand, DE


def load_real(datum: int, form: Format, control: int) -> tuple[int | None, int]:
    """Return the number that FLD pushes for a single or double. An unmasked DE does not prevent the push."""
    number, bits = widen(datum, form)
    if number >> 64 & EXPONENT == EXPONENT:
        of_kind = kind(number)
        return (number, 0) if of_kind == INFINITE else not_a_number(number, of_kind, control)
    return number, bits


def widen_integer(datum: int, width: int) -> tuple[int, int]:
    """Convert the bit pattern of a signed integer to extended; return it, without status bits."""
    return from_integer(datum - (1 << width) if datum >> width - 1 else datum), 0


def from_integer(value: int) -> int:
    """Convert an integer of at most 64 bits to extended, exactly."""
    if not value:
        return 0
    magnitude = abs(value)
    length = magnitude.bit_length()
    return (BIAS - 1 + length | (0x8000 if value < 0 else 0)) << 64 | magnitude << 64 - length


def load_decimal(datum: int) -> int:
    """Convert a packed decimal to extended. Digits above 9, which are undefined, count as 10 to 15."""
    value, weight = 0, 1
    for shift in range(0, 4 * _DECIMAL_DIGITS, 4):
        value += (datum >> shift & 15) * weight
        weight *= 10
    return from_integer(value) | datum >> 79 << 79


def store_real(number: int, form: Format, control: int) -> tuple[int | None, int]:
    """Round a number to a single or double, and return its bits."""
    exponent, significand, negative = number >> 64 & EXPONENT, number & SIGNIFICAND, number >> 79
    of_kind = kind(number)
    if of_kind >= QNAN:
        if of_kind == UNSUPPORTED:
            return form.indefinite if control & IE else None, IE
        fraction = (significand | QUIET_BIT) >> 64 - form.precision & (1 << form.fraction) - 1
        datum = negative << form.sign | form.infinity | fraction
        if of_kind == QNAN:
            return datum, 0
        return datum if control & IE else None, IE
    if of_kind == INFINITE:
        return negative << form.sign | form.infinity, 0
    if of_kind == ZERO_KIND:
        return negative << form.sign, 0
    if of_kind == DENORMAL:
        exponent = 1
    mode = control >> ROUNDING_SHIFT & 3
    spare = 64 - form.precision
    rounded, bits = shorten(negative, significand, spare, mode)
    biased = exponent - BIAS + form.bias
    if rounded >> form.precision:
        rounded >>= 1
        biased += 1
    if biased >= form.exponents:
        if not control & OE:
            return None, OE
        if overflows_to_infinity(negative, control):
            return negative << form.sign | form.infinity, OE | PE | C1
        return negative << form.sign | form.infinity - 1, OE | PE
    if biased <= 0 or of_kind == DENORMAL:
        if not control & UE:
            return None, UE
        rounded, bits = shorten(negative, significand, min(spare + 1 + BIAS - form.bias - exponent, 130), mode)
        return negative << form.sign | rounded, bits | (UE if bits else 0)
    return negative << form.sign | biased << form.fraction | rounded & (1 << form.fraction) - 1, bits


def _to_integer(number: int, control: int, *, truncate: bool) -> tuple[int | None, int]:
    """Round to an integer whose magnitude is below 2**64; None if it is larger or not a number."""
    of_kind = kind(number)
    if of_kind >= INFINITE:
        return None, IE
    if of_kind == ZERO_KIND:
        return 0, 0
    exponent, negative = (number >> 64 & EXPONENT or 1) - SCALE, number >> 79
    if exponent > 0:
        return None, IE
    mode = TRUNCATE if truncate else control >> ROUNDING_SHIFT & 3
    whole, bits = shorten(negative, number & SIGNIFICAND, min(-exponent, 130), mode)
    return (-whole if negative else whole), bits


def store_integer(number: int, width: int, control: int, *, truncate: bool = False) -> tuple[int | None, int]:
    """Round a number to a signed integer of `width` bits, and return its bit pattern."""
    value, bits = _to_integer(number, control, truncate=truncate)
    limit = 1 << width - 1
    if value is None or not -limit <= value < limit:
        return limit if control & IE else None, IE
    return value & (limit << 1) - 1, bits


def store_decimal(number: int, control: int) -> tuple[int | None, int]:
    """Round a number to 18 packed decimal digits."""
    value, bits = _to_integer(number, control, truncate=False)
    if value is None or abs(value) >= _DECIMAL_LIMIT:
        return DECIMAL_INDEFINITE if control & IE else None, IE
    datum = number >> 79 << 79
    return datum | int(str(abs(value)), 16), bits
