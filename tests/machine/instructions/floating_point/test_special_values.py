"""The tables of special values in the manual (SDM volume 2), entry by entry. A star is an invalid operation."""

from typing import Any

import pytest

from machine.instructions.floating_point import arithmetic, comparison, remainder, scaling, transcendental
from machine.instructions.floating_point.extended import INDEFINITE, INFINITY, ONE, QUIET_BIT, SIGN, SIGNIFICAND
from machine.instructions.floating_point.words import C0, C1, C2, C3, DE, IE, OE, PE, UE, ZE

MASKED = 0x37F
TWO, HALF, F = ONE + (1 << 64), ONE - (1 << 64), ONE + (5 << 60)
QNAN, SNAN = INFINITY | QUIET_BIT | 5, INFINITY | 7
DENORMAL, PSEUDO_DENORMAL, UNNORMAL = 1, 1 << 63, 0x4000 << 64 | 1 << 62
PSEUDO_INFINITY, PSEUDO_NAN = 0x7FFF << 64, 0x7FFF << 64 | 3
PI = 0x4000_C90F_DAA2_2168_C235
UNSUPPORTED = (UNNORMAL, PSEUDO_INFINITY, PSEUDO_NAN, UNNORMAL | SIGN)


def minus(number: int) -> int:
    return number ^ SIGN


NAMES = {
    "-inf": minus(INFINITY),
    "-F": minus(F),
    "-1": minus(ONE),
    "-f": minus(HALF),
    "-0": SIGN,
    "+0": 0,
    "+f": HALF,
    "+1": ONE,
    "+F": F,
    "+inf": INFINITY,
}
"""F is a finite number above one, f one below."""


def expected(entry: str) -> tuple[int | None, int]:
    """A table entry: a value and the flags, or None for any finite number with a sign."""
    if entry == "*":
        return INDEFINITE, IE
    if entry.startswith("**"):
        return NAMES[entry[2:]], ZE
    return (NAMES[entry] if entry in ("-inf", "-0", "+0", "+inf") else None), 0


def check(value: int | None, bits: int, entry: str) -> None:
    assert value is not None
    wanted, flags = expected(entry)
    assert bits & (IE | ZE) == flags
    if wanted is not None:
        assert value == wanted
    else:
        assert value >> 79 == (entry[0] == "-")
        assert 0 < value & ~SIGN < INFINITY


FYL2X = """
        -inf -F -0  +0     +f   +1  +F   +inf
-inf    *    *  +inf +inf  +inf *   -inf -inf
-F      *    *  **+inf **+inf +F -0 -F   -inf
-0      *    *  *   *      +0   -0  -0   *
+0      *    *  *   *      -0   +0  +0   *
+F      *    *  **-inf **-inf -F +0 +F   +inf
+inf    *    *  -inf -inf  -inf *   +inf +inf
"""
FYL2XP1 = """
        -f   -0  +0  +f
-inf    +inf *   *   -inf
-F      +F   +0  -0  -F
-0      +0   +0  -0  -0
+0      -0   -0  +0  +0
+F      -F   -0  +0  +F
+inf    -inf *   *   +inf
"""
FSCALE = """
        -inf -F   -0   +0   +F   +inf
-inf    *    -inf -inf -inf -inf -inf
-F      -0   -F   -F   -F   -F   -inf
-0      -0   -0   -0   -0   -0   *
+0      +0   +0   +0   +0   +0   *
+F      +0   +F   +F   +F   +F   +inf
+inf    *    +inf +inf +inf +inf +inf
"""
FPREM = """
        -inf -F -0 +0 +F +inf
-inf    *    *  *  *  *  *
-0      -0   -0 *  *  -0 -0
+0      +0   +0 *  *  +0 +0
+inf    *    *  *  *  *  *
"""


def entries(table: str) -> list[tuple[str, str, str]]:
    """Row, column and entry."""
    first, *rows = [line.split() for line in table.strip().splitlines()]
    return [(name, column, entry) for name, *row in rows for column, entry in zip(first, row, strict=True)]


