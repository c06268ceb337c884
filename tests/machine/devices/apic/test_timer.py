"""The timer of the local APIC (SDM volume 3, "APIC Timer"), to the nanosecond."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.devices.apic import registers as reg
from machine.devices.apic.local_apic import LocalApic
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState

ONE_SHOT, PERIODIC, TSC_DEADLINE, MASKED = 0, 1 << 17, 2 << 17, 1 << 16
counts = st.integers(1, 2**32 - 1)
dividers = st.sampled_from([(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)])


class Timer:
    """An APIC at a settable time."""

    def __init__(self, entry: int = 0x30, divide: int = 11) -> None:
        self.state = HookState(deadline=NEVER)
        self.apic = LocalApic(Clock(self.state))
        self.apic.write(reg.DIVIDE_CONFIGURATION, 4, divide)
        self.entry(entry)

    def at(self, now: int) -> "Timer":
        self.state.retired = now
        return self

    def entry(self, value: int) -> None:
        self.apic.write(reg.LVT_TIMER, 4, value)

    def start(self, count: int) -> None:
        self.apic.write(reg.INITIAL_COUNT, 4, count)

    @property
    def count(self) -> int:
        return self.apic.read(reg.CURRENT_COUNT, 4)

    @property
    def deadline(self) -> int | None:
        return self.apic.deadline_ns

    def fires(self, now: int) -> bool:
        """Whether an interrupt comes at `now`; it is served at once."""
        self.at(now).apic.tick(now)
        if not self.apic.intr:
            return False
        assert self.apic.acknowledge() == 0x30
        self.apic.write(reg.EOI, 4, 0)
        return True


@given(dividers)
def test_the_divider_is_encoded_in_bits_3_1_and_0(divider: tuple[int, int]) -> None:
    assert Timer(divide=divider[0]).apic.divider == divider[1]


@given(count=counts, started=st.integers(0, 1000), divider=dividers)
def test_a_one_shot_fires_once_after_count_plus_one_periods(count: int, started: int, divider: tuple[int, int]) -> None:
    timer = Timer(divide=divider[0]).at(started)
    timer.start(count)
    deadline = started + (count + 1) * divider[1]
    assert timer.deadline == deadline
    assert not timer.fires(deadline - 1)
    assert timer.fires(deadline)
    assert timer.deadline is None
    assert (timer.apic.fired_ns, timer.count) == (deadline, 0)


@given(count=counts, started=st.integers(0, 1000), divider=dividers, periods=st.integers(1, 5))
def test_a_periodic_timer_fires_again_every_count_plus_one_periods(
    count: int, started: int, divider: tuple[int, int], periods: int
) -> None:
    timer = Timer(PERIODIC | 0x30, divider[0]).at(started)
    timer.start(count)
    for period in range(1, periods + 1):
        deadline = started + period * (count + 1) * divider[1]
        assert timer.deadline == deadline
        assert not timer.fires(deadline - 1)
        assert timer.fires(deadline)
        assert timer.count == count


def test_periods_missed_are_one_interrupt_and_the_phase_stays() -> None:
    timer = Timer(PERIODIC | 0x30)
    timer.start(99)
    assert timer.fires(250)
    assert (timer.apic.fired_ns, timer.deadline) == (200, 300)


@given(count=st.integers(1, 10_000), elapsed=st.integers(0, 10_000), divider=dividers)
def test_the_current_count_goes_down_to_zero(count: int, elapsed: int, divider: tuple[int, int]) -> None:
    timer = Timer(MASKED, divider[0])
    timer.start(count)
    assert timer.at(elapsed).count == max(0, count - elapsed // divider[1])


def test_a_masked_timer_counts_and_raises_nothing() -> None:
    timer = Timer(MASKED | 0x30)
    timer.start(10)
    assert timer.deadline is None
    assert timer.at(4).count == 6
    assert not timer.fires(11)
    timer.entry(0x30)
    assert timer.deadline is None


def test_a_timer_unmasked_in_time_fires_at_its_time() -> None:
    timer = Timer(MASKED | 0x30)
    timer.start(10)
    timer.at(5).entry(0x30)
    assert timer.deadline == 11


def test_a_masked_periodic_timer_keeps_its_phase() -> None:
    timer = Timer(PERIODIC | MASKED | 0x30)
    timer.start(99)
    timer.at(430).entry(PERIODIC | 0x30)
    assert timer.deadline == 500


def test_a_count_of_zero_stops_the_timer() -> None:
    timer = Timer()
    timer.start(10)
    timer.start(0)
    assert (timer.deadline, timer.count) == (None, 0)


def test_a_new_count_restarts_it() -> None:
    timer = Timer()
    timer.start(10)
    timer.at(5).start(20)
    assert timer.deadline == 26


def test_a_change_of_vector_or_mode_neither_starts_nor_stops_a_count() -> None:
    timer = Timer()
    timer.start(99)
    timer.at(50).entry(PERIODIC | 0x30)
    assert timer.deadline == 100
    assert timer.fires(100)
    timer.at(150).entry(0x30)
    assert timer.fires(200)
    timer.entry(PERIODIC | 0x30)
    assert timer.deadline is None


def test_a_new_divider_goes_on_from_the_count() -> None:
    timer = Timer()
    timer.start(99)
    timer.at(50).apic.write(reg.DIVIDE_CONFIGURATION, 4, 0)
    assert timer.count == 49
    assert timer.deadline == 50 + 50 * 2


# TSC-deadline mode


def test_the_tsc_deadline_fires_at_that_time_once() -> None:
    timer = Timer(TSC_DEADLINE | 0x30).at(100)
    timer.apic.write_tsc_deadline(500)
    assert (timer.apic.read_tsc_deadline(), timer.deadline) == (500, 500)
    assert not timer.fires(499)
    assert timer.fires(500)
    assert (timer.apic.read_tsc_deadline(), timer.deadline, timer.apic.fired_ns) == (0, None, 500)


def test_a_tsc_deadline_that_has_passed_fires_at_once() -> None:
    timer = Timer(TSC_DEADLINE | 0x30).at(100)
    timer.apic.write_tsc_deadline(40)
    assert timer.deadline is not None
    assert timer.deadline <= 100
    assert timer.fires(100)


def test_a_tsc_deadline_of_zero_disarms() -> None:
    timer = Timer(TSC_DEADLINE | 0x30)
    timer.apic.write_tsc_deadline(500)
    timer.apic.write_tsc_deadline(0)
    assert timer.deadline is None


def test_in_tsc_deadline_mode_the_counts_are_zero_and_ignored() -> None:
    timer = Timer(TSC_DEADLINE | 0x30)
    timer.start(100)
    assert (timer.deadline, timer.count, timer.apic.read(reg.INITIAL_COUNT, 4)) == (None, 0, 0)


@pytest.mark.parametrize("mode", [ONE_SHOT, PERIODIC])
def test_outside_tsc_deadline_mode_the_msr_reads_zero_and_is_not_written(mode: int) -> None:
    timer = Timer(mode | 0x30)
    timer.apic.write_tsc_deadline(500)
    assert (timer.apic.read_tsc_deadline(), timer.deadline) == (0, None)


def test_a_change_to_or_from_tsc_deadline_mode_disarms() -> None:
    timer = Timer()
    timer.start(100)
    timer.entry(TSC_DEADLINE | 0x30)
    assert timer.deadline is None
    timer.apic.write_tsc_deadline(500)
    timer.entry(0x30)
    assert timer.deadline is None
    timer.entry(TSC_DEADLINE | 0x30)
    assert timer.apic.read_tsc_deadline() == 0


def test_a_tsc_deadline_that_passes_masked_is_gone() -> None:
    timer = Timer(TSC_DEADLINE | MASKED | 0x30)
    timer.apic.write_tsc_deadline(500)
    timer.at(499).entry(TSC_DEADLINE | 0x30)
    assert timer.deadline == 500
    timer.entry(TSC_DEADLINE | MASKED | 0x30)
    assert timer.at(500).apic.read_tsc_deadline() == 0
    timer.entry(TSC_DEADLINE | 0x30)
    assert timer.deadline is None
