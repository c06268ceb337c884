"""Text for people: a payload's text never reaches the terminal unescaped, and sizes are exact."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.recording.text import binary_size, one_line, plural, printable

UNITS = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1000, "1,000 B"),
        (1024, "1 KiB"),
        (1025, "1,025 B"),
        (1536, "1.5 KiB"),
        (832 << 10, "832 KiB"),
        (1 << 19, "512 KiB"),
        (1 << 20, "1 MiB"),
        (3 << 19, "1.5 MiB"),
        ((1 << 20) + 1024, "1,025 KiB"),
        ((1 << 30) + 512, "1,048,576.5 KiB"),
        (1 << 29, "512 MiB"),
        (5 << 29, "2.5 GiB"),
    ],
)
def test_a_size_is_a_short_number_of_the_largest_unit_that_fits(size: int, shown: str) -> None:
    assert binary_size(size) == shown


@given(size=st.one_of(st.integers(0, 1 << 36), st.integers(0, 1 << 12).map(lambda count: count << 19)))
def test_a_size_is_exact(size: int) -> None:
    number, unit = binary_size(size).split()
    assert Fraction(number.replace(",", "")) * UNITS[unit] == size


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 signals"), (1, "1 signal"), (2, "2 signals"), (2000, "2,000 signals")]
)
def test_a_noun_follows_its_count(count: int, shown: str) -> None:
    assert plural(count, "signal") == shown


@given(text=st.text())
def test_what_is_shown_can_be_printed_and_what_can_be_printed_is_shown(text: str) -> None:
    assert printable(text).isprintable()
    assert printable("".join(filter(str.isprintable, text))) == "".join(filter(str.isprintable, text))
    assert one_line(text).isprintable()
    assert "\n" not in one_line(text)


def test_what_cannot_be_printed_is_escaped_in_its_place() -> None:
    assert printable("a\x1b[31mb\n\u202e") == "a\\x1b[31mb\\n\\u202e"
    assert one_line(" a\n\tb\x00 ") == "a b\\x00"