@pytest.mark.parametrize(("y", "x", "entry"), entries(FYL2X))
def test_fyl2x(y: str, x: str, entry: str) -> None:
    check(*transcendental.logarithm_product(NAMES[y], NAMES[x], MASKED), entry)


def small(name: str) -> int:
    """FYL2XP1 takes up to 0.29."""
    return NAMES[name] - (1 << 64) if name[1] == "f" else NAMES[name]


@pytest.mark.parametrize(("y", "x", "entry"), entries(FYL2XP1))
def test_fyl2xp1(y: str, x: str, entry: str) -> None:
    check(*transcendental.logarithm_product_of_sum(NAMES[y], small(x), MASKED), entry)


@pytest.mark.parametrize(("a", "b", "entry"), entries(FSCALE))
def test_fscale(a: str, b: str, entry: str) -> None:
    check(*scaling.scale(NAMES[a], NAMES[b], MASKED), entry)


@pytest.mark.parametrize("to_nearest", [False, True])
@pytest.mark.parametrize(("a", "b", "entry"), entries(FPREM))
def test_fprem(a: str, b: str, entry: str, to_nearest: bool) -> None:
    check(*remainder.remainder(NAMES[a], NAMES[b], MASKED, to_nearest=to_nearest), entry)


@pytest.mark.parametrize("b", ["-inf", "+inf"])
def test_fprem_by_infinity_leaves_the_dividend(b: str) -> None:
    assert remainder.remainder(F, NAMES[b], MASKED) == (F, 0)


def test_a_denormal_dividend_is_signalled_even_by_infinity() -> None:
    assert remainder.remainder(DENORMAL, INFINITY, MASKED) == (DENORMAL, DE)
    assert remainder.remainder(DENORMAL, F, MASKED) == (DENORMAL, DE)


def test_the_logarithm_of_the_smallest_number_is_exact() -> None:
    assert transcendental.logarithm_product(ONE, DENORMAL, MASKED) == (0xC00D_807A_0000_0000_0000, DE)


QUARTERS: dict[tuple[str, str], int | str] = {
    # y, x: the angle in quarters of pi
    ("-inf", "-inf"): -3, ("-inf", "-F"): -2, ("-inf", "-0"): -2, ("-inf", "+0"): -2, ("-inf", "+F"): -2,
    ("-inf", "+inf"): -1, ("-F", "-inf"): -4, ("-F", "-0"): -2, ("-F", "+0"): -2, ("-F", "+inf"): "-0",
    ("-0", "-inf"): -4, ("-0", "-F"): -4, ("-0", "-0"): -4, ("-0", "+0"): "-0", ("-0", "+F"): "-0",
    ("-0", "+inf"): "-0",
    ("+0", "-inf"): 4, ("+0", "-F"): 4, ("+0", "-0"): 4, ("+0", "+0"): "+0", ("+0", "+F"): "+0", ("+0", "+inf"): "+0",
    ("+F", "-inf"): 4, ("+F", "-0"): 2, ("+F", "+0"): 2, ("+F", "+inf"): "+0",
    ("+inf", "-inf"): 3, ("+inf", "-F"): 2, ("+inf", "-0"): 2, ("+inf", "+0"): 2, ("+inf", "+F"): 2,
    ("+inf", "+inf"): 1,
}  # fmt: skip
ANGLES = {1: PI - (2 << 64), 2: PI - (1 << 64), 3: 0x4000_96CB_E3F9_990E_91A8, 4: PI}


@pytest.mark.parametrize(("y", "x"), QUARTERS)
def test_fpatan(y: str, x: str) -> None:
    angle = QUARTERS[y, x]
    value, bits = transcendental.arc_tangent(NAMES[y], NAMES[x], MASKED)
    if isinstance(angle, str):
        assert (value, bits) == (NAMES[angle], 0)
    else:
        assert value == ANGLES[abs(angle)] | (SIGN if angle < 0 else 0)
        assert bits & ~C1 == PE


