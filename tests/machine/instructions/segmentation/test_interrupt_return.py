"""IRET, IRETD and IRETQ (SDM volume 2): each form with each condition, and the manual's result."""

import pytest

from machine.architecture.exceptions import GP, NP, PF, SS
from tests.machine.instructions.processor import (
    ABSENT,
    ABSENT_CODE,
    BEYOND,
    CODE_32,
    CODE_32_USER,
    CODE_64,
    CODE_64_USER,
    DATA_0,
    DATA_3,
    KERNEL_STACK,
    LONG_AND_DEFAULT,
    SUPERVISOR,
    USER_STACK,
    Mode,
    Processor,
)

TARGET = 0x3_2000
NOWHERE = 0x8000_0000_0000
IRETQ, IRETD, IRET = "48cf", "cf", "66cf"
IF, NT, RF, VM, AC, IOPL, ID, VIRTUAL = 1 << 9, 1 << 14, 1 << 16, 1 << 17, 1 << 18, 3 << 12, 1 << 21, 3 << 19


@pytest.mark.parametrize(
    ("selector", "stack", "rip", "answer"),
    [
        (CODE_64, DATA_0, TARGET, None),
        (CODE_64, 0, TARGET, None),
        (CODE_64, 1, TARGET, (GP, 0)),  # a null selector whose RPL is not the ring
        (CODE_64, 3, TARGET, (GP, 0)),
        (CODE_32, DATA_0, TARGET, None),
        (CODE_32, 0, TARGET, (GP, 0)),  # compatibility mode needs a stack segment
        (CODE_64, DATA_3, TARGET, (GP, DATA_3)),
        (CODE_64_USER | 3, DATA_3 | 3, TARGET, None),
        (CODE_32_USER | 3, DATA_3 | 3, TARGET, None),
        (CODE_64_USER | 3, 3, TARGET, (GP, 0)),
        (CODE_64_USER | 3, DATA_3, TARGET, (GP, DATA_3)),
        (CODE_64_USER | 3, BEYOND | 3, TARGET, (GP, BEYOND)),
        (CODE_64_USER, DATA_3, TARGET, (GP, CODE_64_USER)),
        (CODE_64_USER | 3, DATA_3 | 3, NOWHERE, (GP, 0)),
        (CODE_64, DATA_0, NOWHERE, (GP, 0)),
        (0, DATA_0, TARGET, (GP, 0)),
        (BEYOND, DATA_0, TARGET, (GP, BEYOND)),
        (DATA_0, DATA_0, TARGET, (GP, DATA_0)),
        (LONG_AND_DEFAULT, DATA_0, TARGET, (GP, LONG_AND_DEFAULT)),
        (ABSENT_CODE, DATA_0, TARGET, (NP, ABSENT_CODE)),
        (CODE_32, DATA_0, 1 << 32, (GP, 0)),
    ],
)
def test_from_64_bit_mode(selector: int, stack: int, rip: int, answer: tuple[int, int] | None) -> None:
    """SS and RSP are always popped."""
    processor = Processor()
    processor.push(stack, USER_STACK, 2, selector, rip)
    assert processor.fault(IRETQ) == answer
    if answer is None:
        registers = processor.cpu.registers
        assert (registers.rip, registers.cs.selector, registers.cpl) == (rip, selector, selector & 3)
        assert (registers.rsp, registers.ss.selector) == (USER_STACK, stack)


@pytest.mark.parametrize(("code", "size"), [(IRETQ, 8), (IRETD, 4), (IRET, 2)])
def test_operand_sizes_of_64_bit_mode(code: str, size: int) -> None:
    processor = Processor()
    processor.push(DATA_0, 0x1234_5678_9ABC, 2, CODE_64, 0x1234_5678_9ABC, size=size)
    processor.execute(code)
    mask = (1 << 8 * size) - 1
    assert (processor.cpu.registers.rip, processor.cpu.registers.rsp) == (0x1234_5678_9ABC & mask,) * 2


@pytest.mark.parametrize("mode", [Mode.COMPATIBILITY, Mode.PROTECTED])
@pytest.mark.parametrize(("code", "size"), [(IRETD, 4), (IRET, 2)])
def test_from_32_bit_code_within_the_ring(mode: Mode, code: str, size: int) -> None:
    processor = Processor(mode)
    processor.push(0x202, CODE_32, 0x2000, size=size)
    processor.execute(code)
    registers = processor.cpu.registers
    assert (registers.rip, registers.rsp, registers.cpl) == (0x2000, KERNEL_STACK, 0)
    assert processor.cpu.rflags == 0x202


@pytest.mark.parametrize("mode", [Mode.COMPATIBILITY, Mode.PROTECTED])
def test_from_32_bit_code_to_ring_3(mode: Mode) -> None:
    processor = Processor(mode)
    processor.push(DATA_3 | 3, USER_STACK, 0x202, CODE_32_USER | 3, TARGET, size=4)
    processor.execute(IRETD)
    registers = processor.cpu.registers
    assert (registers.rip, registers.rsp, registers.cpl) == (TARGET, USER_STACK, 3)


