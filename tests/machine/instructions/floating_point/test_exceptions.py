"""Responses to exceptions (SDM volume 1, 8.5): the state after an unmasked one, and stack faults."""

import struct

import pytest

from machine.instructions.floating_point.execution import execute
from machine.instructions.floating_point.extended import INDEFINITE, INFINITY, ONE, SIGN, SIGNIFICAND
from machine.instructions.floating_point.forms import Access
from machine.instructions.floating_point.state import X87State
from machine.instructions.floating_point.table import MEMORY_FORMS, REGISTER_FORMS
from machine.instructions.floating_point.words import (
    BUSY,
    C0,
    C1,
    C2,
    C3,
    DE,
    ES,
    EXCEPTIONS,
    IE,
    OE,
    PE,
    SF,
    TOP,
    UE,
    ZE,
)  # fmt: skip
from tests.machine.instructions.floating_point.samples import Bytes

LARGEST, SMALLEST = 0x7FFE << 64 | SIGNIFICAND, 1 << 64 | 1 << 63
TWO, HALF = ONE + (1 << 64), ONE - (1 << 64)
ADJUSTMENT = 24576 << 64


def state(*numbers: int, unmasked: int = 0) -> X87State:
    """A state with these numbers, ST(0) first."""
    x87 = X87State()
    x87.set_control(0x37F & ~unmasked)
    for number in reversed(numbers):
        x87.push(number)
    return x87


def run(x87: X87State, opcode: int, modrm: int, memory: bytes = bytes(16)) -> bytes:
    operand = Bytes(memory)
    form = REGISTER_FORMS[opcode, modrm] if modrm >= 0xC0 else MEMORY_FORMS[opcode, modrm >> 3]
    execute(x87, form, operand)
    return bytes(operand.data)


FMUL, FADD, FDIV, FADDP, FSQRT = (0xD8, 0xC9), (0xD8, 0xC1), (0xD8, 0xF1), (0xDE, 0xC1), (0xD9, 0xFA)


def test_masked_overflow_is_infinity_and_inexact() -> None:
    x87 = state(LARGEST, TWO)
    run(x87, *FMUL)
    assert x87.get(0) == INFINITY
    assert x87.status & ~TOP == OE | PE | C1


def test_unmasked_overflow_in_a_register_is_scaled() -> None:
    x87 = state(LARGEST, TWO, unmasked=OE)
    run(x87, *FMUL)
    assert x87.get(0) == LARGEST + (1 << 64) - ADJUSTMENT
    assert x87.status & ~TOP == OE | ES | BUSY


def test_masked_underflow_is_denormal_and_signalled_only_if_inexact() -> None:
    x87 = state(SMALLEST, HALF)
    run(x87, *FMUL)
    assert x87.get(0) == 1 << 62
    assert x87.status & ~TOP == 0
    x87 = state(SMALLEST + 1, HALF)
    run(x87, *FMUL)
    assert x87.get(0) == 1 << 62
    assert x87.status & ~TOP == UE | PE


def test_unmasked_underflow_in_a_register_is_scaled_even_if_exact() -> None:
    x87 = state(SMALLEST, HALF, unmasked=UE)
    run(x87, *FMUL)
    assert x87.get(0) == SMALLEST - (1 << 64) + ADJUSTMENT
    assert x87.status & ~TOP == UE | ES | BUSY


@pytest.mark.parametrize(("number", "unmasked"), [(LARGEST, OE), (SMALLEST, UE)])
@pytest.mark.parametrize(("opcode", "size"), [(0xD9, 4), (0xDD, 8)])
def test_unmasked_overflow_and_underflow_in_memory_store_and_pop_nothing(
    number: int, unmasked: int, opcode: int, size: int
) -> None:
    x87 = state(number, unmasked=unmasked)
    assert run(x87, opcode, 3 << 3 | 6, b"\x55" * 16) == b"\x55" * 16
    assert x87.get(0) == number
    assert x87.top == 7
    assert x87.status & ~TOP == unmasked | ES | BUSY


def test_an_inexact_result_is_stored_although_pe_is_unmasked() -> None:
    x87 = state(ONE + 1, unmasked=PE)
    assert run(x87, 0xD9, 3 << 3 | 6)[:4] == struct.pack("<f", 1.0)
    assert x87.is_empty(-1)
    assert x87.status & ~TOP == PE | ES | BUSY


def test_roundup_is_shown_in_c1() -> None:
    x87 = state(ONE + (3 << 39))
    assert run(x87, 0xD9, 2 << 3 | 6)[:4] == struct.pack("<I", 0x3F80_0002)
    assert x87.status & ~TOP == PE | C1
    x87.set_control(0xF7F)
    assert run(x87, 0xD9, 2 << 3 | 6)[:4] == struct.pack("<I", 0x3F80_0001)
    assert x87.status & ~TOP == PE


@pytest.mark.parametrize(("opcode", "size", "quieted"), [(0xD9, 4, "0100c07f"), (0xDD, 8, "002000000000f87f")])
def test_a_stored_snan_is_quieted_only_if_that_is_masked(opcode: int, size: int, quieted: str) -> None:
    snan = INFINITY | (1 << 40 if size == 4 else 1 << 24)
    for unmasked in (0, DE):
        x87 = state(snan, unmasked=unmasked)
        assert run(x87, opcode, 2 << 3 | 6)[:size].hex() == quieted
        assert x87.status & ~TOP == IE
    x87 = state(snan, unmasked=IE)
    assert run(x87, opcode, 3 << 3 | 6) == bytes(16)
    assert (x87.get(0), x87.status & ~TOP) == (snan, IE | ES | BUSY)