@pytest.mark.parametrize(("a", "value", "bits"), [
    (minus(ONE), minus(HALF), 0), (SIGN, SIGN, 0), (0, 0, 0), (ONE, ONE, 0),
])  # fmt: skip
def test_f2xm1(a: int, value: int, bits: int) -> None:
    assert transcendental.power_of_two_minus_one(a, MASKED) == (value, bits)


@pytest.mark.parametrize("function", [transcendental.sine, transcendental.cosine, transcendental.tangent])
def test_trigonometric_functions(function: Any) -> None:
    for zero in (0, SIGN):
        assert function(zero, MASKED) == (ONE if function is transcendental.cosine else zero, 0)
    for infinity in (INFINITY, minus(INFINITY)):
        assert function(infinity, MASKED) == (INDEFINITE, IE)
    too_large = 0x403E << 64 | 1 << 63
    for number in (too_large, minus(too_large), 0x7FFE << 64 | SIGNIFICAND):
        assert function(number, MASKED) == (number, C2)
    assert function(0x403D << 64 | SIGNIFICAND, MASKED)[1] & (C2 | PE) == PE


@pytest.mark.parametrize("sign", [0, SIGN])
@pytest.mark.parametrize(("a", "exponent", "significand", "bits"), [
    (F, 0, F, 0),
    (PI, ONE, PI - (1 << 64), 0),
    (0, minus(INFINITY), 0, ZE),
    (INFINITY, INFINITY, INFINITY, 0),
    (DENORMAL, 0xC00D_807A_0000_0000_0000, ONE, DE),
    (PSEUDO_DENORMAL, 0xC00C_FFF8_0000_0000_0000, ONE, DE),
])  # fmt: skip
def test_fxtract(a: int, exponent: int, significand: int, bits: int, sign: int) -> None:
    assert scaling.extract(a | sign, MASKED) == (exponent, significand | sign, bits)


def test_fxtract_of_nans() -> None:
    assert scaling.extract(QNAN, MASKED) == (QNAN, QNAN, 0)
    assert scaling.extract(SNAN, MASKED) == (SNAN | QUIET_BIT, SNAN | QUIET_BIT, IE)


@pytest.mark.parametrize(("a", "code"), [
    *[(number, 0) for number in (UNNORMAL, PSEUDO_INFINITY, PSEUDO_NAN)],
    (QNAN, C0), (SNAN, C0), (INDEFINITE ^ SIGN, C0),
    (F, C2), (INFINITY, C2 | C0), (0, C3), (DENORMAL, C3 | C2), (PSEUDO_DENORMAL, C3 | C2),
])  # fmt: skip
def test_fxam(a: int, code: int) -> None:
    assert comparison.examine(a) == code
    assert comparison.examine(a | SIGN) == code | C1


BINARY = (
    *(arithmetic.add, arithmetic.subtract, arithmetic.multiply, arithmetic.divide, remainder.remainder, scaling.scale),
    *(transcendental.arc_tangent, transcendental.logarithm_product, transcendental.logarithm_product_of_sum),
)
UNARY = (
    *(arithmetic.square_root, scaling.round_to_integer, transcendental.sine, transcendental.cosine),
    *(transcendental.tangent, transcendental.power_of_two_minus_one),
)


@pytest.mark.parametrize("function", BINARY)
def test_nans_of_two_operands(function: Any) -> None:
    """Volume 1, table 4-7."""
    larger = QNAN + 1
    for a, b, value, bits in (
        (QNAN, F, QNAN, 0), (F, QNAN, QNAN, 0), (QNAN, larger, larger, 0), (larger, QNAN, larger, 0),
        (QNAN, minus(QNAN), QNAN, 0), (minus(QNAN), QNAN, QNAN, 0),
        (SNAN, F, SNAN | QUIET_BIT, IE), (F, SNAN, SNAN | QUIET_BIT, IE), (SNAN, QNAN, QNAN, IE),
        (QNAN, SNAN, QNAN, IE), (SNAN, SNAN + 1, SNAN + 1 | QUIET_BIT, IE), (minus(SNAN), SNAN, SNAN | QUIET_BIT, IE),
        (QNAN, DENORMAL, QNAN, 0), (QNAN, INFINITY, QNAN, 0), (QNAN, 0, QNAN, 0),
    ):  # fmt: skip
        assert function(a, b, MASKED) == (value, bits)
        if bits:
            assert function(a, b, MASKED & ~IE) == (None, IE)
    for number in UNSUPPORTED:
        for a, b in ((number, F), (F, number), (number, QNAN), (SNAN, number)):
            assert function(a, b, MASKED) == (INDEFINITE, IE)
            assert function(a, b, MASKED & ~IE) == (None, IE)


