"""LLDT and LTR (SDM volume 2): each condition, and the manual's result."""

import struct

import pytest

from machine.architecture.exceptions import GP, NP, PF, UD
from tests.machine.instructions.processor import (
    ABSENT,
    BEYOND,
    DATA_0,
    GDT,
    LDT,
    LOCAL_TABLE,
    OTHER_TASK,
    TASK,
    TSS_2,
    Mode,
    Processor,
    entry,
)

LLDT, LTR = "0f00d0", "0f00d8"
UPPER = 0xAAAA_AAAA


def processor_with(selector: int, descriptor: bytes = b"", ring: int = 0, mode: Mode = Mode.LONG) -> Processor:
    processor = Processor(mode, ring, {selector & ~7: descriptor} if descriptor else {})
    processor.cpu.registers.rax = selector
    return processor


@pytest.mark.parametrize(
    ("code", "selector", "descriptor", "answer"),
    [
        (LTR, 0, b"", (GP, 0)),
        (LTR, 3, b"", (GP, 0)),
        (LTR, OTHER_TASK | 4, b"", (GP, OTHER_TASK | 4)),
        (LTR, BEYOND, b"", (GP, BEYOND)),
        (LTR, 0xF8, entry(0x89, 0, TSS_2, 0x67), (GP, 0xF8)),  # its second half is beyond the limit
        (LTR, DATA_0, b"", (GP, DATA_0)),
        (LTR, TASK, b"", (GP, TASK)),  # busy
        (LTR, OTHER_TASK, entry(0x81, 0, TSS_2, 0x67), (GP, OTHER_TASK)),  # 16-bit
        (LTR, OTHER_TASK, entry(0x09, 0, TSS_2, 0x67), (NP, OTHER_TASK)),
        (LTR, OTHER_TASK, entry(0x89, 0, TSS_2, 0x67) + struct.pack("<II", UPPER, 0), (GP, OTHER_TASK)),
        (LTR, OTHER_TASK, entry(0x89, 0, TSS_2, 0x67) + struct.pack("<II", 0, 0x100), (GP, OTHER_TASK)),
        (LTR, OTHER_TASK, b"", None),
        (LTR, OTHER_TASK | 3, b"", None),
        (LLDT, 0, b"", None),
        (LLDT, 3, b"", None),
        (LLDT, LOCAL_TABLE | 4, b"", (GP, LOCAL_TABLE | 4)),
        (LLDT, BEYOND, b"", (GP, BEYOND)),
        (LLDT, DATA_0, b"", (GP, DATA_0)),
        (LLDT, LOCAL_TABLE, entry(0x02, 0, LDT, 0xFFF), (NP, LOCAL_TABLE)),
        (LLDT, LOCAL_TABLE, entry(0x82, 0, LDT, 0xFFF) + struct.pack("<II", UPPER, 0), (GP, LOCAL_TABLE)),
        (LLDT, LOCAL_TABLE, b"", None),
    ],
)
def test_in_64_bit_mode(code: str, selector: int, descriptor: bytes, answer: tuple[int, int] | None) -> None:
    processor = processor_with(selector, descriptor)
    assert processor.fault(code) == answer
    if answer is None:
        register = processor.cpu.registers.tr if code == LTR else processor.cpu.registers.ldtr
        assert register.selector == selector


@pytest.mark.parametrize("code", [LTR, LLDT])
def test_they_are_the_supervisors(code: str) -> None:
    assert processor_with(OTHER_TASK, ring=3).fault(code) == (GP, 0)
    processor = processor_with(OTHER_TASK)
    processor.cpu.registers.cr[0] &= ~1
    assert processor.fault(code) == (UD, None)


def test_ltr_marks_the_task_as_busy() -> None:
    processor = processor_with(OTHER_TASK)
    processor.execute(LTR)
    assert processor.ram.read(GDT + OTHER_TASK + 5, 1) == b"\x8b"
    assert (processor.cpu.registers.tr.base, processor.cpu.registers.tr.limit) == (TSS_2, 0x67)


def test_bases_have_64_bits_in_ia_32e_mode_only() -> None:
    descriptor = entry(0x89, 0, TSS_2, 0x67) + struct.pack("<II", 0xFFFF_8000, 0)
    processor = processor_with(OTHER_TASK, descriptor)
    processor.execute(LTR)
    assert processor.cpu.registers.tr.base == 0xFFFF_8000_0000_0000 | TSS_2
    processor = processor_with(OTHER_TASK, descriptor, mode=Mode.PROTECTED)
    processor.execute(LTR)
    assert processor.cpu.registers.tr.base == TSS_2


def test_a_task_of_16_bits_in_protected_mode() -> None:
    processor = processor_with(OTHER_TASK, entry(0x81, 0, TSS_2, 0x2B), mode=Mode.PROTECTED)
    processor.execute(LTR)
    assert processor.ram.read(GDT + OTHER_TASK + 5, 1) == b"\x83"


def test_a_null_selector_leaves_no_local_table() -> None:
    processor = processor_with(LOCAL_TABLE)
    processor.execute(LLDT)
    processor.cpu.registers.rax = 0
    processor.execute(LLDT)
    processor.cpu.registers.rax = 0xC
    assert processor.fault("8ed8") == (GP, 0xC)


def test_the_selector_can_lie_in_memory() -> None:
    processor = Processor()
    processor.cpu.registers.rbx = ABSENT
    assert processor.fault("0f001b") == (PF, 0)
