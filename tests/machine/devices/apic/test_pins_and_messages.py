"""Inputs of the local APIC: pins, messages and interprocessor interrupts (SDM volume 3, 11.5 to 11.8)."""

import pytest
from hypothesis import given

from machine.devices.apic import registers as reg
from tests.machine.devices.apic.watched_apic import ALL, OTHERS, SELF, Apic, send, vectors

# Pins


def test_extint_at_lint0_takes_the_vector_from_the_8259_and_leaves_isr_alone() -> None:
    apic = Apic()
    apic.set(reg.TPR, 0xFF)
    apic.set_pin(0, True)
    assert apic.intr
    assert apic.acknowledge() == 0x77
    assert apic.vectors(reg.ISR) == 0
    apic.set_pin(0, False)
    assert not apic.intr


def test_extint_goes_before_the_apics_own_vectors() -> None:
    apic = Apic()
    apic.request(0xF0)
    apic.set_pin(0, True)
    assert apic.acknowledge() == 0x77
    apic.set_pin(0, False)
    assert apic.acknowledge() == 0xF0


def test_unmasking_lint0_lets_an_asserted_8259_through() -> None:
    apic = Apic()
    apic.set(reg.LVT_LINT0, 0x10700)
    apic.set_pin(0, True)
    assert not apic.intr
    apic.set(reg.LVT_LINT0, 0x700)
    assert apic.intr


def test_nmi_at_lint1_comes_with_the_rising_edge_unless_masked() -> None:
    apic = Apic()
    for level in (True, True, False, True):
        apic.set_pin(1, level)
    assert apic.nmis == 2
    apic.set(reg.LVT_LINT1, 0x10400)
    apic.set_pin(1, False)
    apic.set_pin(1, True)
    assert apic.nmis == 2


def test_a_fixed_edge_pin_requests_its_vector_once_an_edge() -> None:
    apic = Apic()
    apic.set(reg.LVT_LINT0, 0x41)
    apic.set_pin(0, True)
    assert apic.acknowledge() == 0x41
    apic.eoi()
    assert not apic.intr
    assert apic.ended == []


def test_a_fixed_level_pin_requests_again_after_eoi_while_it_is_asserted() -> None:
    apic = Apic()
    apic.set(reg.LVT_LINT0, 0x8041)
    apic.set_pin(0, True)
    assert apic.get(reg.LVT_LINT0) == 0xC041
    assert apic.vectors(reg.TMR) == 1 << 0x41
    assert apic.acknowledge() == 0x41
    assert not apic.intr
    apic.eoi()
    assert apic.acknowledge() == 0x41
    apic.set_pin(0, False)
    apic.eoi()
    assert not apic.intr
    assert apic.get(reg.LVT_LINT0) == 0x8041


def test_a_low_active_pin_is_asserted_while_it_is_low() -> None:
    apic = Apic()
    apic.set_pin(0, True)
    apic.set(reg.LVT_LINT0, 0x2041)
    apic.set_pin(0, False)
    assert apic.acknowledge() == 0x41


# Messages


@given(vectors)
def test_a_level_triggered_message_sets_tmr_and_its_eoi_is_broadcast(vector: int) -> None:
    apic = Apic()
    assert send(apic, vector, level_triggered=True)
    assert apic.vectors(reg.TMR) == 1 << vector
    apic.acknowledge()
    apic.eoi()
    assert apic.ended == [vector]
    assert send(apic, vector)
    assert apic.vectors(reg.TMR) == 0
    apic.acknowledge()
    apic.eoi()
    assert apic.ended == [vector]


@pytest.mark.parametrize(
    ("ldr", "dfr", "destination", "accepted"),
    [
        (0x04, 0xF, 0x04, True),
        (0x04, 0xF, 0x0B, False),
        (0x04, 0xF, 0xFF, True),
        (0x00, 0xF, 0xFF, False),
        (0x21, 0x0, 0x21, True),
        (0x21, 0x0, 0x23, True),
        (0x21, 0x0, 0x22, False),
        (0x21, 0x0, 0x31, False),
        (0x21, 0x0, 0xFF, True),
    ],
)
def test_logical_destinations_are_matched_flat_or_by_cluster(
    ldr: int, dfr: int, destination: int, accepted: bool
) -> None:
    apic = Apic()
    apic.set(reg.LDR, ldr << 24 | 0xFFFFFF)
    apic.set(reg.DFR, dfr << 28)
    assert (apic.get(reg.LDR), apic.get(reg.DFR)) == (ldr << 24, dfr << 28 | 0xFFF_FFFF)
    assert apic.message(destination, reg.FIXED, 0x40, logical=True, level_triggered=False) == accepted
    assert apic.intr == accepted


@pytest.mark.parametrize(("destination", "accepted"), [(5, True), (0xFF, True), (0, False), (4, False)])
def test_physical_destinations_are_the_apic_id_or_all(destination: int, accepted: bool) -> None:
    apic = Apic()
    apic.set(reg.ID, 5 << 24)
    assert apic.message(destination, reg.LOWEST_PRIORITY, 0x40, logical=False, level_triggered=False) == accepted


def test_an_extint_message_waits_for_the_8259_until_it_is_taken() -> None:
    apic = Apic()
    assert send(apic, 0, mode=reg.EXT_INT)
    assert apic.acknowledge() == 0x77
    assert not apic.intr


# Interprocessor interrupts


@pytest.mark.parametrize(
    ("command", "destination", "arrives"),
    [(SELF, 9, True), (ALL, 9, True), (OTHERS, 0, False), (0, 0, True), (0, 0xFF, True), (0, 1, False)],
)
def test_an_ipi_reaches_this_processor_by_shorthand_or_destination(
    command: int, destination: int, arrives: bool
) -> None:
    apic = Apic()
    apic.set(reg.ICR_HIGH, destination << 24)
    apic.set(reg.ICR_LOW, command | 0x4040)
    assert apic.intr == arrives
    assert apic.get(reg.ICR_LOW) == command | 0x4040
    assert apic.get(reg.ICR_HIGH) == destination << 24
    assert apic.vectors(reg.TMR) == 0


def test_an_nmi_can_be_sent_to_oneself_and_init_and_startup_are_ignored() -> None:
    apic = Apic()
    apic.set(reg.ICR_LOW, 0x400)
    assert apic.nmis == 1
    for mode in (reg.SMI, reg.INIT, reg.START_UP):
        apic.set(reg.ICR_LOW, mode << 8 | 0x40)
    assert not apic.intr
    assert apic.nmis == 1
