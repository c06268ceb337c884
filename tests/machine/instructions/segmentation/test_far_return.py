"""Far RET (SDM volume 2): each form with each condition, and the manual's result."""

import pytest

from machine.architecture.exceptions import AC, GP, NP, PF, SS
from tests.machine.instructions.processor import (
    ABSENT,
    ABSENT_CODE,
    ABSENT_DATA,
    BEYOND,
    CODE_32,
    CODE_32_USER,
    CODE_64,
    CODE_64_USER,
    CONFORMING,
    CONFORMING_3,
    DATA_0,
    DATA_3,
    KERNEL_STACK,
    LONG_AND_DEFAULT,
    READ_ONLY_DATA,
    SHORT_CODE,
    STACK_16,
    SUPERVISOR,
    USER_STACK,
    Mode,
    Processor,
    entry,
)

TARGET = 0x3_2000
NOWHERE = 0x8000_0000_0000
RET, RET_16 = "48cb", "48ca1000"


@pytest.mark.parametrize(
    ("ring", "selector", "rip", "answer"),
    [
        (0, 0, TARGET, (GP, 0)),
        (0, BEYOND, TARGET, (GP, BEYOND)),
        (0, DATA_0, TARGET, (GP, DATA_0)),
        (0, CODE_64, TARGET, None),
        (0, CODE_64 | 3, TARGET, (GP, CODE_64)),  # RPL is not DPL
        (3, CODE_64, TARGET, (GP, CODE_64)),  # inwards
        (3, CODE_64_USER | 3, TARGET, None),
        (3, CODE_64_USER, TARGET, (GP, CODE_64_USER)),
        (0, CONFORMING, TARGET, None),
        (3, CONFORMING | 3, TARGET, None),
        (0, CONFORMING_3, TARGET, (GP, CONFORMING_3)),
        (0, LONG_AND_DEFAULT, TARGET, (GP, LONG_AND_DEFAULT)),
        (0, ABSENT_CODE, TARGET, (NP, ABSENT_CODE)),
        (0, CODE_64, NOWHERE, (GP, 0)),
        (0, SHORT_CODE, 0x1000, (GP, 0)),
        (0, SHORT_CODE, 0xFFF, None),
    ],
)
def test_within_the_ring(ring: int, selector: int, rip: int, answer: tuple[int, int] | None) -> None:
    processor = Processor(Mode.LONG, ring)
    rsp = processor.cpu.registers.rsp
    processor.push(0, 0, selector, rip)
    assert processor.fault(RET_16) == answer
    if answer is None:
        registers = processor.cpu.registers
        assert (registers.rip, registers.cs.selector, registers.rsp) == (rip, selector, rsp)


@pytest.mark.parametrize(
    ("selector", "stack", "rip", "answer"),
    [
        (CODE_64_USER, DATA_3 | 3, TARGET, None),
        (CODE_32_USER, DATA_3 | 3, TARGET, None),
        (CODE_64_USER, 0, TARGET, (GP, 0)),
        (CODE_64_USER, 3, TARGET, (GP, 0)),
        (CODE_64_USER, BEYOND | 3, TARGET, (GP, BEYOND)),
        (CODE_64_USER, DATA_3, TARGET, (GP, DATA_3)),
        (CODE_64_USER, DATA_0 | 3, TARGET, (GP, DATA_0)),
        (CODE_64_USER, READ_ONLY_DATA | 3, TARGET, (GP, READ_ONLY_DATA)),
        (CODE_64_USER, CODE_64_USER | 3, TARGET, (GP, CODE_64_USER)),
        (CODE_64_USER, DATA_3 | 3, NOWHERE, (GP, 0)),
    ],
)
def test_to_ring_3(selector: int, stack: int, rip: int, answer: tuple[int, int] | None) -> None:
    """The parameters are released from both stacks."""
    processor = Processor()
    processor.push(stack, USER_STACK, 0, 0, selector | 3, rip)
    assert processor.fault(RET_16) == answer
    if answer is None:
        registers = processor.cpu.registers
        assert (registers.rip, registers.cs.selector, registers.cpl) == (rip, selector | 3, 3)
        assert (registers.rsp, registers.ss.selector) == (USER_STACK + 16, stack)


def test_a_stack_segment_that_is_absent_is_ss() -> None:
    processor = Processor(Mode.LONG, 0, {ABSENT_DATA: b"\xff\xff\0\0\0\x73\xcf\0"})
    processor.push(ABSENT_DATA | 3, USER_STACK, CODE_64_USER | 3, TARGET)
    assert processor.fault(RET) == (SS, ABSENT_DATA)


@pytest.mark.parametrize(("ring", "stack", "answer"), [(1, 1, None), (1, 0, (GP, 0)), (2, 1, (GP, 0))])
def test_null_stack_segments_of_rings_1_and_2(ring: int, stack: int, answer: tuple[int, int] | None) -> None:
    """64-bit mode has them, with the ring as RPL."""
    code = bytearray(b"\xff\xff\0\0\0\x9b\xaf\0")
    code[5] |= ring << 5
    processor = Processor(Mode.LONG, 0, {CODE_64_USER: bytes(code)})
    processor.push(stack, USER_STACK, CODE_64_USER | ring, TARGET)
    assert processor.fault(RET) == answer
    if answer is None:
        assert (processor.cpu.registers.cpl, processor.cpu.registers.ss.flags >> 13 & 3) == (ring, ring)


