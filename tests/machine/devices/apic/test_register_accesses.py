"""Errors of the local APIC, and accesses of its registers of every size and place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.devices.apic import registers as reg
from tests.machine.devices.apic.watched_apic import OTHERS, SELF, Apic, send

# Errors


@pytest.mark.parametrize("vector", [0, 15])
def test_sending_an_illegal_vector_is_an_error_of_sender_and_receiver(vector: int) -> None:
    apic = Apic()
    apic.set(reg.ICR_LOW, OTHERS | vector)
    assert apic.errors() == reg.SEND_ILLEGAL_VECTOR
    apic.set(reg.ICR_LOW, SELF | vector)
    assert apic.errors() == reg.SEND_ILLEGAL_VECTOR | reg.RECEIVE_ILLEGAL_VECTOR
    assert apic.vectors(reg.IRR) == 0


def test_an_illegal_vector_in_a_message_or_an_entry_is_received_and_dropped() -> None:
    apic = Apic()
    assert not send(apic, 15)
    assert apic.errors() == reg.RECEIVE_ILLEGAL_VECTOR
    apic.set(reg.LVT_TIMER, 7)
    apic.set(reg.INITIAL_COUNT, 1)
    apic.tick(1000)
    assert apic.errors() == reg.RECEIVE_ILLEGAL_VECTOR
    assert apic.errors() == 0


def test_esr_shows_errors_only_after_it_was_written() -> None:
    apic = Apic()
    send(apic, 3)
    assert apic.get(reg.ESR) == 0
    assert apic.errors() == reg.RECEIVE_ILLEGAL_VECTOR
    assert apic.get(reg.ESR) == reg.RECEIVE_ILLEGAL_VECTOR


@pytest.mark.parametrize("register", [0x000, 0x010, 0x040, 0x290, 0x2F0, 0x3A0, 0x3F0, 0x400, 0xFF0])
def test_a_reserved_register_is_an_illegal_address(register: int) -> None:
    apic = Apic()
    assert apic.get(register) == 0
    assert apic.errors() == reg.ILLEGAL_REGISTER_ADDRESS
    apic.set(register, 0)
    assert apic.errors() == reg.ILLEGAL_REGISTER_ADDRESS


def test_writing_a_read_only_register_is_not_an_error_and_changes_nothing() -> None:
    apic = Apic()
    for register in (reg.VERSION, reg.APR, reg.PPR, reg.ISR, reg.TMR, reg.IRR + 0x70, reg.CURRENT_COUNT):
        before = apic.get(register)
        apic.set(register, 0xFFFF_FFFF)
        assert apic.get(register) == before
    assert apic.errors() == 0


def test_the_error_interrupt_comes_once_until_esr_is_written() -> None:
    apic = Apic()
    apic.set(reg.LVT_ERROR, 0x50)
    send(apic, 1)
    assert apic.acknowledge() == 0x50
    apic.eoi()
    send(apic, 2)
    assert not apic.intr
    apic.errors()
    send(apic, 3)
    assert apic.acknowledge() == 0x50


@given(offset=st.integers(0, 0xFFF), size=st.sampled_from([1, 2, 4, 8]), value=st.integers(0, 2**32 - 1))
def test_only_aligned_accesses_of_32_bits_do_anything(offset: int, size: int, value: int) -> None:
    if size == 4 and offset % 16 == 0:
        return
    apic, fresh = Apic(), Apic()
    apic.write(offset, size, value)
    assert apic.read(offset, size) == 0
    assert [apic.get(at) for at in range(0, 0x400, 16)] == [fresh.get(at) for at in range(0, 0x400, 16)]


def test_an_access_that_is_not_an_aligned_one_of_32_bits_reads_zero_and_is_not_an_error() -> None:
    apic = Apic()
    apic.set(reg.LVT_ERROR, 0x50)
    send(apic, 0xFF)
    for offset in range(0x1000):
        for size in (1, 2, 4, 8):
            if size != 4 or offset % 16:
                apic.write(offset, size, 0xFF)
                assert apic.read(offset, size) == 0, (hex(offset), size)
    assert apic.acknowledge() == 0xFF, "not the error interrupt"
    assert apic.errors() == 0


def test_disabled_in_apic_base_a_read_of_any_size_is_all_ones() -> None:
    apic = Apic()
    apic.apic_base = 0xFEE0_0000
    assert [apic.read(reg.SVR, size) for size in (1, 2, 4, 8)] == [(1 << 8 * size) - 1 for size in (1, 2, 4, 8)]


@pytest.mark.parametrize(
    ("register", "kept"),
    [
        (reg.LVT_TIMER, 0x700FF),
        (reg.LVT_THERMAL, 0x107FF),
        (reg.LVT_PERFORMANCE, 0x107FF),
        (reg.LVT_LINT0, 0x1A7FF),
        (reg.LVT_ERROR, 0x100FF),
        (reg.TPR, 0xFF),
        (reg.ICR_HIGH, 0xFF00_0000),
        (reg.DIVIDE_CONFIGURATION, 0xB),
    ],
)
def test_reserved_bits_are_not_kept(register: int, kept: int) -> None:
    apic = Apic()
    apic.set(register, 0xFFFF_FFFF)
    assert apic.get(register) == kept


NUMBERS = {
    **{"ID": 0x20, "VERSION": 0x30, "TPR": 0x80, "APR": 0x90, "PPR": 0xA0, "EOI": 0xB0, "LDR": 0xD0, "DFR": 0xE0},
    **{"SVR": 0xF0, "ISR": 0x100, "TMR": 0x180, "IRR": 0x200, "ESR": 0x280, "ICR_LOW": 0x300, "ICR_HIGH": 0x310},
    **{"LVT_TIMER": 0x320, "LVT_THERMAL": 0x330, "LVT_PERFORMANCE": 0x340, "LVT_LINT0": 0x350, "LVT_LINT1": 0x360},
    **{"LVT_ERROR": 0x370, "INITIAL_COUNT": 0x380, "CURRENT_COUNT": 0x390, "DIVIDE_CONFIGURATION": 0x3E0},
    **{"FIXED": 0, "LOWEST_PRIORITY": 1, "SMI": 2, "NMI": 4, "INIT": 5, "START_UP": 6, "EXT_INT": 7},
    **{"SEND_ILLEGAL_VECTOR": 0x20, "RECEIVE_ILLEGAL_VECTOR": 0x40, "ILLEGAL_REGISTER_ADDRESS": 0x80},
    **{"BASE_BOOTSTRAP": 0x100, "BASE_ENABLE": 0x800, "VECTOR": 0xFF, "MASKED": 0x1_0000, "REMOTE_IRR": 0x4000},
    **{"LEVEL": 0x8000, "POLARITY": 0x2000, "SOFTWARE_ENABLED": 0x100, "FIRST_VECTOR": 16},
    **{"VERSION_VALUE": 5 << 16 | 0x14},
}


@pytest.mark.parametrize("name", NUMBERS)
def test_registers_and_bits_are_where_the_manual_has_them(name: str) -> None:
    """SDM volume 3, tables 12-1 and figures 12-5 to 12-19: the other tests call them by name."""
    assert getattr(reg, name) == NUMBERS[name]
