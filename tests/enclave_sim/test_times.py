"""Durations as text: one syntax wherever a time is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.errors import ConfigurationError
from enclave_sim.times import UNITS, nanoseconds, short


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("0", 0),
        ("1_000", 1000),
        ("1,523,986 ns", 1_523_986),
        ("0x10", 16),
        ("1ms", 10**6),
        (" 1.5 us ", 1500),
        ("1.5\u00b5s", 1500),
        ("1.5 \u03bcs", 1500),
        ("0.000000001s", 1),
        ("2min", 120 * 10**9),
        ("1h", 3600 * 10**9),
    ],
)
def test_a_time_is_a_number_of_nanoseconds_or_has_a_unit(text: str, time: int) -> None:
    assert nanoseconds(text) == time


@given(st.integers(0, 1 << 70), st.sampled_from(sorted(UNITS)))
def test_every_whole_number_of_every_unit_is_exact(count: int, unit: str) -> None:
    assert nanoseconds(f"{count}{unit}") == nanoseconds(f"{count:,} {unit}") == count * UNITS[unit]


@given(st.integers(0, 1 << 70))
def test_the_short_text_of_a_time_is_that_time(time: int) -> None:
    assert nanoseconds(short(time)) == time


@pytest.mark.parametrize(
    "text", ["", "ms", "-1", "-1ms", "1e3", "1.5", "0.1ns", "1 year", "_1", "1 m", "1" * 40, "٣ms"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        nanoseconds(text)


def test_a_place_may_have_a_unit_of_its_own_or_none() -> None:
    assert nanoseconds("60", "s") == nanoseconds("1min", "s") == 60 * 10**9
    with pytest.raises(ConfigurationError, match="it needs a unit"):
        nanoseconds("60", None)