def test_ffree_tags_one_register() -> None:
    x87 = state(ONE, TWO)
    run(x87, 0xDD, 0xC1)
    assert x87.tags == bytes([1, 1, 1, 1, 1, 1, 0, 1])


@pytest.mark.parametrize(("instruction", "numbers", "flag"), [
    (FDIV, (ONE, 0), ZE), (FDIV, (0, 0), IE), (FADD, (INFINITY, SIGN | INFINITY), IE), (FADD, (ONE, 1), DE),
    (FSQRT, (SIGN | ONE,), IE), (FADDP, (INFINITY, SIGN | INFINITY), IE),
])  # fmt: skip
def test_an_unmasked_exception_before_computation_leaves_the_operands(
    instruction: tuple[int, int], numbers: tuple[int, ...], flag: int
) -> None:
    x87 = state(*numbers, unmasked=flag)
    run(x87, *instruction)
    assert [x87.get(index) for index in range(len(numbers))] == list(numbers)
    assert x87.top == 8 - len(numbers)
    assert x87.status & ~TOP == flag | ES | BUSY


@pytest.mark.parametrize(("control", "wanted", "c1"), [
    (0x37F, ONE, 0), (0x07F, ONE, 0), (0x27F, ONE, 0), (0xB7F, ONE + 1, C1), (0xA7F, ONE + (1 << 11), C1),
    (0x87F, ONE + (1 << 40), C1), (0x77F, ONE, 0), (0xF7F, ONE, 0),
])  # fmt: skip
def test_precision_and_rounding_control(control: int, wanted: int, c1: int) -> None:
    """1 + 2**-70."""
    x87 = state(ONE, ONE - (70 << 64))
    x87.set_control(control)
    run(x87, *FADD)
    assert x87.get(0) == wanted
    assert x87.status & ~TOP == PE | c1


PUSHES = [
    (0xD9, 0xE8),
    (0xD9, 0xC1),
    (0xD9, 6),
    (0xDD, 6),
    (0xDB, 6),
    (0xDF, 6),
    (0xDB, 0x2E),
    (0xDF, 0x26),
    (0xDF, 0x2E),
]


@pytest.mark.parametrize(("opcode", "modrm"), PUSHES)
def test_a_push_onto_a_full_stack(opcode: int, modrm: int) -> None:
    x87 = state(*[ONE] * 8)
    run(x87, opcode, modrm)
    assert (x87.get(0), x87.top) == (INDEFINITE, 7)
    assert x87.status & ~TOP == IE | SF | C1
    x87 = state(*[ONE] * 8, unmasked=IE)
    before = x87.save()
    run(x87, opcode, modrm)
    assert x87.status & ~TOP == IE | SF | C1 | ES | BUSY
    x87.set_status(x87.status & ~(EXCEPTIONS | SF | C1))
    assert x87.save() == before


STORES = [
    (0xD9, 0x1E, "0000c0ff"), (0xDD, 0x1E, "000000000000f8ff"), (0xDB, 0x1E, "00000080"), (0xDF, 0x1E, "0080"),
    (0xDB, 0x3E, "00000000000000c0ffff"), (0xDF, 0x36, "00000000000000c0ffff"), (0xDF, 0x3E, "0000000000000080"),
    (0xDD, 0x0E, "0000000000000080"),
]  # fmt: skip


@pytest.mark.parametrize(("opcode", "modrm", "indefinite"), STORES)
def test_a_store_of_an_empty_register(opcode: int, modrm: int, indefinite: str) -> None:
    x87 = state()
    assert run(x87, opcode, modrm).hex().startswith(indefinite)
    assert (x87.status & ~TOP, x87.top) == (IE | SF, 1)
    x87 = state(unmasked=IE)
    assert run(x87, opcode, modrm) == bytes(16)
    assert (x87.status & ~TOP, x87.top) == (IE | SF | ES | BUSY, 0)


def test_an_empty_operand_gives_the_indefinite() -> None:
    x87 = state(ONE)
    run(x87, 0xD8, 0xC3)
    assert x87.get(0) == INDEFINITE
    assert x87.status & ~TOP == IE | SF


def test_a_comparison_with_an_empty_register_is_unordered() -> None:
    x87 = state(ONE)
    run(x87, 0xD8, 0xD3)
    assert x87.status & ~TOP == IE | SF | C0 | C2 | C3


def test_an_ended_comparison_sets_no_condition_and_pops_nothing() -> None:
    x87 = state(INDEFINITE, ONE, unmasked=IE)
    run(x87, 0xDE, 0xD9)
    assert (x87.status & ~TOP, x87.top) == (IE | ES | BUSY, 6)
    x87.flags = 0x8D5
    run(x87, 0xDB, 0xF1)
    assert x87.flags == 0x8D5


def test_masking_and_unmasking_move_es() -> None:
    x87 = state(ONE, 0)
    run(x87, *FDIV)
    assert x87.status & (ZE | ES | BUSY) == ZE
    x87.set_control(0x37B)
    assert x87.is_pending
    assert x87.status & (ES | BUSY) == ES | BUSY
    x87.set_control(0x37F)
    assert not x87.is_pending


class Absent(Bytes):
    """Read-only memory."""

    def write(self, data: bytes) -> None:
        raise LookupError(len(data))


def test_a_fault_of_a_store_changes_nothing() -> None:
    faulted = 0
    for form in MEMORY_FORMS.values():
        x87 = state(ONE + 1, TWO)
        before = x87.save()
        try:
            execute(x87, form, Absent(bytes(128)))
        except LookupError:
            faulted += 1
            assert x87.save() == before
    loads = (Access.LOADS, Access.LOAD_CONTROL, Access.LOAD_ENVIRONMENT, Access.RESTORE)
    assert faulted == sum(form.access not in loads for form in MEMORY_FORMS.values())
