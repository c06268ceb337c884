"""Gates of the 8254 and system control port B: starting, pausing and triggering a count."""

import pytest

from tests.machine.devices.legacy.watched_pit import PORT_B, Pit, after

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
    """Port B is also written for the speaker: only an edge of the gate triggers or restarts a count."""
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
