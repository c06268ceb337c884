"""The 8254 (Intel 8254 data sheet): counts, OUT, and interrupts on the nanoseconds of QEMU's i8254."""

from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.machine.devices.legacy.watched_pit import CLOCK_NS, CONTROL, PORT_B, Pit, after, counts

# Interrupts of channel 0


@given(count=counts, start=st.integers(0, 10**9))
def test_mode_0_interrupts_once_when_the_count_is_reached(count: int, start: int) -> None:
    pit = Pit().at(start)
    pit.program(0, 0, count)
    pit.edges.clear()
    pit.run(start + after(3 * count))
    assert pit.edges == [start + after(count)]


@given(count=counts, start=st.integers(0, 10**9))
def test_mode_2_interrupts_one_clock_after_each_count(count: int, start: int) -> None:
    pit = Pit().at(start)
    pit.program(0, 2, count)
    pit.edges.clear()
    pit.run(start + after(3 * count + 2))
    wanted = [floor((period * count + 1) * CLOCK_NS) for period in (1, 2, 3)]
    assert pit.edges == [start + at for at in wanted]


@given(count=counts, period=st.integers(2, 5))
def test_the_line_of_mode_2_is_low_for_one_clock_before_each_further_interrupt(count: int, period: int) -> None:
    pit = Pit()
    pit.program(0, 2, count)
    falls, rises = (floor((period * count + clock) * CLOCK_NS) for clock in (0, 1))
    levels = []
    for now in (falls - 1, falls, rises - 1, rises):
        pit.run(now)
        levels.append(pit.level)
    assert levels == [True, False, False, True]


@given(count=counts, start=st.integers(0, 10**9))
def test_mode_3_interrupts_after_each_count(count: int, start: int) -> None:
    pit = Pit().at(start)
    pit.program(0, 3, count)
    pit.edges.clear()
    pit.run(start + after(3 * count))
    assert pit.edges == [start + after(period * count) for period in (1, 2, 3)]


@given(count=counts)
def test_mode_4_interrupts_once_for_a_clock(count: int) -> None:
    pit = Pit()
    pit.program(0, 4, count)
    pit.run(after(count))
    assert (pit.edges, pit.level) == ([after(count)], True)
    pit.run(after(3 * count))
    assert (pit.edges, pit.level) == ([after(count)], False)


def test_mode_3_is_high_from_the_store_of_the_count() -> None:
    pit = Pit().at(100)
    pit.program(0, 3, 1000)
    assert (pit.edges, pit.level) == ([100], True)


def test_a_count_of_zero_is_the_longest() -> None:
    pit = Pit()
    pit.program(0, 0, 0)
    pit.run(after(0x20000))
    assert pit.edges == [after(0x10000)]


def test_a_new_count_begins_at_once() -> None:
    pit = Pit()
    pit.program(0, 2, 1000)
    pit.at(500_000)
    pit.write(0, 1, 0xE8)
    pit.write(0, 1, 3)
    pit.run(500_000 + after(1100))
    assert pit.edges == [500_000 + floor(1001 * CLOCK_NS)]


def test_firmware_leaves_channel_0_ticking_at_the_lowest_rate() -> None:
    pit = Pit()
    pit.run(10**8)
    assert pit.edges == [floor(0x10001 * CLOCK_NS)]


@given(
    mode=st.sampled_from([0, 2, 3, 4]), count=st.integers(2, 2000), looks=st.lists(st.integers(1, 10**6), max_size=8)
)
def test_unwatched_it_has_no_deadline_and_tells_at_each_look_what_it_missed(
    mode: int, count: int, looks: list[int]
) -> None:
    watched, lazy = Pit(), Pit()
    lazy.watch(False)
    now = 0
    for pit in (watched, lazy):
        pit.program(0, mode, count)
    assert lazy.deadline_ns is None
    for step in looks:
        before = len(watched.edges)
        now += step
        watched.run(now)
        lazy.edges.clear()
        lazy.at(now).settle()
        assert bool(lazy.edges) == (len(watched.edges) > before)
        assert lazy.level == watched.level


# Counts and OUT


@given(count=counts, elapsed=st.integers(0, 10**9))
def test_mode_0_counts_down_through_zero(count: int, elapsed: int) -> None:
    pit = Pit()
    pit.program(2, 0, count)
    pit.write(PORT_B, 1, 1)
    pit.at(elapsed)
    clocks = floor(elapsed / CLOCK_NS)
    assert pit.count(2) == (count - clocks) & 0xFFFF
    assert pit.out(2) == (clocks >= count)