def test_a_null_stack_segment_is_not_for_compatibility_mode() -> None:
    processor = Processor(Mode.LONG, 0, {CODE_32_USER: b"\xff\xff\0\0\0\xbb\xcf\0"})
    processor.push(1, USER_STACK, CODE_32_USER | 1, TARGET)
    assert processor.fault(RET) == (GP, 0)


@pytest.mark.parametrize(
    ("rsp", "answer"),
    [(SUPERVISOR, (PF, 5)), (ABSENT, (PF, 4)), (NOWHERE, (SS, 0)), (NOWHERE - 8, (SS, 0)), (2**64 - 8, (PF, 4))],
)
def test_the_stack_is_read_with_the_rights_of_the_ring(rsp: int, answer: tuple[int, int]) -> None:
    processor = Processor(Mode.LONG, 3)
    processor.cpu.registers.rsp = rsp
    assert processor.fault(RET) == answer


def test_the_stack_limit_is_that_of_all_that_is_popped() -> None:
    processor = Processor(Mode.PROTECTED)
    processor.push(DATA_3 | 3, USER_STACK, CODE_32_USER | 3, TARGET, size=4)
    processor.cpu.registers.ss.limit = KERNEL_STACK - 2
    assert processor.fault("cb") == (SS, 0)
    processor.cpu.registers.ss.limit = KERNEL_STACK - 1
    assert processor.fault("cb") is None


@pytest.mark.parametrize(("code", "size"), [("cb", 4), ("66cb", 2)])
def test_operand_sizes(code: str, size: int) -> None:
    processor = Processor(Mode.PROTECTED)
    processor.push(CODE_32, 0x1234_5678, size=size)
    processor.execute(code)
    assert processor.cpu.registers.rip == 0x1234_5678 & (1 << 8 * size) - 1
    assert processor.cpu.registers.rsp == KERNEL_STACK


def test_a_stack_of_16_bits_keeps_the_upper_half_of_esp() -> None:
    processor = Processor(Mode.PROTECTED, 0, {STACK_16: b"\xff\xff\0\0\0\xf3\0\0"})
    processor.push(STACK_16 | 3, 0x8000, CODE_32_USER | 3, TARGET, size=4)
    processor.execute("cb")
    assert processor.cpu.registers.rsp == KERNEL_STACK & 0xFFFF_0000 | 0x8000


def test_segments_that_ring_3_may_not_keep_become_null_but_keep_their_bases() -> None:
    processor = Processor()
    registers = processor.cpu.registers
    processor.load("fs", DATA_0)
    processor.load("gs", DATA_0)
    registers.fs.base, registers.gs.base = 0x6789_A000, 0x1234_5000
    processor.load("ds", DATA_3 | 3)
    processor.load("es", CONFORMING)
    processor.push(DATA_3 | 3, USER_STACK, CODE_64_USER | 3, TARGET)
    processor.execute(RET)
    assert (registers.fs.selector, registers.gs.selector) == (0, 0)
    assert (registers.fs.base, registers.gs.base) == (0x6789_A000, 0x1234_5000)
    assert (registers.ds.selector, registers.es.selector) == (DATA_3 | 3, CONFORMING)


@pytest.mark.parametrize(
    ("ring", "am", "ac", "answer"), [(3, 1, 1, (AC, 0)), (3, 0, 1, None), (3, 1, 0, None), (0, 1, 1, None)]
)
def test_alignment_is_checked_in_ring_3(ring: int, am: int, ac: int, answer: tuple[int, int] | None) -> None:
    processor = Processor(Mode.LONG, ring)
    registers = processor.cpu.registers
    registers.rsp -= 4
    processor.push(registers.cs.selector, TARGET)
    registers.cr[0] |= am << 18
    processor.cpu.rflags |= ac << 18
    assert processor.fault(RET) == answer


@pytest.mark.parametrize(("selector", "answer"), [(CODE_64, (GP, CODE_64)), (CODE_64 | 1, (GP, CODE_64)), (0, (GP, 0))])
def test_an_inner_ring_is_refused_before_the_outer_stack_is_read(selector: int, answer: tuple[int, int]) -> None:
    """The stack ends before an absent page, and the parameters reach into it."""
    processor = Processor(Mode.LONG, 3)
    processor.cpu.registers.rsp = ABSENT
    processor.push(selector, TARGET)
    assert processor.fault(RET_16) == answer


@pytest.mark.parametrize("outwards", [False, True])
@pytest.mark.parametrize("code", [RET, "48cf"])
def test_code_of_64_bits_has_no_base(code: str, outwards: bool) -> None:
    selector, access = (CODE_64_USER | 3, 0xFB) if outwards else (CODE_64, 0x9B)
    processor = Processor(Mode.LONG, 0, {selector & ~3: entry(access, 0xA, base=0x12_3000)})
    words = (TARGET, selector) if code == RET else (TARGET, selector, 2)
    stack = DATA_3 | 3 if outwards else DATA_0
    processor.push(*reversed((*words, USER_STACK, stack)))
    assert processor.fault(code) is None
    registers = processor.cpu.registers
    assert (registers.cs.selector, registers.cs.base, processor.cpu.linear_rip) == (selector, 0, TARGET)
