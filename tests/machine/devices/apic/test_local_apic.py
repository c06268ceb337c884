"""The local APIC (SDM volume 3, "Advanced Programmable Interrupt Controller")."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.devices.apic import registers as reg
from machine.devices.apic.local_apic import LocalApic
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState

vectors = st.integers(16, 255)
SELF, ALL, OTHERS = 1 << 18, 2 << 18, 3 << 18


class Apic(LocalApic):
    """A local APIC, and what came out of it."""

    def __init__(self) -> None:
        super().__init__(Clock(HookState(deadline=NEVER)))
        self.nmis = 0
        self.ended: list[int] = []
        self.told = 0
        self.raise_nmi = self._count_nmi
        self.broadcast_eoi = self.ended.append
        self.acknowledge_external = lambda: 0x77
        self.rescheduled = self._count_told

    def _count_nmi(self) -> None:
        self.nmis += 1

    def _count_told(self) -> None:
        self.told += 1

    def get(self, register: int) -> int:
        return self.read(register, 4)

    def set(self, register: int, value: int) -> None:
        self.write(register, 4, value)

    def eoi(self) -> None:
        self.set(reg.EOI, 0)

    def vectors(self, first: int) -> int:
        return sum(self.get(first + 16 * index) << 32 * index for index in range(8))

    def errors(self) -> int:
        self.set(reg.ESR, 0)
        return self.get(reg.ESR)


def send(apic: Apic, vector: int, *, level_triggered: bool = False, mode: int = reg.FIXED) -> bool:
    return apic.message(0, mode, vector, logical=False, level_triggered=level_triggered)


def test_firmware_hands_it_over_enabled_with_the_8259_at_lint0_and_nmi_at_lint1() -> None:
    apic = Apic()
    registers = (reg.SVR, reg.LVT_LINT0, reg.LVT_LINT1, reg.LVT_TIMER, reg.LVT_ERROR, reg.VERSION, reg.DFR)
    wanted = [0x1FF, 0x8700, 0x8400, 0x10000, 0x10000, 0x50014, 0xFFFF_FFFF]
    assert [apic.get(register) for register in registers] == wanted
    assert apic.apic_base == 0xFEE0_0900


# Priorities


@given(st.lists(vectors, min_size=1, unique=True))
def test_vectors_are_taken_by_priority_and_nest_by_class(requested: list[int]) -> None:
    apic = Apic()
    for wanted in requested:
        apic.request(wanted)
    taken = []
    while apic.intr:
        vector = apic.acknowledge()
        taken.append(vector)
        above = [other for other in requested if other not in taken and other >> 4 > vector >> 4]
        assert apic.intr == bool(above)
        apic.eoi()
    assert taken == sorted(requested, reverse=True)


@given(vectors, st.integers(0, 255))
def test_the_task_priority_masks_its_class_and_below(vector: int, priority: int) -> None:
    apic = Apic()
    apic.set(reg.TPR, priority)
    apic.request(vector)
    assert apic.intr == (vector >> 4 > priority >> 4)
    assert (apic.get(reg.TPR), apic.get(reg.PPR), apic.cr8) == (priority, priority, priority >> 4)
    apic.cr8 = 0
    assert apic.intr
    assert apic.get(reg.TPR) == 0


@given(vectors)
def test_requests_and_service_are_seen_in_irr_and_isr(vector: int) -> None:
    apic = Apic()
    apic.request(vector)
    assert (apic.vectors(reg.IRR), apic.vectors(reg.ISR)) == (1 << vector, 0)
    assert apic.acknowledge() == vector
    assert (apic.vectors(reg.IRR), apic.vectors(reg.ISR), apic.get(reg.PPR)) == (0, 1 << vector, vector & 0xF0)
    apic.eoi()
    assert (apic.vectors(reg.ISR), apic.get(reg.PPR)) == (0, 0)


actions = st.one_of(
    st.tuples(st.just("request"), vectors),
    st.tuples(st.just("tpr"), st.integers(0, 255)),
    st.tuples(st.sampled_from(["acknowledge", "eoi"]), st.just(0)),
)


@given(st.lists(actions, max_size=40))
def test_irr_isr_and_ppr_follow_the_manual_whatever_happens(steps: list[tuple[str, int]]) -> None:
    apic = Apic()
    requested, in_service, task = set[int](), set[int](), 0
    for action, value in steps:
        service = max(in_service, default=0)
        processor = task if task >> 4 >= service >> 4 else service & 0xF0
        deliverable = max(requested, default=0) >> 4 > processor >> 4
        assert (apic.get(reg.PPR), apic.intr) == (processor, deliverable)
        if action == "request":
            apic.request(value)
            requested.add(value)
        elif action == "tpr":
            apic.set(reg.TPR, value)
            task = value
        elif action == "eoi":
            apic.eoi()
            in_service.discard(service)
        else:
            wanted = max(requested) if deliverable else 0xFF
            assert apic.acknowledge() == wanted
            if deliverable:
                requested.remove(wanted)
                in_service.add(wanted)
        assert apic.vectors(reg.IRR) == sum(1 << vector for vector in requested)
        assert apic.vectors(reg.ISR) == sum(1 << vector for vector in in_service)


def test_an_interrupt_that_the_task_priority_masks_before_it_is_taken_becomes_the_spurious_vector() -> None:
    apic = Apic()
    apic.set(reg.SVR, 0x1EF)
    apic.request(0x40)
    apic.set(reg.TPR, 0x50)
    assert apic.acknowledge() == 0xEF
    assert (apic.vectors(reg.ISR), apic.vectors(reg.IRR)) == (0, 1 << 0x40)


def test_eoi_without_service_does_nothing() -> None:
    apic = Apic()
    apic.request(0x40)
    apic.eoi()
    assert apic.intr


def test_the_arbitration_priority_is_the_highest_of_request_and_task() -> None:
    apic = Apic()
    apic.set(reg.TPR, 0x35)
    assert apic.get(reg.APR) == 0x35
    apic.request(0x61)
    assert apic.get(reg.APR) == 0x60


def test_rescheduled_is_called_when_intr_or_the_deadline_changes_and_not_else() -> None:
    apic = Apic()
    apic.request(0x40)
    assert apic.told == 1
    apic.request(0x50)
    apic.set(reg.LVT_TIMER, 0x31)
    assert apic.told == 1
    apic.set(reg.TPR, 0xF0)
    assert apic.told == 2
    apic.set(reg.INITIAL_COUNT, 10)
    assert apic.told == 3


# Enabling and disabling


def test_a_software_disabled_apic_masks_its_entries_and_takes_no_fixed_interrupt() -> None:
    apic = Apic()
    apic.set(reg.SVR, 0xFF)
    apic.set(reg.LVT_TIMER, 0x30)
    assert [apic.get(reg.LVT_TIMER), apic.get(reg.LVT_LINT0)] == [0x10030, 0x18700]
    assert not send(apic, 0x40)
    apic.set_pin(0, True)
    apic.set(reg.ICR_LOW, SELF | 0x40)
    assert not apic.intr
    assert send(apic, 0, mode=reg.NMI)
    assert apic.nmis == 1


def test_software_disabling_holds_what_is_requested() -> None:
    apic = Apic()
    apic.request(0x40)
    apic.set(reg.SVR, 0xFF)
    assert not apic.intr
    apic.set(reg.SVR, 0x1FF)
    assert apic.acknowledge() == 0x40


def test_disabled_in_apic_base_its_registers_float_and_the_pins_are_the_processors() -> None:
    apic = Apic()
    apic.request(0x40)
    apic.set(reg.LVT_LINT0, 0x10000)
    apic.apic_base = 0xFEE0_0000
    apic.set(reg.TPR, 0xF0)
    assert apic.get(reg.TPR) == 0xFFFF_FFFF
    assert not apic.intr
    apic.set_pin(0, True)
    assert apic.intr
    assert apic.acknowledge() == 0x77
    apic.set_pin(1, True)
    assert apic.nmis == 1


def test_enabled_again_in_apic_base_it_is_as_after_power_on() -> None:
    apic = Apic()
    apic.set(reg.TPR, 0x40)
    apic.apic_base = 0
    apic.apic_base = 0xFEE0_0800
    assert [apic.get(register) for register in (reg.TPR, reg.SVR, reg.LVT_LINT0)] == [0, 0xFF, 0x10000]
    assert apic.apic_base == 0xFEE0_0900


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


def test_writing_a_read_only_register_is_no_error_and_changes_nothing() -> None:
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


def test_an_access_that_is_no_aligned_one_of_32_bits_reads_zero_and_is_no_error() -> None:
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
