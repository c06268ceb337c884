"""The 8259A pair (Intel 8259A data sheet), compared with a model of its priorities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.devices.legacy.pic8259 import Pic8259, PicPair

FIRST, SECOND, ELCR = 0, 2, 4
NON_SPECIFIC_EOI, ROTATE_ON_EOI, ROTATE_IN_AUTO_EOI, SET_PRIORITY, SPECIFIC_EOI = 0x20, 0xA0, 0x80, 0xC0, 0x60
READ_IRR, READ_ISR, POLL, SET_SPECIAL_MASK, RESET_SPECIAL_MASK = 0x0A, 0x0B, 0x0C, 0x68, 0x48


class Pair(PicPair):
    """A pair with vectors from 0x20 and 0x28, nothing masked, and the level of its INT output."""

    def __init__(self, icw4: int = 0x01) -> None:
        super().__init__()
        self.intr = False
        self.output = self._set_intr
        for chip, base, wiring in ((FIRST, 0x20, 0x04), (SECOND, 0x28, 0x02)):
            self.write(chip, 1, 0x11)
            for word in (base, wiring, icw4, 0):
                self.write(chip + 1, 1, word)

    def _set_intr(self, level: bool) -> None:
        self.intr = level

    def pulse(self, *irqs: int) -> None:
        for irq in irqs:
            self.set_irq(irq, True)
            self.set_irq(irq, False)

    def irr(self, chip: int = FIRST) -> int:
        self.write(chip, 1, READ_IRR)
        return self.read(chip, 1)

    def isr(self, chip: int = FIRST) -> int:
        self.write(chip, 1, READ_ISR)
        return self.read(chip, 1)

    def drain(self) -> list[int]:
        """Take and end everything; the vectors."""
        taken = []
        while self.intr:
            taken.append(self.acknowledge())
            if taken[-1] >= 0x28:
                self.write(SECOND, 1, NON_SPECIFIC_EOI)
            self.write(FIRST, 1, NON_SPECIFIC_EOI)
        return taken


def test_firmware_hands_it_over_masked_with_vectors_from_08_and_70() -> None:
    pair = PicPair()
    levels: list[bool] = []
    pair.output = levels.append
    assert [pair.read(chip + 1, 1) for chip in (FIRST, SECOND)] == [0xFF, 0xFF]
    for irq in (0, 8):
        pair.set_irq(irq, True)
    assert not any(levels)
    pair.write(FIRST + 1, 1, 0xFB)
    pair.write(SECOND + 1, 1, 0xFE)
    assert pair.acknowledge() == 0x70
    pair.write(FIRST, 1, NON_SPECIFIC_EOI)
    pair.write(FIRST + 1, 1, 0xFE)
    assert pair.acknowledge() == 0x08


def test_icw1_clears_masks_services_and_edges_and_expects_icw2_to_icw4() -> None:
    pair = Pair()
    pair.set_irq(3, True)
    pair.acknowledge()
    pair.pulse(5)
    pair.write(FIRST + 1, 1, 0xAA)
    pair.write(FIRST, 1, 0x11)
    assert (pair.irr(), pair.isr(), pair.read(FIRST + 1, 1)) == (0, 0, 0)
    for word in (0x47, 0x04, 0x01):
        pair.write(FIRST + 1, 1, word)
    assert pair.read(FIRST + 1, 1) == 0
    pair.pulse(1)
    assert pair.acknowledge() == 0x41  # the low three bits of ICW2 are the IR's


@pytest.mark.parametrize(("icw1", "words"), [(0x10, 2), (0x11, 3), (0x12, 1), (0x13, 2)])
def test_icw3_is_for_cascades_and_icw4_for_who_asks_for_it(icw1: int, words: int) -> None:
    chip = Pic8259(0, 0xFF)
    chip.write(0, icw1)
    for _ in range(words):
        chip.write(1, 0x08)
    assert chip.imr == 0
    chip.write(1, 0x55)
    assert chip.imr == 0x55


def test_requests_are_taken_by_priority_irq_8_to_15_in_place_of_irq_2() -> None:
    pair = Pair()
    irqs = (0, 1, 3, 4, 5, 6, 7, *range(8, 16))
    pair.pulse(*irqs)
    assert pair.drain() == [0x20, 0x21, *range(0x28, 0x30), *range(0x23, 0x28)]


@given(st.integers(0, 0xFF), st.integers(0, 0xFF))
def test_a_masked_request_waits_in_irr(requests: int, mask: int) -> None:
    requests &= ~4
    pair = Pair()
    pair.write(FIRST + 1, 1, mask)
    pair.pulse(*(irq for irq in range(8) if requests >> irq & 1))
    assert pair.irr() == requests
    assert pair.drain() == [0x20 + irq for irq in range(8) if (requests & ~mask) >> irq & 1]
    pair.write(FIRST + 1, 1, 0)
    assert pair.drain() == [0x20 + irq for irq in range(8) if (requests & mask) >> irq & 1]


def test_an_interrupt_in_service_blocks_its_level_and_those_below() -> None:
    pair = Pair()
    pair.pulse(4)
    assert pair.acknowledge() == 0x24
    pair.pulse(4, 5)
    assert not pair.intr
    pair.pulse(3)
    assert pair.acknowledge() == 0x23
    assert pair.isr() == 0x18


def test_a_non_specific_eoi_ends_the_highest_in_service_a_specific_one_the_one_named() -> None:
    pair = Pair()
    for irq in (5, 3):
        pair.pulse(irq)
        pair.acknowledge()
    pair.write(FIRST, 1, NON_SPECIFIC_EOI)
    assert pair.isr() == 1 << 5
    pair.pulse(3)
    pair.acknowledge()
    pair.write(FIRST, 1, SPECIFIC_EOI | 5)
    assert pair.isr() == 1 << 3


def test_an_edge_is_one_request_and_a_level_that_stays_is_not_another() -> None:
    pair = Pair()
    pair.set_irq(5, True)
    assert pair.drain() == [0x25]
    pair.set_irq(5, True)
    assert not pair.intr
    pair.set_irq(5, False)
    pair.set_irq(5, True)
    assert pair.intr


def test_elcr_makes_inputs_level_triggered_but_not_those_of_the_board() -> None:
    pair = Pair()
    pair.write(ELCR, 1, 0xFF)
    pair.write(ELCR + 1, 1, 0xFF)
    assert (pair.read(ELCR, 1), pair.read(ELCR + 1, 1)) == (0xF8, 0xDE)
    pair.set_irq(5, True)
    assert pair.acknowledge() == 0x25
    pair.write(FIRST, 1, NON_SPECIFIC_EOI)
    assert pair.acknowledge() == 0x25  # still asserted
    pair.set_irq(5, False)
    pair.write(FIRST, 1, NON_SPECIFIC_EOI)
    assert not pair.intr


def test_a_level_that_has_gone_at_the_acknowledgement_is_the_spurious_irq_7() -> None:
    pair = Pair()
    pair.write(ELCR, 1, 0x20)
    pair.set_irq(5, True)
    pair.set_irq(5, False)
    assert pair.acknowledge() == 0x27
    assert pair.isr() == 0


def test_a_request_of_the_second_that_has_gone_is_the_spurious_irq_15_and_serves_the_cascade() -> None:
    pair = Pair()
    pair.pulse(9)
    pair.write(SECOND + 1, 1, 0xFF)
    assert pair.acknowledge() == 0x2F
    assert (pair.isr(FIRST), pair.isr(SECOND)) == (1 << 2, 0)


def test_the_second_requests_again_after_its_eoi_for_what_waits() -> None:
    pair = Pair()
    pair.pulse(9, 12)
    assert pair.acknowledge() == 0x29
    pair.write(FIRST, 1, NON_SPECIFIC_EOI)
    assert not pair.intr
    pair.write(SECOND, 1, NON_SPECIFIC_EOI)
    assert pair.acknowledge() == 0x2C


def test_special_fully_nested_mode_lets_a_higher_request_of_the_second_through() -> None:
    for icw4, nested in ((0x01, False), (0x11, True)):
        pair = Pair(icw4)
        pair.pulse(12)
        assert pair.acknowledge() == 0x2C
        pair.pulse(9)
        assert pair.intr == nested
        pair.pulse(3)
        assert pair.intr == nested  # what is below the cascade still waits


def test_automatic_eoi_leaves_nothing_in_service() -> None:
    pair = Pair(0x03)
    pair.pulse(3, 4, 9, 12)
    assert [pair.acknowledge() for _ in range(4)] == [0x29, 0x2C, 0x23, 0x24]
    assert (pair.isr(), pair.isr(SECOND), pair.intr) == (0, 0, False)


def test_rotation_in_automatic_eoi_mode_gives_the_one_served_the_lowest_priority() -> None:
    pair = Pair(0x03)
    pair.write(FIRST, 1, ROTATE_IN_AUTO_EOI)
    pair.pulse(3, 5)
    assert pair.acknowledge() == 0x23
    pair.pulse(3, 4)
    assert [pair.acknowledge() for _ in range(3)] == [0x24, 0x25, 0x23]
    pair.write(FIRST, 1, 0)  # clear
    pair.pulse(3)
    pair.acknowledge()
    pair.pulse(3, 4)
    assert pair.acknowledge() == 0x24


def test_rotation_on_eoi_and_set_priority() -> None:
    pair = Pair()
    pair.pulse(4)
    pair.acknowledge()
    pair.write(FIRST, 1, ROTATE_ON_EOI)
    pair.pulse(3, 4, 5)
    assert pair.acknowledge() == 0x25
    pair.write(FIRST, 1, NON_SPECIFIC_EOI)
    pair.write(FIRST, 1, SET_PRIORITY | 3)
    assert pair.acknowledge() == 0x24
    pair.write(FIRST, 1, 0xE0 | 4)  # rotate on specific EOI
    assert pair.isr() == 0
    assert pair.acknowledge() == 0x23


def test_special_mask_mode_lets_lower_levels_through_while_a_masked_one_is_in_service() -> None:
    pair = Pair()
    pair.pulse(3)
    pair.acknowledge()
    pair.write(FIRST + 1, 1, 1 << 3)
    pair.pulse(6)
    assert not pair.intr
    pair.write(FIRST, 1, SET_SPECIAL_MASK)
    assert pair.acknowledge() == 0x26
    pair.write(FIRST, 1, NON_SPECIFIC_EOI)
    assert pair.isr() == 1 << 3  # masked: a non-specific EOI does not reach it
    pair.write(FIRST, 1, NON_SPECIFIC_EOI)
    assert pair.isr() == 1 << 3
    pair.write(FIRST, 1, RESET_SPECIAL_MASK)
    pair.write(FIRST, 1, NON_SPECIFIC_EOI)
    assert pair.isr() == 0


def test_a_poll_acknowledges_and_says_which() -> None:
    pair = Pair()
    pair.pulse(5)
    pair.write(FIRST, 1, POLL)
    assert pair.read(FIRST, 1) == 0x85
    assert pair.isr() == 1 << 5
    pair.write(FIRST, 1, POLL)
    assert pair.read(FIRST, 1) == 0
    assert pair.isr() == 1 << 5
    assert pair.read(FIRST + 1, 1) == 0


def test_the_register_read_stays_chosen() -> None:
    pair = Pair()
    pair.pulse(5, 6)
    pair.acknowledge()
    assert pair.isr() == 1 << 5
    assert pair.read(FIRST, 1) == 1 << 5
    assert pair.irr() == 1 << 6
    assert pair.read(FIRST, 1) == 1 << 6


# The priority logic against a model in lists


class Model:
    """One controller in fully nested mode; `order` lists the IRs from the highest priority down."""

    def __init__(self) -> None:
        self.order = list(range(8))
        self.requested, self.in_service, self.masked = set[int](), set[int](), set[int]()

    def wanted(self) -> int | None:
        for ir in self.order:
            if ir in self.in_service:
                return None
            if ir in self.requested - self.masked:
                return ir
        return None

    def rotate(self, lowest: int) -> None:
        while self.order[-1] != lowest:
            self.order.append(self.order.pop(0))

    def highest_in_service(self) -> int | None:
        return next((ir for ir in self.order if ir in self.in_service), None)


irs = st.integers(0, 7)
steps = st.one_of(
    st.tuples(st.just("edge"), irs),
    st.tuples(st.just("mask"), st.integers(0, 255)),
    st.tuples(st.sampled_from(["take", "eoi", "rotate"]), st.just(0)),
    st.tuples(st.sampled_from(["end", "priority"]), irs),
)


@given(st.lists(steps, max_size=60))
def test_priorities_are_those_of_the_data_sheet_whatever_happens(actions: list[tuple[str, int]]) -> None:
    chip, model = Pic8259(0, 0xFF), Model()
    chip.imr = 0
    for action, value in actions:
        if action == "edge":
            chip.set_input(value, True)
            chip.set_input(value, False)
            model.requested.add(value)
        elif action == "mask":
            chip.write(1, value)
            model.masked = {ir for ir in range(8) if value >> ir & 1}
        elif action == "take":
            wanted = model.wanted()
            assert chip.acknowledge() == (7 if wanted is None else wanted)
            if wanted is not None:
                model.requested.remove(wanted)
                model.in_service.add(wanted)
        elif action in ("eoi", "rotate"):
            chip.write(0, NON_SPECIFIC_EOI if action == "eoi" else ROTATE_ON_EOI)
            served = model.highest_in_service()
            if served is not None:
                model.in_service.remove(served)
                if action == "rotate":
                    model.rotate(served)
        elif action == "end":
            chip.write(0, SPECIFIC_EOI | value)
            model.in_service.discard(value)
        else:
            chip.write(0, SET_PRIORITY | value)
            model.rotate(value)
        assert chip.requested() == model.wanted()
        assert chip.isr == sum(1 << ir for ir in model.in_service)
