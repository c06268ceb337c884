"""The POST code display."""

from hypothesis import given
from hypothesis import strategies as st

from machine.devices.legacy.post_code import PostCode


@given(st.lists(st.integers(0, (1 << 32) - 1)))
def test_it_shows_the_low_byte_of_the_last_value_and_zero_before(values: list[int]) -> None:
    display = PostCode()
    for shown, value in zip([0, *values], [*values, 0], strict=True):
        assert display.read(0, 1) == display.code == shown & 0xFF
        display.write(0, 4, value)
    display.write(0, 1, 0xAA)
    display.reset()
    assert display.code == 0
