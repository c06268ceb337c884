"""Far CALL and JMP (SDM volume 2): each form with each condition, and the manual's result."""

import struct

import pytest

from machine.architecture.exceptions import GP, NP, PF, SS, TS, PageFault
from tests.machine.instructions.processor import (
    ABSENT,
    ABSENT_CODE,
    BEYOND,
    CODE,
    CODE_16,
    CODE_32,
    CODE_32_USER,
    CODE_64,
    CODE_64_USER,
    CONFORMING,
    CONFORMING_3,
    DATA,
    DATA_0,
    DATA_1,
    DATA_3,
    GATE,
    GDT,
    KERNEL_STACK,
    LDT,
    LOCAL_TABLE,
    LONG_AND_DEFAULT,
    READ_ONLY,
    SHORT_CODE,
    SUPERVISOR,
    TASK,
    TSS,
    USER_STACK,
    Mode,
    Processor,
    entry,
    gate,
)

TARGET = 0x3_2000
NOWHERE = 0x8000_0000_0000
CALL, JUMP = 3, 5


def indirect(processor: Processor, operation: int, selector: int, offset: int = TARGET, size: int = 8) -> str:
    """CALL or JMP through a far pointer at DATA."""
    processor.ram.write(DATA, (offset & (1 << 8 * size) - 1).to_bytes(size, "little") + struct.pack("<H", selector))
    processor.cpu.registers.rbx = DATA
    return {2: "66", 4: "", 8: "48"}[size] + f"ff{operation << 3 | 3:02x}"


@pytest.mark.parametrize("operation", [CALL, JUMP])
@pytest.mark.parametrize(
    ("ring", "selector", "answer"),
    [
        (0, 0, (GP, 0)),
        (0, 3, (GP, 0)),
        (0, BEYOND, (GP, BEYOND)),
        (0, 4 | CODE_64, (GP, 4 | CODE_64)),  # there is no LDT
        (0, CODE_64, None),
        (0, CODE_64 | 1, (GP, CODE_64)),  # RPL beyond CPL
        (0, CODE_64_USER, (GP, CODE_64_USER)),
        (3, CODE_64_USER, None),
        (3, CODE_64_USER | 3, None),
        (3, CODE_64, (GP, CODE_64)),
        (3, CONFORMING, None),
        (3, CONFORMING | 3, None),
        (0, CONFORMING | 3, None),
        (0, CONFORMING_3, (GP, CONFORMING_3)),
        (0, LONG_AND_DEFAULT, (GP, LONG_AND_DEFAULT)),
        (0, ABSENT_CODE, (NP, ABSENT_CODE)),
        (0, DATA_0, (GP, DATA_0)),
        (0, TASK, (GP, TASK)),  # no task switches in IA-32e mode
        (0, CODE_32, None),
        (3, CODE_32_USER, None),
    ],
)
def test_to_a_code_segment(operation: int, ring: int, selector: int, answer: tuple[int, int] | None) -> None:
    processor = Processor(Mode.LONG, ring)
    assert processor.fault(indirect(processor, operation, selector)) == answer
    registers = processor.cpu.registers
    if answer is None:
        assert (registers.rip, registers.cpl, registers.cs.selector) == (TARGET, ring, selector & ~3 | ring)
        assert registers.in_64_bit_code == (selector & ~3 not in (CODE_32, CODE_32_USER))


@pytest.mark.parametrize("operation", [CALL, JUMP])
def test_the_offset_is_checked_in_the_new_segment(operation: int) -> None:
    processor = Processor()
    assert processor.fault(indirect(processor, operation, CODE_64, NOWHERE)) == (GP, 0)
    assert processor.fault(indirect(processor, operation, SHORT_CODE, 0x1000)) == (GP, 0)
    assert processor.fault(indirect(processor, operation, CODE_32, 1 << 32)) == (GP, 0)


@pytest.mark.parametrize(("size", "old"), [(2, CODE_64), (4, CODE_64), (8, CODE_64)])
def test_a_call_pushes_words_of_its_operand_size(size: int, old: int) -> None:
    processor = Processor()
    code = indirect(processor, CALL, CODE_64, 0x2000, size)
    processor.execute(code)
    assert processor.cpu.registers.rsp == KERNEL_STACK - 2 * size
    following = CODE + len(code) // 2 & (1 << 8 * size) - 1
    assert processor.words(2, size) == (following, old)


