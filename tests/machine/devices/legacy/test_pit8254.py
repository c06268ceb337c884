"""The 8254 (Intel 8254 data sheet) and system control port B; interrupts on the nanoseconds of QEMU's i8254."""

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.devices.legacy.pit8254 import Pit8254
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState

CONTROL, PORT_B = 3, 4
CLOCK_NS = Fraction(10**9, 1_193_182)
counts = st.integers(2, 0xFFFF)


def after(clocks: int) -> int:
    """The first nanosecond by which so many clocks have passed."""
    return ceil(clocks * CLOCK_NS)


class Pit(Pit8254):
    """A watched PIT at a settable time; `edges` are the times at which IRQ 0 rose."""

    def __init__(self) -> None:
        self.state = HookState(deadline=NEVER)
        self.edges: list[int] = []
        self.level = False
        super().__init__(Clock(self.state))
        self.irq = self._line
        self.watch(True)

    def _line(self, level: bool) -> None:
        if level and not self.level:
            self.edges.append(self.state.retired)
        self.level = level

    def at(self, now: int) -> "Pit":
        self.state.retired = now
        return self

    def control(self, word: int) -> None:
        self.write(CONTROL, 1, word)

    def program(self, channel: int, mode: int, count: int, *, bcd: int = 0) -> None:
        self.control(channel << 6 | 0x30 | mode << 1 | bcd)
        self.write(channel, 1, count & 0xFF)
        self.write(channel, 1, count >> 8)

    def run(self, until: int) -> None:
        """Let time pass, with a tick at each deadline."""
        while self.deadline_ns is not None and self.deadline_ns <= until:
            self.at(self.deadline_ns).tick(self.deadline_ns)
        self.at(until)

    def count(self, channel: int) -> int:
        self.control(channel << 6)
        return self.read(channel, 1) | self.read(channel, 1) << 8

    def out(self, channel: int) -> bool:
        """OUT by the read-back command."""
        self.control(0xE0 | 2 << channel)
        return bool(self.read(channel, 1) & 0x80)


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


# Channel 2 and port B


def test_port_b_keeps_gate_and_speaker_and_shows_out_of_channel_2() -> None:
    pit = Pit()
    pit.program(2, 0, 100)
    pit.write(PORT_B, 1, 0xFF)
    assert pit.read(PORT_B, 1) & 0xEF == 0x0F
    pit.at(after(99))
    assert not pit.read(PORT_B, 1) & 0x20
    pit.at(after(100))
    assert pit.read(PORT_B, 1) & 0x20


def test_the_refresh_bit_toggles_every_18_clocks() -> None:
    pit = Pit()
    bits = [pit.at(after(18 * period + extra)).read(PORT_B, 1) >> 4 & 1 for period in range(4) for extra in (0, 17)]
    assert bits == [0, 0, 1, 1, 0, 0, 1, 1]


def test_a_low_gate_holds_the_count_of_mode_0() -> None:
    pit = Pit()
    pit.write(PORT_B, 1, 1)
    pit.program(2, 0, 100)
    pit.at(after(40)).write(PORT_B, 1, 0)
    pit.at(after(1000))
    assert pit.count(2) == 60
    pit.write(PORT_B, 1, 1)
    pit.at(after(1000) + after(59) - 1)
    assert not pit.out(2)
    pit.at(after(1000) + after(61))
    assert pit.out(2)


def test_a_count_loaded_while_the_gate_is_low_begins_when_it_rises() -> None:
    pit = Pit()
    pit.program(2, 0, 100)
    pit.at(5000).write(PORT_B, 1, 1)
    pit.at(5000 + after(99))
    assert not pit.out(2)
    pit.at(5000 + after(100))
    assert pit.out(2)


@pytest.mark.parametrize("mode", [2, 3])
def test_a_low_gate_sets_out_of_the_periodic_modes_and_its_rise_restarts_them(mode: int) -> None:
    pit = Pit()
    pit.write(PORT_B, 1, 1)
    pit.program(2, mode, 100)
    pit.at(after(99)).write(PORT_B, 1, 0)
    assert pit.out(2)
    pit.at(10**6).write(PORT_B, 1, 1)
    assert pit.count(2) == 100
    pit.at(10**6 + after(99))
    assert not pit.out(2)


