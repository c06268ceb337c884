"""LAR, LSL, VERR and VERW (SDM volume 2): ZF for each kind of descriptor, and the loaded value."""

import pytest

from machine.architecture.exceptions import UD
from tests.machine.instructions.processor import (
    BEYOND,
    CODE_64,
    CODE_64_USER,
    CONFORMING,
    DATA_0,
    DATA_3,
    EXECUTE_ONLY,
    READ_ONLY_DATA,
    Mode,
    Processor,
    entry,
)

LAR, LSL, VERR, VERW = "0f02c8", "0f03c8", "0f00e0", "0f00e8"
PROBED = 0x10
BOTH, RIGHTS_ONLY = {2, 9, 0xB}, {0xC}
BOTH_PROTECTED, RIGHTS_ONLY_PROTECTED = {1, 2, 3, 9, 0xB}, {4, 5, 0xC}


def zero(processor: Processor, code: str, selector: int) -> bool:
    """ZF after an instruction, which must not depend on the previous ZF, nor change another flag."""
    registers, found = processor.cpu.registers, set()
    for before in (0x897, 0x8D7):
        registers.rax, registers.rcx = selector, 0x1122_3344_5566_7788
        processor.cpu.rflags = before
        processor.execute(code)
        assert processor.cpu.rflags & ~0x40 == 0x897
        found.add(bool(processor.cpu.rflags & 0x40))
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("kind", range(16))
def test_system_descriptors(mode: Mode, kind: int) -> None:
    """Only active IA-32e mode counts, not its enabling, nor other bits of EFER."""
    processor = Processor(mode, 0, {PROBED: entry(0x80 | kind, 8, 0, 0x12)})
    processor.cpu.registers.efer |= 0x901  # SCE, LME, NXE
    both, rights_only = (BOTH, RIGHTS_ONLY) if mode.long else (BOTH_PROTECTED, RIGHTS_ONLY_PROTECTED)
    assert zero(processor, LSL, PROBED) == (kind in both)
    assert processor.cpu.registers.rcx == (0x1_2FFF if kind in both else 0x1122_3344_5566_7788)
    assert zero(processor, LAR, PROBED) == (kind in both | rights_only)
    if kind in both | rights_only:
        assert processor.cpu.registers.rcx == 0x80_8000 | kind << 8
    assert not zero(processor, VERR, PROBED)
    assert not zero(processor, VERW, PROBED)


@pytest.mark.parametrize(
    ("ring", "selector", "visible", "readable", "writable"),
    [
        (0, 0, False, False, False),
        (0, 3, False, False, False),
        (0, BEYOND, False, False, False),
        (0, DATA_0 | 4, False, False, False),
        (0, DATA_0, True, True, True),
        (0, DATA_0 | 1, False, False, False),
        (3, DATA_0, False, False, False),
        (3, DATA_3 | 3, True, True, True),
        (3, READ_ONLY_DATA, True, True, False),
        (3, CODE_64_USER, True, True, False),
        (3, CODE_64, False, False, False),
        (3, EXECUTE_ONLY, True, False, False),
        (3, CONFORMING | 3, True, True, False),
    ],
)
def test_code_and_data(ring: int, selector: int, visible: bool, readable: bool, writable: bool) -> None:
    processor = Processor(Mode.LONG, ring)
    assert zero(processor, LAR, selector) == visible
    assert zero(processor, LSL, selector) == visible
    assert zero(processor, VERR, selector) == readable
    assert zero(processor, VERW, selector) == writable


@pytest.mark.parametrize(
    ("prefix", "expected"), [("66", 0x1122_3344_5566_FFFF), ("", 0xFFFF_FFFF), ("48", 0xFFFF_FFFF)]
)
def test_operand_sizes(prefix: str, expected: int) -> None:
    processor = Processor()
    assert zero(processor, prefix + LSL, DATA_0)
    assert processor.cpu.registers.rcx == expected


def test_they_are_undefined_in_real_mode() -> None:
    for code in (LAR, LSL, VERR, VERW):
        processor = Processor()
        processor.cpu.registers.cr[0] &= ~1
        assert processor.fault(code) == (UD, None)
