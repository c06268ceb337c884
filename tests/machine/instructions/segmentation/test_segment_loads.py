"""MOV and POP to segment registers, LSS and similar (SDM volume 2): each condition, and the manual's result."""

import struct

import pytest

from machine.architecture.exceptions import GP, NP, PF, SS
from machine.events import Event, InterruptRaised
from machine.interrupts.delivery import Delivery, Interrupt
from machine.journal import Journal
from machine.machine import Outcome
from tests.machine.instructions.processor import (
    ABSENT,
    ABSENT_DATA,
    BEYOND,
    CODE,
    CODE_64,
    CODE_64_USER,
    CONFORMING,
    DATA,
    DATA_0,
    DATA_3,
    EXECUTE_ONLY,
    GDT,
    READ_ONLY_DATA,
    STACK_16,
    SUPERVISOR,
    TASK,
    Mode,
    Processor,
    entry,
)

MOV_SS, MOV_DS, MOV_GS = "8ed0", "8ed8", "8ee8"
ANSWERS_OF_DATA = [
    (0, 0, None),
    (0, 3, None),
    (3, 3, None),
    (0, DATA_0, None),
    (0, DATA_0 | 3, (GP, DATA_0)),
    (3, DATA_0, (GP, DATA_0)),
    (3, DATA_3, None),
    (0, DATA_3 | 3, None),
    (0, READ_ONLY_DATA, None),
    (0, CODE_64, None),
    (3, CODE_64, (GP, CODE_64)),
    (3, CONFORMING | 3, None),
    (0, EXECUTE_ONLY, (GP, EXECUTE_ONLY)),
    (0, TASK, (GP, TASK)),
    (0, BEYOND, (GP, BEYOND)),
    (0, DATA_0 | 4, (GP, DATA_0 | 4)),
    (0, ABSENT_DATA, (NP, ABSENT_DATA)),
]
ANSWERS_OF_STACK = [
    (0, 0, None),
    (0, 1, (GP, 0)),
    (0, 3, (GP, 0)),
    (3, 3, (GP, 0)),
    (0, DATA_0, None),
    (0, DATA_0 | 1, (GP, DATA_0)),
    (0, DATA_3, (GP, DATA_3)),
    (0, DATA_3 | 3, (GP, DATA_3)),
    (3, DATA_3 | 3, None),
    (3, READ_ONLY_DATA | 3, (GP, READ_ONLY_DATA)),
    (3, CODE_64_USER | 3, (GP, CODE_64_USER)),
    (0, TASK, (GP, TASK)),
    (0, BEYOND, (GP, BEYOND)),
    (0, ABSENT_DATA, (SS, ABSENT_DATA)),
]


@pytest.mark.parametrize(("ring", "selector", "answer"), ANSWERS_OF_DATA)
@pytest.mark.parametrize(("code", "name"), [(MOV_DS, "ds"), (MOV_GS, "gs")])
def test_data_segments(code: str, name: str, ring: int, selector: int, answer: tuple[int, int] | None) -> None:
    processor = Processor(Mode.LONG, ring)
    processor.cpu.registers.rax = 0xFFFF_0000 | selector
    assert processor.fault(code) == answer
    if answer is None:
        assert getattr(processor.cpu.registers, name).selector == selector
        assert not processor.cpu.registers.interrupts_inhibited


@pytest.mark.parametrize(("ring", "selector", "answer"), ANSWERS_OF_STACK)
@pytest.mark.parametrize("instruction", ["mov", "mov from memory", "lss"])
def test_the_stack_segment(instruction: str, ring: int, selector: int, answer: tuple[int, int] | None) -> None:
    """MOV inhibits interrupts, LSS does not."""
    processor = Processor(Mode.LONG, ring)
    registers = processor.cpu.registers
    registers.rax, registers.rbx = selector, DATA
    processor.ram.write(DATA, struct.pack("<QH", 0x1234_5678_9ABC, selector))
    registers.rbx += 0 if instruction == "lss" else 8
    assert processor.fault({"mov": MOV_SS, "mov from memory": "8e13", "lss": "480fb223"}[instruction]) == answer
    if answer is None:
        assert (registers.ss.selector, registers.cpl) == (selector, ring)
        assert registers.interrupts_inhibited == (instruction != "lss")
        assert instruction != "lss" or registers.rsp == 0x1234_5678_9ABC


def test_compatibility_and_protected_mode_have_no_null_stack_segment() -> None:
    for mode in (Mode.COMPATIBILITY, Mode.PROTECTED):
        assert Processor(mode).fault(MOV_SS) == (GP, 0)


def test_of_two_loads_of_ss_only_the_first_holds_back() -> None:
    processor = Processor()
    processor.cpu.registers.rax = DATA_0
    processor.execute(MOV_SS)
    processor.execute(MOV_SS)
    assert not processor.cpu.registers.interrupts_inhibited


def test_a_null_selector_clears_the_base() -> None:
    processor = Processor()
    processor.cpu.registers.gs.base = 0x1234
    processor.execute(MOV_GS)
    assert processor.cpu.registers.gs.base == 0


@pytest.mark.parametrize(
    ("mode", "code", "name", "size"),
    [
        (Mode.LONG, "0fa1", "fs", 8),
        (Mode.LONG, "0fa9", "gs", 8),
        (Mode.LONG, "660fa9", "gs", 2),
        (Mode.PROTECTED, "1f", "ds", 4),
        (Mode.PROTECTED, "661f", "ds", 2),
        (Mode.PROTECTED, "07", "es", 4),
        (Mode.PROTECTED, "17", "ss", 4),
    ],
)
def test_pop(mode: Mode, code: str, name: str, size: int) -> None:
    processor = Processor(mode)
    registers = processor.cpu.registers
    rsp = registers.rsp
    processor.push(DATA_0, size=size)
    processor.execute(code)
    assert (getattr(registers, name).selector, registers.rsp) == (DATA_0, rsp)
    assert registers.interrupts_inhibited == (name == "ss")


