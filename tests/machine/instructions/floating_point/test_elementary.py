"""Transcendental functions against far more digits of MPFR: correctly rounded in every rounding mode."""

import random
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from machine.instructions.floating_point import transcendental
from machine.instructions.floating_point.extended import EXPONENT, ONE, SCALE, SIGN, SIGNIFICAND
from machine.instructions.floating_point.mpfr import gmpy2
from machine.instructions.floating_point.rounding import round_fully
from machine.instructions.floating_point.words import C1, PE

DIGITS = 2000
Unary = Callable[[int, int], tuple[int | None, int]]


@pytest.fixture
def many_digits() -> Any:
    with gmpy2.context(precision=DIGITS, emin=-(1 << 40), emax=1 << 40) as context:
        yield context


def real(number: int) -> Any:
    significand = gmpy2.mpfr(number & SIGNIFICAND, 64)
    value = gmpy2.mul_2exp(significand, number >> 64 & EXPONENT) / gmpy2.mul_2exp(gmpy2.mpfr(1), SCALE)
    return -value if number >> 79 else value


def nearest_of(value: Any, control: int) -> tuple[int, int]:
    """Round many digits as if they were all; for a transcendental number further ones do not change the result."""
    exact = Fraction(*value.as_integer_ratio())
    numerator, denominator = abs(exact.numerator), exact.denominator
    assert denominator & denominator - 1 == 0
    return round_fully(int(exact < 0), 1 - denominator.bit_length(), numerator, control)


def argument(rng: random.Random, exponents: range) -> int:
    significand = rng.choice((rng.getrandbits(64), rng.getrandbits(6) << 58, SIGNIFICAND - rng.getrandbits(3)))
    return rng.getrandbits(1) << 79 | rng.choice(exponents) << 64 | significand | 1 << 63


FUNCTIONS: dict[str, tuple[Unary, Callable[[Any], Any], range]] = {
    "FSIN": (transcendental.sine, gmpy2.sin, range(0x3FE0, 0x403E)),
    "FCOS": (transcendental.cosine, gmpy2.cos, range(0x3FE0, 0x403E)),
    "FPTAN": (transcendental.tangent, gmpy2.tan, range(0x3FE0, 0x403E)),
    "F2XM1": (transcendental.power_of_two_minus_one, lambda x: gmpy2.exp2(x) - 1, range(0x3F00, 0x3FFF)),
}
MODES = {"nearest": 0x37F, "down": 0x77F, "up": 0xB7F, "truncate": 0xF7F}


@pytest.mark.parametrize("control", MODES.values(), ids=MODES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_one_operand(many_digits: Any, name: str, control: int) -> None:
    function, exact, exponents = FUNCTIONS[name]
    rng = random.Random(control)
    for _ in range(60):
        x = argument(rng, exponents)
        value, bits = function(x, control)
        assert (value, bits) == nearest_of(exact(real(x)), control), hex(x)


BINARY: dict[str, tuple[Any, Callable[[Any, Any], Any], range, range]] = {
    "FPATAN": (transcendental.arc_tangent, gmpy2.atan2, range(0x3FC0, 0x4040), range(0x3FC0, 0x4040)),
    "FYL2X": (
        transcendental.logarithm_product,
        lambda y, x: y * gmpy2.log2(x),
        range(1, 0x7F00),
        range(0x3FC0, 0x4040),
    ),
    "FYL2XP1": (
        transcendental.logarithm_product_of_sum,
        lambda y, x: y * gmpy2.log1p(x) / gmpy2.log(gmpy2.mpfr(2)),
        range(0x2000, 0x6000),
        range(0x3F00, 0x3FFD),
    ),
}


@pytest.mark.parametrize("control", MODES.values(), ids=MODES)
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_operands(many_digits: Any, name: str, control: int) -> None:
    function, exact, exponents_y, exponents_x = BINARY[name]
    rng = random.Random(control)
    for _ in range(60):
        y, x = argument(rng, exponents_y), argument(rng, exponents_x)
        if name == "FYL2X":
            x &= ~SIGN
            if x & SIGNIFICAND == 1 << 63:
                continue
        value, bits = function(y, x, control)
        assert (value, bits) == nearest_of(exact(real(y), real(x)), control), (hex(y), hex(x))


@pytest.mark.parametrize("control", MODES.values(), ids=MODES)
def test_tiny_arguments_are_rounded_on_the_right_side(control: int) -> None:
    """Of x = 2**-9000: sin x and atan x are below x, tan x above, by less than 18,000 bits can show."""
    x = 0x3FFF - 9000 << 64 | 1 << 63
    down = (x >> 64) - 1 << 64 | SIGNIFICAND
    towards_zero = control in (MODES["down"], MODES["truncate"])
    for function in (transcendental.sine, lambda a, c: transcendental.arc_tangent(a, ONE, c)):
        assert function(x, control) == ((down, PE) if towards_zero else (x, PE | C1))
    above = (x + 1, PE | C1) if control == MODES["up"] else (x, PE)
    assert transcendental.tangent(x, control) == above


def test_quotients_that_are_exact_do_not_take_long() -> None:
    """atan2(3 * 2**-9000, 3) is below 2**-9000 by a ratio of 2**-18000, which decides how it is rounded."""
    three = 0x4000_C000_0000_0000_0000
    tiny = three - (9000 << 64)
    assert transcendental.arc_tangent(tiny, three, MODES["down"])[0] == (0x3FFF - 9001 << 64 | SIGNIFICAND)
    assert transcendental.arc_tangent(tiny, three, MODES["nearest"])[0] == (0x3FFF - 9000 << 64 | 1 << 63)


def test_logarithms_of_powers_of_two_are_exact() -> None:
    eight, three = 0x4002_8000_0000_0000_0000, 0x4000_C000_0000_0000_0000
    assert transcendental.logarithm_product(ONE, eight, MODES["nearest"]) == (three, 0)
    assert transcendental.logarithm_product_of_sum(ONE, SIGN | ONE - (1 << 64), MODES["nearest"]) == (SIGN | ONE, 0)


def test_the_global_context_of_gmpy2_has_no_influence() -> None:
    x = 0x3FFF_D000_0000_0000_0001
    wanted = [function(x, MODES["nearest"]) for function, _, _ in FUNCTIONS.values()]
    wanted.append(transcendental.logarithm_product_of_sum(x, x - (3 << 64), MODES["nearest"]))
    hostile = gmpy2.context(precision=7, emin=-3, emax=3, round=gmpy2.RoundUp, trap_inexact=True, trap_overflow=True)
    with gmpy2.context(hostile):
        found = [function(x, MODES["nearest"]) for function, _, _ in FUNCTIONS.values()]
        found.append(transcendental.logarithm_product_of_sum(x, x - (3 << 64), MODES["nearest"]))
        assert not gmpy2.get_context().inexact
    assert found == wanted


def test_gmpy2_is_loaded_by_the_first_function_that_needs_it() -> None:
    script = (
        "import sys; from machine.instructions.floating_point import table, transcendental as t;"
        "assert 'gmpy2' not in sys.modules; t.sine(0x3FFF << 64 | 1 << 63, 0x37F); assert 'gmpy2' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