def test_mode_1_is_a_one_shot_triggered_again_by_each_rise_of_the_gate() -> None:
    pit = Pit()
    pit.program(2, 1, 100)
    assert pit.out(2)
    pit.at(1000).write(PORT_B, 1, 1)
    assert not pit.out(2)
    pit.at(1000 + after(50)).write(PORT_B, 1, 0)
    pit.write(PORT_B, 1, 1)
    pit.at(1000 + after(50) + after(99))
    assert not pit.out(2)
    pit.at(1000 + after(50) + after(100))
    assert pit.out(2)


def test_mode_5_strobes_low_for_one_clock_after_the_trigger() -> None:
    pit = Pit()
    pit.program(2, 5, 100)
    pit.write(PORT_B, 1, 1)
    states = []
    for clocks in (0, 99, 100, 101, 300):
        pit.at(after(clocks))
        states.append(pit.out(2))
    assert states == [True, True, False, True, True]


@pytest.mark.parametrize("mode", range(6))
@pytest.mark.parametrize("level", [0, 1])
def test_a_gate_that_stays_as_it_is_changes_nothing(mode: int, level: int) -> None:
    """Port B is written for the speaker, too: only an edge of the gate triggers or restarts a count."""
    pit, left_alone = Pit(), Pit()
    for one in (pit, left_alone):
        one.write(PORT_B, 1, 1)
        one.program(2, mode, 100)
        one.at(1000).write(PORT_B, 1, 0)
        one.at(2000).write(PORT_B, 1, 1)
        one.at(3000).write(PORT_B, 1, level)
    for clocks in (10, 30, 99, 150):
        pit.at(3000 + after(clocks)).write(PORT_B, 1, level | 2)
        left_alone.at(3000 + after(clocks))
        assert (pit.count(2), pit.out(2)) == (left_alone.count(2), left_alone.out(2))


def test_a_falling_gate_leaves_a_one_shot_running() -> None:
    pit = Pit()
    pit.program(2, 1, 100)
    pit.at(1000).write(PORT_B, 1, 1)
    pit.at(1000 + after(40)).write(PORT_B, 1, 0)
    assert pit.count(2) == 60
    pit.at(1000 + after(99))
    assert not pit.out(2)
    pit.at(1000 + after(100))
    assert pit.out(2)


@pytest.mark.parametrize("mode", [1, 5])
def test_without_a_trigger_modes_1_and_5_keep_their_count_and_do_nothing(mode: int) -> None:
    pit = Pit()
    pit.write(PORT_B, 1, 1)  # its gate is high already when the count comes, which is no trigger
    for channel in (0, 2):
        pit.program(channel, mode, 100)
    pit.edges.clear()
    assert pit.deadline_ns is None
    for clocks in (0, 50, 100, 101, 1000):
        pit.at(after(clocks)).settle()
        assert [(pit.count(channel), pit.out(channel)) for channel in (0, 2)] == [(100, True)] * 2
    assert pit.edges == []


@pytest.mark.parametrize("mode", [1, 5])
def test_a_new_count_of_modes_1_and_5_waits_for_the_next_trigger(mode: int) -> None:
    pit = Pit()
    pit.program(2, mode, 100)
    pit.at(1000).write(PORT_B, 1, 1)
    pit.at(2000).program(2, mode, 50)
    pit.at(2000 + after(200))
    assert (pit.count(2), pit.out(2)) == (50, True)
    pit.at(10**6).write(PORT_B, 1, 0)
    pit.write(PORT_B, 1, 1)
    pit.at(10**6 + after(20))
    assert pit.count(2) == 30


@pytest.mark.parametrize("mode", [1, 5])
def test_a_gate_that_rises_without_a_count_triggers_nothing(mode: int) -> None:
    pit = Pit()
    pit.control(0x80 | 0x30 | mode << 1)
    pit.at(1000).write(PORT_B, 1, 1)
    pit.write(2, 1, 100)
    pit.write(2, 1, 0)
    pit.at(1000 + after(100))
    assert (pit.count(2), pit.out(2)) == (100, True)


def test_only_the_write_of_a_count_is_an_edge_for_the_8259_where_the_line_stays_as_it_was() -> None:
    """IRQ 0 is told anew when a count is complete, for a controller that was initialised in between."""
    pit = Pit()
    told: list[bool] = []
    pit.irq = told.append
    pit.control(0x34)
    pit.write(0, 1, 100)
    assert told == []
    pit.write(0, 1, 0)
    assert told == [False]
    pit.write(1, 1, 7)
    pit.write(1, 1, 0)
    assert told == [False]