@pytest.mark.parametrize(("rsp", "answer"), [(SUPERVISOR, (PF, 5)), (ABSENT, (PF, 4)), (0x8000_0000_0000, (SS, 0))])
def test_pop_reads_with_the_rights_of_the_ring(rsp: int, answer: tuple[int, int]) -> None:
    processor = Processor(Mode.LONG, 3)
    processor.cpu.registers.rsp = rsp
    assert processor.fault("0fa1") == answer


def test_pop_with_a_bad_selector_changes_nothing() -> None:
    processor = Processor()
    processor.push(BEYOND)
    assert processor.fault("0fa1") == (GP, BEYOND)


@pytest.mark.parametrize(
    ("mode", "code", "size", "expected"),
    [
        (Mode.LONG, "480fb40b", 8, 0x1122_3344_5566_7788),
        (Mode.LONG, "0fb40b", 4, 0x5566_7788),
        (Mode.LONG, "660fb40b", 2, 0xFFFF_FFFF_FFFF_7788),
        (Mode.PROTECTED, "c50b", 4, 0x5566_7788),
        (Mode.PROTECTED, "c40b", 4, 0x5566_7788),
    ],
)
def test_far_pointers(mode: Mode, code: str, size: int, expected: int) -> None:
    processor = Processor(mode)
    registers = processor.cpu.registers
    registers.rbx, registers.rcx = DATA, 2**64 - 1 if mode.long else 0xFFFF_FFFF
    processor.ram.write(DATA, struct.pack("<Q", 0x1122_3344_5566_7788)[:size] + struct.pack("<H", DATA_0))
    processor.execute(code)
    assert registers.rcx == expected


def test_a_segment_that_is_loaded_is_marked_as_accessed() -> None:
    processor = Processor(Mode.LONG, 3, {DATA_3: entry(0xF2)})
    processor.cpu.registers.rax = DATA_3
    processor.execute(MOV_DS)
    assert processor.ram.read(GDT + DATA_3 + 5, 1) == b"\xf3"
    assert processor.cpu.registers.ds.flags & 0x100


@pytest.mark.parametrize(("code", "vector"), [(MOV_DS, GP), (MOV_SS, GP), (MOV_GS, GP)])
def test_a_descriptor_at_an_address_that_is_not_canonical_is_refused(code: str, vector: int) -> None:
    """A table at the end of the lower half: an access beyond is not a page fault."""
    processor = Processor(Mode.LONG)
    processor.cpu.registers.gdtr.base = 0x7FFF_FFFF_FFEC
    for selector in (DATA_0, DATA_3):  # one lies across the end, one after it
        processor.cpu.registers.rax = selector
        assert processor.fault(code) == (vector, selector)


class Raised:
    """Keeps vector and error code of raised exceptions."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int | None]] = []

    def record(self, event: Event) -> None:
        if isinstance(event, InterruptRaised):
            self.found.append((event.vector, event.error_code))


@pytest.mark.parametrize("base", [0x7FFF_FFFF_FE00, 0x7FFF_FFFF_FDF8])
def test_a_gate_at_an_address_that_is_not_canonical_is_refused(base: int) -> None:
    """The gate of vector 32 is after the end of the lower half, or across it: #GP, not a page fault."""
    processor, raised = Processor(Mode.LONG), Raised()
    processor.cpu.registers.idtr.base, processor.cpu.registers.idtr.limit = base, 0xFFF
    Delivery(processor.cpu, Journal(processor.cpu.clock, raised)).deliver(Interrupt(32, "external", CODE))
    assert raised.found[:2] == [(32, None), (GP, 32 * 8 + 3)]


@pytest.mark.parametrize("selector", [DATA_0, STACK_16, 0])
def test_a_breakpoint_on_what_pop_reads_traps_at_once(selector: int) -> None:
    """Whether the loaded limit requires checks from now on."""
    processor = Processor(Mode.PROTECTED)
    cpu = processor.cpu
    processor.ram.write(CODE, bytes.fromhex("1f 9090 f4"))
    processor.ram.write(cpu.registers.rsp, selector.to_bytes(4, "little"))
    cpu.debug.write(0, cpu.registers.rsp)
    cpu.debug.write(7, 0x000F_0001)
    assert processor.machine.run() is Outcome.SHUTDOWN  # there is no IDT
    assert cpu.hook.retired == 1
    assert cpu.registers.ds.selector == selector


@pytest.mark.parametrize("prefix", ["", "9090"])
def test_the_limit_of_a_segment_loaded_outside_64_bit_mode_holds_at_once(prefix: str) -> None:
    """MOV DS, EAX; MOV [10000H], EAX, with a limit of 64 KiB: #GP, after what came before."""
    processor = Processor(Mode.PROTECTED)
    processor.ram.write(CODE, bytes.fromhex(f"{prefix} 8ed8 8ed8 a300000100 f4"))
    processor.cpu.registers.rax = STACK_16
    assert processor.machine.run() is Outcome.SHUTDOWN
    assert processor.cpu.hook.retired == len(prefix) // 2 + 2
    assert processor.ram.is_zero(0x10000, 4)