@given(count=counts, elapsed=st.integers(0, 10**9))
def test_mode_2_counts_from_n_to_1_and_out_is_low_for_the_last_clock(count: int, elapsed: int) -> None:
    pit = Pit()
    pit.program(0, 2, count)
    pit.at(elapsed)
    phase = floor(elapsed / CLOCK_NS) % count
    assert pit.count(0) == count - phase
    assert pit.out(0) == (phase != count - 1)


@given(count=counts, elapsed=st.integers(0, 10**9))
def test_mode_3_counts_by_two_and_an_odd_count_is_high_for_one_clock_more(count: int, elapsed: int) -> None:
    pit = Pit()
    pit.program(0, 3, count)
    pit.at(elapsed)
    phase, high = floor(elapsed / CLOCK_NS) % count, (count + 1) // 2
    assert pit.out(0) == (phase < high)
    assert pit.count(0) == count // 2 * 2 - 2 * (phase if phase < high else phase - high)


@given(count=st.integers(1, 9999), clocks=st.integers(0, 9999))
def test_bcd_counts_in_decimal_digits(count: int, clocks: int) -> None:
    pit = Pit()
    pit.program(0, 0, int(str(count), 16), bcd=1)
    pit.at(after(clocks))
    assert pit.count(0) == int(str((count - clocks) % 10_000), 16)
    assert pit.out(0) == (clocks >= count)


def test_a_bcd_count_of_zero_is_ten_thousand() -> None:
    pit = Pit()
    pit.program(0, 0, 0, bcd=1)
    pit.run(after(20_000))
    assert pit.edges == [after(10_000)]


@pytest.mark.parametrize(
    ("access", "written", "count"), [(1, [0x34], 0x34), (2, [0x12], 0x1200), (3, [0x34, 0x12], 0x1234)]
)
def test_counts_are_accessed_by_low_byte_high_byte_or_both(access: int, written: list[int], count: int) -> None:
    pit = Pit()
    pit.control(access << 4 | 4)
    for byte in written:
        pit.write(0, 1, byte)
    assert [pit.read(0, 1) for _ in written] == written
    pit.control(0xE2)
    assert pit.read(0, 1) == 0x80 | access << 4 | 4
    pit.run(after(count + 1))
    assert pit.edges == [floor((count + 1) * CLOCK_NS)]


def test_a_latched_count_stays_until_it_has_been_read() -> None:
    pit = Pit()
    pit.program(0, 2, 1000)
    pit.at(after(10)).control(0x00)
    pit.at(after(20)).control(0x00)
    pit.at(after(30))
    assert pit.read(0, 1) | pit.read(0, 1) << 8 == 990
    assert pit.read(0, 1) | pit.read(0, 1) << 8 == 970


def test_read_back_latches_count_and_status_of_the_channels_named() -> None:
    pit = Pit()
    pit.program(0, 2, 1000)
    pit.program(1, 3, 500)
    pit.at(after(10)).control(0xC6)
    pit.at(after(20))
    assert [pit.read(0, 1) for _ in range(3)] == [0xB4, 990 & 0xFF, 990 >> 8]
    assert [pit.read(1, 1) for _ in range(3)] == [0xB6, 480 & 0xFF, 480 >> 8]
    assert pit.read(CONTROL, 1) == 0


@pytest.mark.parametrize(("word", "mode"), [(0xBC, 2), (0xBE, 3)])
def test_the_status_has_the_mode_bits_as_they_were_written(word: int, mode: int) -> None:
    """Bit 2 of the mode is not looked at where bit 1 is set: 6 is mode 2, and 7 mode 3."""
    ours, plain = Pit(), Pit()
    ours.control(word)
    plain.control(0xB0 | mode << 1)
    for pit in (ours, plain):
        pit.write(2, 1, 100)
        pit.write(2, 1, 0)
    assert [ours.at(now).count(2) for now in (0, 5000)] == [plain.at(now).count(2) for now in (0, 5000)]
    ours.control(0xE8)
    assert ours.read(2, 1) & 0x3F == word & 0x3F


def test_the_status_says_null_count_until_a_count_is_loaded() -> None:
    pit = Pit()
    pit.control(0x31)
    pit.control(0xE2)
    assert pit.read(0, 1) == 0x71
    pit.write(0, 1, 0)
    pit.write(0, 1, 1)
    pit.control(0xE2)
    assert pit.read(0, 1) == 0x31


def test_in_mode_0_the_first_byte_of_a_new_count_stops_the_counting() -> None:
    pit = Pit()
    pit.program(0, 0, 100)
    pit.at(after(50)).write(0, 1, 100)
    pit.run(after(500))
    assert pit.edges == []
    pit.write(0, 1, 0)
    pit.run(after(500) + after(200))
    assert pit.edges == [after(500) + after(100)]
