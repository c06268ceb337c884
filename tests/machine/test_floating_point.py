"""The exceptions of floating-point operations against the host's own arithmetic, which is IEEE double, to nearest."""

import math
import struct
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from machine import floating_point as fp
from machine.floating_point import DOUBLE, SINGLE, number

MASKED = 0x1F80
DOUBLES = st.one_of(
    st.floats(), st.floats(width=32), st.sampled_from([5e-324, 2.0**-1022, 2.0**1023, 1.5 * 2.0**-1022])
)
SMALLEST_NORMAL = 2.0**-1022


def bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def denormal(value: float) -> bool:
    return value != 0 and abs(value) < SMALLEST_NORMAL


def expected(exact: Fraction | None, rounded: float, operands: tuple[float, ...]) -> int:
    """The flags, from the host's result; None is for results that are no numbers."""
    flags = fp.DENORMAL if any(denormal(value) for value in operands) else 0
    if exact is None:
        return flags
    if math.isinf(rounded):
        return flags | fp.OVERFLOW | fp.PRECISION
    if Fraction(rounded) == exact:
        return flags
    # Tininess after rounding differs from this just below the smallest normal number, which `tininess` below is for.
    return flags | fp.PRECISION | (fp.UNDERFLOW if abs(rounded) < SMALLEST_NORMAL else 0)


OPERATIONS: dict[str, Any] = {
    "add": (fp.add, lambda a, b: a + b, lambda a, b: a + b),
    "subtract": (fp.subtract, lambda a, b: a - b, lambda a, b: a - b),
    "multiply": (fp.multiply, lambda a, b: a * b, lambda a, b: a * b),
    "divide": (fp.divide, lambda a, b: a / b, lambda a, b: a / b),
}


@pytest.mark.parametrize("name", OPERATIONS)
@given(a=DOUBLES, b=DOUBLES)
@example(a=5e-324, b=0.5)
@example(a=2.0**1023, b=2.0**1023)
@example(a=1.0, b=3.0)
def test_arithmetic_raises_what_the_hosts_result_shows(name: str, a: float, b: float) -> None:
    ours, host, exact = OPERATIONS[name]
    found = ours(number(bits(a), DOUBLE), number(bits(b), DOUBLE), DOUBLE, MASKED)
    if math.isnan(a) or math.isnan(b):
        assert found == 0  # the host's NaNs are quiet
    elif name == "divide" and b == 0:
        assert found == (fp.INVALID if a == 0 else 0 if math.isinf(a) else fp.DIVIDE_BY_ZERO)
    elif math.isinf(a) or math.isinf(b):
        invalid = math.isnan(host(a, b))
        assert found == (fp.INVALID if invalid else expected(None, 0.0, (a, b)))
    else:
        rounded = host(a, b)
        if abs(rounded) != SMALLEST_NORMAL:
            assert found == expected(exact(Fraction(a), Fraction(b)), rounded, (a, b))


@given(DOUBLES)
def test_the_square_root_is_exact_or_not(a: float) -> None:
    found = fp.square_root(number(bits(a), DOUBLE))
    if math.isnan(a):
        assert found == 0
    elif a < 0:
        assert found == fp.INVALID
    elif math.isinf(a):
        assert found == 0
    else:
        exact = Fraction(math.sqrt(a)) ** 2 == Fraction(a)
        assert found == (fp.DENORMAL if denormal(a) else 0) | (0 if exact else fp.PRECISION)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_narrowing_is_what_packing_as_single_does(a: float) -> None:
    found = fp.convert(number(bits(a), DOUBLE), SINGLE, MASKED) & ~fp.DENORMAL
    try:
        (narrow,) = struct.unpack("<f", struct.pack("<f", a))
    except OverflowError:
        narrow = math.inf
    if math.isinf(narrow):
        assert found == fp.OVERFLOW | fp.PRECISION
    elif narrow == a:
        assert found == 0
    elif abs(narrow) != 2.0**-126:
        assert found == fp.PRECISION | (fp.UNDERFLOW if abs(narrow) < 2.0**-126 else 0)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([32, 64]))
def test_conversion_to_an_integer(a: float, width: int) -> None:
    for mode, rounded in ((0, round(a)), (1, math.floor(a)), (2, math.ceil(a)), (3, int(a))):
        fits = -(1 << width - 1) <= rounded < 1 << width - 1
        found = fp.to_integer(number(bits(a), DOUBLE), width, MASKED | mode << 13, truncate=False)
        assert found == (fp.INVALID if not fits else fp.PRECISION if rounded != a else 0)


def test_tininess_is_found_after_rounding() -> None:
    """A result that rounds up to the smallest normal number with an unbounded exponent is not tiny."""
    just_below = Fraction(2) ** -1022 * (1 - Fraction(1, 2**54))
    assert fp.result(just_below, DOUBLE, MASKED) == fp.PRECISION
    tiny = Fraction(2) ** -1022 * (1 - Fraction(1, 2**53) - Fraction(1, 2**56))
    assert fp.result(tiny, DOUBLE, MASKED) == fp.PRECISION | fp.UNDERFLOW


def test_unmasked_underflow_needs_no_loss() -> None:
    exact = Fraction(2) ** -1074
    assert fp.result(exact, DOUBLE, MASKED) == 0
    assert fp.result(exact, DOUBLE, MASKED & ~0x800) == fp.UNDERFLOW
    assert fp.result(exact, DOUBLE, MASKED | fp.FLUSH_TO_ZERO) == fp.UNDERFLOW | fp.PRECISION


@pytest.mark.parametrize("quiet", [True, False])
def test_comparisons_of_nans(quiet: bool) -> None:
    one, quiet_nan, signaling = (number(x, DOUBLE) for x in (bits(1.0), 0x7FF8 << 48, 0x7FF4 << 48))
    assert fp.compare(one, quiet_nan, quiet=quiet) == (0 if quiet else fp.INVALID)
    assert fp.compare(one, signaling, quiet=quiet) == fp.INVALID
    assert fp.compare(one, one, quiet=quiet) == 0