@pytest.mark.parametrize("size", [2, 4])
def test_a_direct_call_in_protected_mode(size: int) -> None:
    processor = Processor(Mode.PROTECTED)
    code = (
        ("66" if size == 2 else "") + "9a" + (0x2000).to_bytes(size, "little").hex() + struct.pack("<H", CODE_32).hex()
    )
    processor.execute(code)
    assert processor.cpu.registers.rip == 0x2000
    assert processor.words(2, size) == (CODE + len(code) // 2 & (1 << 8 * size) - 1, CODE_32)


def test_a_direct_jump_in_compatibility_mode_leads_to_64_bit_mode() -> None:
    processor = Processor(Mode.COMPATIBILITY)
    processor.execute("ea" + struct.pack("<IH", TARGET, CODE_64).hex())
    assert processor.cpu.registers.in_64_bit_code
    assert processor.cpu.registers.rip == TARGET


@pytest.mark.parametrize(
    ("ring", "rsp", "answer"),
    [
        (3, SUPERVISOR + 0x800, (PF, 7)),  # the stack is written with the rights of the ring
        (0, SUPERVISOR + 0x800, None),
        (3, READ_ONLY + 0x800, (PF, 7)),
        (0, READ_ONLY + 0x800, (PF, 3)),
        (3, ABSENT + 0x800, (PF, 6)),
        (0, ABSENT + 0x800, (PF, 2)),
        (3, NOWHERE, (PF, 6)),  # the word itself is below
        (3, NOWHERE + 8, (SS, 0)),
        (3, 8, (PF, 7)),
    ],
)
def test_what_a_call_pushes_to(ring: int, rsp: int, answer: tuple[int, int] | None) -> None:
    processor = Processor(Mode.LONG, ring)
    code = indirect(processor, CALL, CODE_64_USER if ring else CODE_64)
    processor.cpu.registers.rsp = rsp
    assert processor.fault(code) == answer


@pytest.mark.parametrize("mode", [Mode.COMPATIBILITY, Mode.PROTECTED])
@pytest.mark.parametrize(("ring", "rsp", "answer"), [(3, SUPERVISOR + 8, (PF, 7)), (3, READ_ONLY + 8, (PF, 7))])
def test_what_a_call_of_32_bits_pushes_to(mode: Mode, ring: int, rsp: int, answer: tuple[int, int]) -> None:
    processor = Processor(mode, ring)
    processor.cpu.registers.rsp = rsp
    assert processor.fault("9a" + struct.pack("<IH", TARGET, CODE_32_USER).hex()) == answer


def test_a_page_fault_of_a_push_has_the_address_of_the_word() -> None:
    """The selector goes to the upper page, which is writable, the offset to the lower one."""
    processor = Processor(Mode.LONG, 3)
    code = indirect(processor, CALL, CODE_64_USER)
    processor.cpu.registers.rsp = READ_ONLY + 0x1008
    before = processor.state
    with pytest.raises(PageFault) as raised:
        processor.execute(code)
    assert raised.value.address == READ_ONLY + 0xFF8
    assert processor.state == before


def test_a_stack_beyond_its_limit_is_ss() -> None:
    processor = Processor(Mode.PROTECTED)
    processor.cpu.registers.ss.limit = KERNEL_STACK - 5
    assert processor.fault("9a" + struct.pack("<IH", TARGET, CODE_32).hex()) == (SS, 0)


# Call gates


@pytest.mark.parametrize("operation", [CALL, JUMP])
@pytest.mark.parametrize(
    ("ring", "descriptor", "answer"),
    [
        (0, gate(CODE_64, TARGET), None),
        (3, gate(CODE_64, TARGET, 0x8C), (GP, GATE)),  # DPL below CPL
        (3, gate(CODE_64, TARGET, 0x6C), (NP, GATE)),
        (0, gate(0, TARGET), (GP, 0)),
        (0, gate(BEYOND, TARGET), (GP, BEYOND)),
        (0, gate(DATA_0, TARGET), (GP, DATA_0)),
        (0, gate(CODE_64_USER, TARGET), (GP, CODE_64_USER)),  # outwards
        (0, gate(CODE_32, TARGET), (GP, CODE_32)),
        (0, gate(LONG_AND_DEFAULT, TARGET), (GP, LONG_AND_DEFAULT)),
        (0, gate(ABSENT_CODE, TARGET), (NP, ABSENT_CODE)),
        (0, gate(CODE_64, NOWHERE), (GP, 0)),
        (3, gate(CONFORMING, TARGET), None),
        (0, gate(CODE_64, TARGET)[:13] + b"\x0c" + bytes(2), (GP, GATE)),  # a type in the upper half
        (0, gate(CODE_64, TARGET, 0xE4), (GP, GATE)),  # IA-32e mode has no 16-bit gates
        (0, gate(CODE_64, TARGET, 0xE5), (GP, GATE)),
    ],
)
def test_through_a_gate(operation: int, ring: int, descriptor: bytes, answer: tuple[int, int] | None) -> None:
    processor = Processor(Mode.LONG, ring, {GATE: descriptor})
    assert processor.fault(indirect(processor, operation, GATE, 0x666)) == answer
    if answer is None:
        assert (processor.cpu.registers.rip, processor.cpu.registers.cpl) == (TARGET, ring)


def test_a_gate_refuses_a_selector_whose_rpl_is_beyond_its_dpl() -> None:
    processor = Processor(Mode.LONG, 0, {GATE: gate(CODE_64, TARGET, 0x8C)})
    assert processor.fault(indirect(processor, CALL, GATE | 1)) == (GP, GATE)


def test_a_jump_through_a_gate_does_not_change_the_ring() -> None:
    processor = Processor(Mode.LONG, 3)
    assert processor.fault(indirect(processor, JUMP, GATE | 3)) == (GP, CODE_64)


@pytest.mark.parametrize("mode", [Mode.LONG, Mode.COMPATIBILITY])
def test_a_call_to_an_inner_ring_of_64_bit_mode(mode: Mode) -> None:
    processor = Processor(mode, 3)
    registers = processor.cpu.registers
    old = registers.cs.selector, registers.ss.selector
    processor.execute(indirect(processor, CALL, GATE | 3, size=4))
    assert (registers.rip, registers.cpl, registers.cs.selector, registers.ss.selector) == (0x3_1000, 0, CODE_64, 0)
    assert registers.in_64_bit_code
    assert registers.rsp == KERNEL_STACK - 32
    assert processor.words(4) == (CODE + 2, old[0], USER_STACK, old[1])


@pytest.mark.parametrize(
    ("stack", "answer"),
    [
        (NOWHERE, (SS, 0)),
        (ABSENT + 0x100, (PF, 2)),
        (READ_ONLY + 0x100, (PF, 3)),
        (USER_STACK, None),
    ],
)
def test_the_stack_of_an_inner_ring_of_64_bit_mode(stack: int, answer: tuple[int, int] | None) -> None:
    processor = Processor(Mode.LONG, 3)
    processor.ram.write(TSS + 4, struct.pack("<Q", stack))
    assert processor.fault(indirect(processor, CALL, GATE | 3)) == answer


@pytest.mark.parametrize("mode", [Mode.LONG, Mode.PROTECTED])
def test_a_task_too_short_for_the_stack_of_the_ring_is_ts(mode: Mode) -> None:
    processor = Processor(mode, 3, {} if mode.long else {GATE: gate(CODE_32, TARGET)})
    processor.cpu.registers.tr.limit = 10 if mode.long else 8
    assert processor.fault(indirect(processor, CALL, GATE | 3, size=4)) == (TS, TASK)


@pytest.mark.parametrize(("access", "size"), [(0xEC, 4), (0xE4, 2)])
@pytest.mark.parametrize("parameters", [0, 3])
def test_a_call_to_an_inner_ring_of_protected_mode(access: int, size: int, parameters: int) -> None:
    processor = Processor(Mode.PROTECTED, 3, {GATE: gate(CODE_32, 0x1234_2000, access, parameters)})
    processor.push(*range(0x111, 0x111 + parameters), size=size)
    registers = processor.cpu.registers
    rsp, mask = registers.rsp, (1 << 8 * size) - 1
    processor.execute(indirect(processor, CALL, GATE | 3, size=4))
    assert (registers.rip, registers.cs.selector) == (0x1234_2000 & mask, CODE_32)
    assert (registers.ss.selector, registers.cpl) == (DATA_0, 0)
    assert registers.rsp == KERNEL_STACK - (4 + parameters) * size
    copied = tuple(reversed(range(0x111, 0x111 + parameters)))
    assert processor.words(4 + parameters, size) == (
        CODE + 2 & mask,
        CODE_32_USER | 3,
        *copied,
        rsp & mask,
        DATA_3 | 3,
    )


@pytest.mark.parametrize(
    ("selector", "answer"),
    [
        (0, (TS, 0)),
        (BEYOND, (TS, BEYOND)),
        (DATA_0 | 1, (TS, DATA_0)),
        (DATA_1, (TS, DATA_1)),
        (CODE_32, (TS, CODE_32)),
        (0x90, (SS, 0x90)),  # not present
    ],
)
def test_the_stack_segment_of_an_inner_ring(selector: int, answer: tuple[int, int]) -> None:
    processor = Processor(Mode.PROTECTED, 3, {GATE: gate(CODE_32, TARGET)})
    processor.ram.write(TSS + 8, struct.pack("<I", selector))
    assert processor.fault(indirect(processor, CALL, GATE | 3, size=4)) == answer


def test_an_inner_stack_without_room_is_ss_with_its_selector() -> None:
    stack = entry(0x93, 4, 0, KERNEL_STACK - 8)
    processor = Processor(Mode.PROTECTED, 3, {GATE: gate(CODE_32, TARGET), DATA_0: stack})
    assert processor.fault(indirect(processor, CALL, GATE | 3, size=4)) == (SS, DATA_0)


@pytest.mark.parametrize(("flags", "limit"), [(0x8200, 0x67), (0x8100, 4), (0x8900, 8)])
def test_a_task_segment_without_a_stack_for_the_ring_is_ts(flags: int, limit: int) -> None:
    """It is none, or it ends before."""
    for more, answer in ((0, (TS, TASK)), (1, None)):
        if more and flags == 0x8200:
            continue
        processor = Processor(Mode.PROTECTED, 3, {GATE: gate(CODE_32, TARGET)})
        processor.cpu.registers.tr.load(TASK, TSS, limit + more, flags)
        processor.ram.write(TSS + 2, struct.pack("<HH", 0x8000, DATA_0) if flags == 0x8100 else b"")
        assert processor.fault(indirect(processor, CALL, GATE | 3, size=4)) == answer


def test_a_task_of_16_bits_has_its_stacks_elsewhere() -> None:
    processor = Processor(Mode.PROTECTED, 3, {GATE: gate(CODE_32, TARGET)})
    processor.cpu.registers.tr.flags = 0x8100
    processor.ram.write(TSS + 2, struct.pack("<HH", 0x8000, DATA_0))
    processor.execute(indirect(processor, CALL, GATE | 3, size=4))
    assert processor.cpu.registers.rsp == 0x8000 - 16


def test_parameters_are_read_with_the_rights_of_the_caller() -> None:
    processor = Processor(Mode.PROTECTED, 3, {GATE: gate(CODE_32, TARGET, parameters=2)})
    processor.cpu.registers.rsp = SUPERVISOR
    assert processor.fault(indirect(processor, CALL, GATE | 3, size=4)) == (PF, 5)


def test_a_gate_in_the_local_table() -> None:
    processor = Processor(Mode.LONG, 3)
    processor.ram.write(LDT + 8, gate(CODE_64, TARGET))
    processor.cpu.registers.ldtr.load(LOCAL_TABLE, LDT, 0x17, 0x8200)
    processor.execute(indirect(processor, CALL, 0xF))
    assert processor.cpu.registers.rip == TARGET
    processor = Processor(Mode.LONG, 3)
    processor.cpu.registers.ldtr.load(LOCAL_TABLE, LDT, 0x16, 0x8200)
    processor.ram.write(LDT + 8, gate(CODE_64, TARGET))
    assert processor.fault(indirect(processor, CALL, 0xF)) == (GP, 0xC)


def test_the_accessed_flag_is_set_by_the_processor_itself() -> None:
    processor = Processor(Mode.LONG, 3, {CODE_64_USER: entry(0xFA, 0xA)})
    processor.execute(indirect(processor, JUMP, CODE_64_USER))
    assert processor.ram.read(GDT + CODE_64_USER + 5, 1) == b"\xfb"


def test_a_stack_of_16_bits_wraps() -> None:
    processor = Processor(Mode.PROTECTED)
    processor.load("ss", 0xD0)
    processor.cpu.set_privilege(0)
    processor.cpu.registers.rsp = 0x5555_0002
    processor.execute("669a" + struct.pack("<HH", 0x2000, CODE_16).hex())
    assert processor.cpu.registers.rsp == 0x5555_FFFE
    assert processor.ram.read(0, 2) == struct.pack("<H", CODE_32)
    assert processor.ram.read(0xFFFE, 2) == struct.pack("<H", (CODE + 6) & 0xFFFF)


def test_a_task_state_segment_at_an_address_that_is_not_canonical_is_gp() -> None:
    processor = Processor(Mode.LONG, 3)
    processor.cpu.registers.tr.base = (1 << 47) - 4
    assert processor.fault(indirect(processor, CALL, GATE | 3)) == (GP, 0)
