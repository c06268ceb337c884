"""The double extended-precision format (SDM volume 1, 4.2.2 and 8.2): an 80-bit integer, as in memory.

Bit 79 is the sign, bits 78:64 the biased exponent, bits 63:0 the significand with its explicit integer bit. A finite
number's magnitude is significand * 2**(max(exponent, 1) - SCALE).
"""

from machine.instructions.floating_point.words import IE

EXPONENT = 0x7FFF
"""The largest biased exponent, used by infinities and NaNs."""
BIAS, SCALE = 16383, 16383 + 63
SIGNIFICAND = 2**64 - 1
INTEGER_BIT, QUIET_BIT = 1 << 63, 1 << 62
SIGN = 1 << 79

ZERO, ONE = 0, BIAS << 64 | INTEGER_BIT
INFINITY = EXPONENT << 64 | INTEGER_BIT
INDEFINITE = SIGN | INFINITY | QUIET_BIT
"""The default NaN: the masked response to an invalid operation."""

# Results of `kind`, ordered: QNAN and all after it have no numeric value.
NORMAL, ZERO_KIND, DENORMAL, INFINITE, QNAN, SNAN, UNSUPPORTED = range(7)


def kind(number: int) -> int:
    """Classify a datum. Pseudo-denormals are DENORMAL; unnormals, pseudo-infinities and pseudo-NaNs UNSUPPORTED."""
    exponent, significand = number >> 64 & EXPONENT, number & SIGNIFICAND
    if exponent == 0:
        return DENORMAL if significand else ZERO_KIND
    if not significand >> 63:
        return UNSUPPORTED
    if exponent != EXPONENT:
        return NORMAL
    if significand == INTEGER_BIT:
        return INFINITE
    return QNAN if significand & QUIET_BIT else SNAN


def invalid(control: int) -> tuple[int | None, int]:
    """Return the response to an invalid operation."""
    return INDEFINITE if control & IE else None, IE


def not_a_number(number: int, of_kind: int, control: int) -> tuple[int | None, int]:
    """Return the response to one operand that is a NaN or unsupported."""
    if of_kind == QNAN:
        return number, 0
    if of_kind == UNSUPPORTED:
        return invalid(control)
    return number | QUIET_BIT if control & IE else None, IE


def not_numbers(a: int, b: int, kind_a: int, kind_b: int, control: int) -> tuple[int | None, int]:
    """Return the response to two operands, at least one a NaN or unsupported (volume 1, table 4-7)."""
    if UNSUPPORTED in (kind_a, kind_b):
        return invalid(control)
    flags = IE if SNAN in (kind_a, kind_b) else 0
    if flags and not control & IE:
        return None, flags
    if kind_a < QNAN:
        return b | QUIET_BIT, flags
    if kind_b < QNAN:
        return a | QUIET_BIT, flags
    if kind_a != kind_b:  # the QNaN takes precedence over the SNaN
        return (a if kind_a == QNAN else b), flags
    significand_a, significand_b = a & SIGNIFICAND, b & SIGNIFICAND
    if significand_a == significand_b:
        return min(a, b) | QUIET_BIT, flags  # the positive one
    return (a if significand_a > significand_b else b) | QUIET_BIT, flags
