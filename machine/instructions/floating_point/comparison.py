"""Comparison and classification (SDM volume 2, FCOM, FUCOM, FCOMI, FTST, FXAM)."""

from machine.instructions.floating_point.extended import (
    DENORMAL,
    EXPONENT,
    INFINITE,
    INTEGER_BIT,
    NORMAL,
    QNAN,
    SNAN,
    UNSUPPORTED,
    ZERO_KIND,
    kind,
)
from machine.instructions.floating_point.words import C0, C1, C2, C3, DE, IE

GREATER, LESS, EQUAL, UNORDERED = 0, C0, C3, C0 | C2 | C3
"""The results of a comparison, as condition codes."""

_CLASSES = {
    UNSUPPORTED: 0,
    QNAN: C0,
    SNAN: C0,
    NORMAL: C2,
    INFINITE: C2 | C0,
    ZERO_KIND: C3,
    DENORMAL: C3 | C2,
}
EMPTY_CLASS = C3 | C0


def compare(a: int, b: int, control: int, *, quiet: bool = False) -> tuple[int | None, int]:
    """Return the relation of a to b, or None after an exception, and bits; QNaNs are valid if `quiet`."""
    exponent_a, exponent_b = a >> 64 & EXPONENT, b >> 64 & EXPONENT
    bits = 0
    if not (0 < exponent_a < EXPONENT and 0 < exponent_b < EXPONENT and a & b & INTEGER_BIT):
        kind_a, kind_b = kind(a), kind(b)
        if kind_a >= QNAN or kind_b >= QNAN:
            if quiet and kind_a <= QNAN and kind_b <= QNAN:
                return UNORDERED, 0
            return UNORDERED if control & IE else None, IE
        if DENORMAL in (kind_a, kind_b):
            bits = DE
            if not control & DE:
                return None, DE
        if kind_a == ZERO_KIND == kind_b:
            return EQUAL, bits
        a, b = _canonical(a), _canonical(b)
    if a == b:
        return EQUAL, bits
    if a >> 79:
        return GREATER if b >> 79 and a < b else LESS, bits
    return LESS if not b >> 79 and a < b else GREATER, bits


def _canonical(number: int) -> int:
    """Replace a pseudo-denormal's exponent with that of the equal normal number."""
    return number | 1 << 64 if not number >> 64 & EXPONENT and number & INTEGER_BIT else number


def examine(number: int) -> int:
    """Return the condition code of FXAM for a nonempty register."""
    return _CLASSES[kind(number)] | (C1 if number >> 79 else 0)
