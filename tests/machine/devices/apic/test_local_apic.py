"""The local APIC: priorities and enabling (SDM volume 3, "Advanced Programmable Interrupt Controller")."""

from hypothesis import given
from hypothesis import strategies as st

from machine.devices.apic import registers as reg
from tests.machine.devices.apic.watched_apic import SELF, Apic, send, vectors


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
