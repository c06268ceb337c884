"""The I/O APIC (Intel 82093AA data sheet)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.devices.apic import registers as apic
from machine.devices.apic.io_apic import EOI, IOREGSEL, IOWIN, LEVEL, LOGICAL, LOW_ACTIVE, MASKED, REMOTE_IRR, IoApic

pins = st.integers(0, 23)
Message = tuple[int, int, int, bool, bool]


class Io(IoApic):
    """An I/O APIC and what it sent: destination, mode, vector, logical, level-triggered."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Message] = []
        self.accepts = True
        self.send = self._note

    def _note(self, destination: int, mode: int, vector: int, *, logical: bool, level_triggered: bool) -> bool:
        self.sent.append((destination, mode, vector, logical, level_triggered))
        return self.accepts

    def get(self, index: int) -> int:
        self.write(IOREGSEL, 4, index)
        return self.read(IOWIN, 4)

    def set(self, index: int, value: int) -> None:
        self.write(IOREGSEL, 4, index)
        self.write(IOWIN, 4, value)

    def redirect(self, pin: int, entry: int) -> None:
        self.set(0x11 + 2 * pin, entry >> 32)
        self.set(0x10 + 2 * pin, entry & 0xFFFF_FFFF)

    def entry(self, pin: int) -> int:
        return self.get(0x10 + 2 * pin) | self.get(0x11 + 2 * pin) << 32

    def pulse(self, pin: int) -> None:
        self.set_pin(pin, True)
        self.set_pin(pin, False)


def test_it_has_24_pins_all_masked() -> None:
    io = Io()
    assert io.get(1) == 0x0017_0020
    assert [io.entry(pin) for pin in range(24)] == [MASKED] * 24
    assert io.get(0x40) == 0


def test_the_id_is_four_bits_and_the_arbitration_id_follows_it() -> None:
    io = Io()
    io.set(0, 0xFFFF_FFFF)
    io.set(1, 0)
    io.set(2, 0)
    assert (io.get(0), io.get(1), io.get(2)) == (0x0F00_0000, 0x0017_0020, 0x0F00_0000)


@given(pins, st.integers(0, 2**64 - 1))
def test_an_entry_keeps_its_defined_bits_but_not_status_and_remote_irr(pin: int, value: int) -> None:
    io = Io()
    io.redirect(pin, value)
    assert io.entry(pin) & ~REMOTE_IRR == value & 0xFF00_0000_0001_AFFF


@given(pins, st.integers(16, 255), st.integers(0, 255), st.sampled_from([0, 1, 4, 7]), st.booleans())
def test_an_edge_sends_the_message_of_the_entry(pin: int, vector: int, destination: int, mode: int, low: bool) -> None:
    io = Io()
    io.redirect(pin, destination << 56 | LOGICAL | mode << 8 | vector)
    io.set_pin(pin, True)
    io.set_pin(pin, True)
    assert io.sent == [(destination, mode, vector, True, False)]
    io.pulse(pin)
    io.pulse(pin)
    assert len(io.sent) == 2


@given(pins)
def test_an_edge_at_a_masked_pin_is_lost(pin: int) -> None:
    io = Io()
    io.redirect(pin, MASKED | 0x40)
    io.set_pin(pin, True)
    io.redirect(pin, 0x40)
    assert io.sent == []


@given(pins)
def test_a_level_is_sent_once_until_its_interrupt_has_ended(pin: int) -> None:
    io = Io()
    io.redirect(pin, LEVEL | 0x40)
    io.set_pin(pin, True)
    assert io.sent == [(0, 0, 0x40, False, True)]
    assert io.entry(pin) & REMOTE_IRR
    io.set_pin(pin, False)
    io.set_pin(pin, True)
    assert len(io.sent) == 1
    io.end_of_interrupt(0x41)
    assert len(io.sent) == 1
    io.end_of_interrupt(0x40)
    assert len(io.sent) == 2
    io.set_pin(pin, False)
    io.write(EOI, 4, 0x40)
    assert len(io.sent) == 2
    assert not io.entry(pin) & REMOTE_IRR


def test_a_level_at_a_masked_pin_is_sent_when_it_is_unmasked() -> None:
    io = Io()
    io.redirect(5, MASKED | LEVEL | 0x40)
    io.set_pin(5, True)
    assert io.sent == []
    io.redirect(5, LEVEL | 0x40)
    assert len(io.sent) == 1


def test_remote_irr_is_set_only_when_a_local_apic_accepted() -> None:
    io = Io()
    io.accepts = False
    io.redirect(5, LEVEL | 0x40)
    io.set_pin(5, True)
    assert not io.entry(5) & REMOTE_IRR


def test_making_a_pin_edge_triggered_clears_remote_irr() -> None:
    io = Io()
    io.redirect(5, LEVEL | 0x40)
    io.set_pin(5, True)
    io.redirect(5, MASKED | 0x40)
    assert io.entry(5) == MASKED | 0x40


def test_a_low_active_pin_is_asserted_while_it_is_low() -> None:
    io = Io()
    io.set_pin(5, True)
    io.redirect(5, LEVEL | LOW_ACTIVE | 0x40)
    assert io.sent == []
    io.set_pin(5, False)
    assert len(io.sent) == 1


@pytest.mark.parametrize("mode", [apic.NMI, apic.EXT_INT])
def test_nmi_and_extint_are_edges_whatever_the_entry_says(mode: int) -> None:
    io = Io()
    io.redirect(5, LEVEL | mode << 8)
    io.set_pin(5, True)
    assert io.sent == [(0, mode, 0, False, False)]
    assert not io.entry(5) & REMOTE_IRR


def test_the_window_takes_only_32_bits() -> None:
    io = Io()
    io.write(IOREGSEL, 1, 0x10)
    io.write(IOWIN, 1, 0x40)
    assert (io.read(IOREGSEL, 4), io.read(IOWIN, 2), io.entry(0)) == (0x10, 0, MASKED)