@pytest.mark.parametrize("function", UNARY)
def test_nans_of_one_operand(function: Any) -> None:
    assert function(QNAN, MASKED) == (QNAN, 0)
    assert function(SNAN, MASKED) == (SNAN | QUIET_BIT, IE)
    assert function(SNAN, MASKED & ~IE) == (None, IE)
    for number in UNSUPPORTED:
        assert function(number, MASKED) == (INDEFINITE, IE)


@pytest.mark.parametrize("function", [*BINARY, *UNARY])
def test_an_unmasked_denormal_operand_ends_the_operation(function: Any) -> None:
    operands = (DENORMAL, F) if function in BINARY else (DENORMAL,)
    assert function(*operands, MASKED & ~DE) == (None, DE)
    assert function(*operands, MASKED)[1] & DE


def test_square_roots() -> None:
    assert arithmetic.square_root(minus(ONE), MASKED) == (INDEFINITE, IE)
    assert arithmetic.square_root(SIGN, MASKED) == (SIGN, 0)
    assert arithmetic.square_root(INFINITY, MASKED) == (INFINITY, 0)
    assert arithmetic.square_root(minus(INFINITY), MASKED) == (INDEFINITE, IE)
    assert arithmetic.square_root(TWO + (1 << 64), MASKED) == (TWO, 0)


def test_massive_overflow_and_underflow_of_fscale() -> None:
    """Volume 1, 8.5.4 and 8.5.5: beyond what an adjusted exponent can hold, infinity and zero."""
    far = 0x400E_FFFE_0000_0000_0000
    assert scaling.scale(minus(F), far, MASKED & ~OE) == (minus(INFINITY), OE | PE | C1)
    assert scaling.scale(minus(F), minus(far), MASKED & ~UE) == (SIGN, UE | PE)


@pytest.mark.parametrize("exponents", [64, 65, 95, 96, 127, 1000, 16000, 32000])
@pytest.mark.parametrize("to_nearest", [False, True])
def test_fprem_reduces_in_steps(exponents: int, to_nearest: bool) -> None:
    """Each partial remainder reduces the exponent difference by 32 to 63, and the last one is exact."""
    b = (0x3FFF - exponents // 2) << 64 | 0xAAAA_AAAA_AAAA_AAAB
    a = (0x3FFF + exponents - exponents // 2) << 64 | 0xFFFF_FFFF_0000_0001
    exact = ((a & SIGNIFICAND) << exponents) % (b & SIGNIFICAND)
    quotient = ((a & SIGNIFICAND) << exponents) // (b & SIGNIFICAND)
    distance = exponents
    while distance >= 64:
        value, bits = remainder.remainder(a, b, MASKED, to_nearest=to_nearest)
        assert value is not None
        assert bits == C2
        left = (value >> 64 & 0x7FFF) - (b >> 64)
        assert left <= distance - 32
        a, distance = value, left
    value, bits = remainder.remainder(a, b, MASKED, to_nearest=to_nearest)
    assert value is not None
    if to_nearest and 2 * exact > b & SIGNIFICAND:
        quotient, exact = quotient + 1, (b & SIGNIFICAND) - exact
        assert value & SIGN
    shift = (b >> 64) - (value >> 64 & 0x7FFF)
    assert value & SIGNIFICAND == exact << shift
    assert bits == (C1 if quotient & 1 else 0) | (C3 if quotient & 2 else 0) | (C0 if quotient & 4 else 0)