@pytest.mark.parametrize(
    ("rsp", "answer"),
    [(SUPERVISOR, (PF, 5)), (ABSENT, (PF, 4)), (NOWHERE, (SS, 0)), (NOWHERE - 16, (SS, 0)), (ABSENT - 16, (PF, 4))],
)
def test_the_frame_is_read_with_the_rights_of_the_ring(rsp: int, answer: tuple[int, int]) -> None:
    processor = Processor(Mode.LONG, 3)
    processor.cpu.registers.rsp = rsp
    assert processor.fault(IRETQ) == answer


def test_an_absent_stack_segment_is_ss() -> None:
    processor = Processor(Mode.LONG, 0, {DATA_3: b"\xff\xff\0\0\0\x73\xcf\0"})
    processor.push(DATA_3 | 3, USER_STACK, 2, CODE_64_USER | 3, TARGET)
    assert processor.fault(IRETQ) == (SS, DATA_3)


@pytest.mark.parametrize("mode", [Mode.LONG, Mode.COMPATIBILITY])
def test_there_is_no_return_to_a_task_in_ia_32e_mode(mode: Mode) -> None:
    processor = Processor(mode)
    processor.push(DATA_0, KERNEL_STACK, 2, CODE_64, TARGET)
    processor.cpu.rflags = 2 | NT
    assert processor.fault(IRETQ if mode is Mode.LONG else IRETD) == (GP, 0)


def test_virtual_8086_mode_is_refused() -> None:
    processor = Processor(Mode.PROTECTED)
    processor.push(VM, CODE_32, TARGET, size=4)
    assert processor.fault(IRETD) == (GP, 0)


@pytest.mark.parametrize("mode", [Mode.LONG, Mode.COMPATIBILITY, Mode.PROTECTED])
@pytest.mark.parametrize("ring", [0, 3])
def test_vm_is_not_loaded_in_ia_32e_mode_and_by_outer_rings(mode: Mode, ring: int) -> None:
    if mode is Mode.PROTECTED and ring == 0:
        return  # the only case in which it counts
    processor = Processor(mode, ring)
    registers = processor.cpu.registers
    code, stack = registers.cs.selector, registers.ss.selector
    processor.push(*(stack, registers.rsp) if mode is Mode.LONG else (), VM | 2, code, TARGET, size=4)
    processor.execute(IRETD)
    assert processor.cpu.rflags == 2


@pytest.mark.parametrize(
    ("ring", "rflags", "size", "loaded"),
    [
        (0, 0, 8, IF | NT | RF | AC | IOPL | ID | VIRTUAL | 0xDD5),
        (0, 0, 4, IF | NT | RF | AC | IOPL | ID | VIRTUAL | 0xDD5),
        (0, 0, 2, IF | NT | IOPL | 0xDD5),
        (0, IOPL, 8, IF | NT | RF | AC | IOPL | ID | VIRTUAL | 0xDD5),
        (3, 0, 8, NT | RF | AC | ID | 0xDD5),
        (3, IOPL, 8, IF | NT | RF | AC | ID | 0xDD5),
        (3, 2 << 12, 8, NT | RF | AC | ID | 0xDD5),
        (3, IOPL, 2, IF | NT | 0xDD5),
    ],
)
def test_which_flags_are_loaded(ring: int, rflags: int, size: int, loaded: int) -> None:
    """By the previous ring and IOPL, and the operand size; all others are unchanged."""
    every = 0x3D_7FD5
    for old, image in ((rflags | 2, 2**64 - 1), (every & ~IOPL & ~NT | rflags | 2, 0)):
        processor = Processor(Mode.LONG, ring)
        registers = processor.cpu.registers
        processor.push(registers.ss.selector, USER_STACK, image & ~2, registers.cs.selector, 0x2000, size=size)
        processor.cpu.rflags = old
        processor.execute({8: IRETQ, 4: IRETD, 2: IRET}[size])
        assert processor.cpu.rflags == old & ~loaded | image & loaded


def test_segments_that_ring_3_may_not_keep_become_null_but_keep_their_bases() -> None:
    processor = Processor()
    registers = processor.cpu.registers
    processor.load("fs", DATA_0)
    processor.load("gs", DATA_0)
    registers.fs.base, registers.gs.base = 0x6789_A000, 0x1234_5000
    registers.es.load(1, 0, 0, 0)
    processor.load("ds", DATA_3 | 3)
    processor.push(DATA_3 | 3, USER_STACK, 2, CODE_64_USER | 3, TARGET)
    processor.execute(IRETQ)
    assert (registers.fs.selector, registers.gs.selector, registers.es.selector) == (0, 0, 0)
    assert (registers.fs.base, registers.gs.base) == (0x6789_A000, 0x1234_5000)
    assert registers.ds.selector == DATA_3 | 3


def test_a_return_within_the_ring_keeps_all_segments() -> None:
    processor = Processor()
    processor.load("gs", DATA_0)
    processor.push(DATA_0, KERNEL_STACK, 2, CODE_64, TARGET)
    processor.execute(IRETQ)
    assert processor.cpu.registers.gs.selector == DATA_0
