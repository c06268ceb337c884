"""Delivery in protected mode (SDM volume 3, 6.12), seen from inside a small kernel that never enters long mode."""

from typing import Any

import pytest

from machine.boot import loader
from machine.events import ModeSwitched, RingTransition
from machine.machine import Machine, MachineConfiguration, Outcome
from tests.machine.assembler import Assembler
from tests.machine.conftest import Log, Ran
from tests.machine.interrupts.task_gates import task
from tests.sampling import sampled

DE, DB, BP, OF, BR, UD, DF, NP, SS, GP, PF = 0, 1, 3, 4, 5, 6, 8, 11, 12, 13, 14


@pytest.fixture(params=sampled(["native", "portable"], "native"))
def kernel32(assembler: Assembler, request: pytest.FixtureRequest) -> Any:
    """Run a body in a ring of protected mode, with or without paging."""

    def run(body: str, ring: int = 0, paging: int = 0) -> Ran:
        log = Log()
        machine = Machine(MachineConfiguration(16 << 20, portable=request.param == "portable"), log)
        loader.load(machine, assembler.build("kernel32.S", body, RING=ring, PAGING=paging))
        return Ran(machine, machine.run(200_000), log.events)

    return run


@pytest.mark.parametrize(
    ("ring", "paging", "body", "vector", "error_code"),
    [
        (0, 0, "ud2", UD, 0),
        (3, 0, "ud2", UD, 0),
        (1, 0, "ud2", UD, 0),
        (3, 0, "xorl %ecx, %ecx; divl %ecx", DE, 0),
        (3, 0, "cli", GP, 0),
        (1, 0, "hlt", GP, 0),
        (3, 0, "inb $0x60, %al", GP, 0),
        (3, 0, "int $0x21", GP, 0x21 * 8 + 2),
        (0, 0, "int $0x40", NP, 0x40 * 8 + 2),
        (0, 0, "int $0x41", GP, 0x41 * 8 + 2),
        (3, 0, "int3", BP, 0),
        (3, 0, "movb $0x7F, %al; addb $1, %al; into", OF, 0),
        (3, 0, "movl $5, 0x240100; movl $9, 0x240104; movl $3, %eax; bound %eax, 0x240100", BR, 0),
        (0, 0, "movw $0x53, %ax; movw %ax, %ds", GP, 0x50),
        (3, 1, "movb 0x403000, %al", PF, 4),
        (3, 1, "movb %al, 0x401000", PF, 7),
        (3, 1, "movb %al, 0x402000", PF, 7),
        (0, 1, "movb %al, 0x401000", PF, 3),
        (0, 1, "movb 0x403000, %al", PF, 0),
        (3, 1, "movl $0x403000, %eax; jmp *%eax", PF, 4),  # without NX the I bit is not there
    ],
)
def test_exception_in_protected_mode(
    kernel32: Any, ring: int, paging: int, body: str, vector: int, error_code: int
) -> None:
    ran = kernel32(body, ring, paging)
    (taken,) = ran.taken
    assert (taken.vector, taken.error_code, taken.cs) == (vector, error_code, {0: 8, 1: 0x21, 3: 0x23}[ring])
    assert ran.outcome is Outcome.HALTED
    assert [e.mode for e in ran.events if isinstance(e, ModeSwitched)] == ["protected"]


def test_interrupt_gates_clear_if_and_trap_gates_keep_it(kernel32: Any) -> None:
    store = "movl $8f, %eax; movw %ax, idt + 8 * GATE; shrl $16, %eax; movw %ax, idt + 8 * GATE + 6; sti; int $GATE;"
    store += "8: pushfl; popl 0x240000; hlt"
    for gate, flag in (("0x80", 0), ("0x81", 0x200)):
        ran = kernel32(store.replace("GATE", gate))
        assert int.from_bytes(ran.machine.ram.read(0x24_0000, 4), "little") & 0x200 == flag


def test_the_stack_of_the_task_state_segment_is_taken_and_left(kernel32: Any) -> None:
    ran = kernel32("movl $7f, resume; int $0x80; 7: movl %esp, 0x240000; ud2", 3)
    assert [t.vector for t in ran.taken] == [0x80, UD]
    assert int.from_bytes(ran.machine.ram.read(0x24_0000, 4), "little") == 0x24_0000
    changes = [(e.from_ring, e.to_ring) for e in ran.events if isinstance(e, RingTransition)]
    assert changes == [(0, 3), (3, 0), (0, 3), (3, 0)]


def test_a_conforming_handler_stays_in_the_ring_it_interrupts(kernel32: Any) -> None:
    ran = kernel32("movw $0x30, idt + 8 * 0x80 + 2; movl $9f, %eax; movw %ax, idt + 8 * 0x80; shrl $16, %eax;"
                   "movw %ax, idt + 8 * 0x80 + 6; int $0x80; 9: movl %cs, %ebx; ud2", 3)  # fmt: skip
    assert [(t.vector, t.cs) for t in ran.taken] == [(UD, 0x33)]


def test_a_16_bit_gate_pushes_words(kernel32: Any) -> None:
    """The handler is below 64 KiB, within reach of a 16-bit offset."""
    ran = kernel32(
        "movb $0x86, idt + 8 * 0x80 + 5; movw $0x5000, idt + 8 * 0x80; movw $0xFEEB, 0x5000; movl $0x0F0B, %eax;"
        "movl %esp, %ebx; movb $0xF4, 0x5000; int $0x80"
    )
    assert ran.machine.cpu.registers.rbx - ran.machine.cpu.registers.rsp == 6
    assert ran.machine.cpu.rip == 0x5001


@pytest.mark.parametrize(
    ("body", "vector", "error_code"),
    [
        ("movl $0, tss + 8", 10, 0),  # the ring's stack segment is null
        ("movl $0x13, tss + 8", 10, 0x10),  # its RPL is not 0
        ("movl $0x08, tss + 8", 10, 0x08),  # it is code
        ("movl $0x60, tss + 8", 10, 0x60),  # it is beyond the table
        ("movb $0x13, gdt + 0x15", SS, 0x10),  # it is not present
        (
            "movl $0x101, tss + 4; movw $0x200, gdt + 0x10; movb $0, gdt + 0x16; movl $0x300, tss + 4",
            SS,
            0x10,
        ),  # no room
    ],
)
def test_a_bad_stack_segment_in_the_tss(kernel32: Any, body: str, vector: int, error_code: int) -> None:
    """The fault finds the same bad stack: a double fault, and a third one. Its events show the first cause."""
    ran = kernel32(f"{body}; int $0x80", 3)
    raised = [(e.vector, e.error_code) for e in ran.events if type(e).__name__ == "InterruptRaised"]
    assert raised[:3] == [(0x80, None), (vector, error_code), (DF, 0)]
    assert ran.outcome is Outcome.SHUTDOWN


def test_a_handler_beyond_the_limit_of_its_segment_is_gp(kernel32: Any) -> None:
    ran = kernel32("movw $0x00FF, gdt + 0x30; movb $0x40, gdt + 0x36; movw $0x30, idt + 8 * 0x80 + 2; int $0x80")
    assert [(t.vector, t.error_code) for t in ran.taken] == [(GP, 0)]


def test_delivery_marks_the_segments_it_loads_as_accessed(kernel32: Any) -> None:
    ran = kernel32("andb $0xFE, gdt + 0x0D; andb $0xFE, gdt + 0x15; int $0x80", 3)
    gdt = ran.machine.cpu.registers.gdtr.base
    assert [ran.machine.ram.read(gdt + at, 1)[0] & 1 for at in (0x0D, 0x15)] == [1, 1]


def test_a_page_fault_while_pushing_is_a_double_fault(kernel32: Any) -> None:
    ran = kernel32("movl $0x403800, %esp; movb 0x403000, %al", 0, 1)
    assert ran.outcome is Outcome.SHUTDOWN
    raised = [e.vector for e in ran.events if type(e).__name__ == "InterruptRaised"]
    assert raised == [PF, DF]


def test_code_in_a_segment_with_a_base_runs_and_faults(kernel32: Any) -> None:
    """0x38 becomes 32-bit code from 0x100000 on: EIP and linear addresses differ."""
    ran = kernel32(
        "movl $0x0000FFFF, gdt + 0x38; movl $0x00CF9A10, gdt + 0x3C; pushl $0x38; movl $1f, %eax; subl $0x100000, %eax;"
        "pushl %eax; lret; 1: movl %cr3, %eax; movl %eax, %cr3; 2: ud2"
    )
    (taken,) = ran.taken
    assert (taken.vector, taken.cs) == (UD, 0x38)
    assert taken.rip < 0x10_0000


def test_a_failing_int_in_a_segment_with_a_base_pushes_its_offset(kernel32: Any) -> None:
    """The descriptor's base is 0x100000, so the offset is that much less than the linear address."""
    ran = kernel32(
        "movl $0x0000FFFF, gdt + 0x38; movl $0x00CF9A10, gdt + 0x3C; pushl $0x38; movl $1f, %eax; subl $0x100000, %eax;"
        "pushl %eax; lretl; 1: int $0x41"
    )
    (taken,) = ran.taken
    assert (taken.vector, taken.error_code, taken.cs) == (GP, 0x41 * 8 + 2, 0x38)
    assert 0 < taken.rip < 0x1_0000


def test_it_is_the_linear_address_that_has_to_be_aligned(kernel32: Any) -> None:
    """In a segment from 8 on."""
    prepare = (
        "movl %cr4, %eax; orl $0x600, %eax; movl %eax, %cr4;"
        "movl $0x0008FFFF, gdt + 0x38; movl $0x00CF9300, gdt + 0x3C;"
        "movw $0x38, %ax; movw %ax, %es;"
    )
    (taken,) = kernel32(prepare + "movaps %es:0x240000, %xmm0; hlt").taken
    assert (taken.vector, taken.error_code) == (GP, 0)
    assert kernel32(prepare + "movaps %es:0x240008, %xmm0; hlt").taken == []


@pytest.mark.parametrize(
    "transfer",
    [
        "pushfl; pushl $0; pushl $0x5000; iretl",
        "pushl $0; pushl $0x5000; lretl",
        "ljmpl $0, $0x5000",
        "lcalll $0, $0x5000",
        "movl $0x5000, 0x240100; movl $0, 0x240104; ljmpl *0x240100",
        "pushl $0x13; popl %es; jmp 9f; 9: movl $0x5000, %eax; jmpl *%eax",
    ],
)
def test_in_real_mode_no_descriptor_is_looked_at(kernel32: Any, transfer: str) -> None:
    """Selectors are any numbers there, 0 too; the HLT at 0x5000 is reached."""
    ran = kernel32(f"movl $0x7000, %esp; movb $0xF4, 0x5000; movl %cr0, %eax; decl %eax; movl %eax, %cr0; {transfer}")
    assert (ran.outcome, ran.machine.cpu.registers.rip, ran.taken) == (Outcome.HALTED, 0x5001, [])
    assert ran.machine.mode == "real"


def test_virtual_8086_mode_is_refused(kernel32: Any) -> None:
    ran = kernel32("pushl $0x20202; pushl $0x08; pushl $0x1000; iretl")
    assert [(t.vector, t.error_code) for t in ran.taken] == [(GP, 0)]


# Task gates (SDM volume 3, 8.2.5)


def word(ran: Any, address: int) -> int:
    return int.from_bytes(ran.machine.ram.read(address, 4), "little")


@pytest.mark.parametrize("ring", [0, 3])
@pytest.mark.parametrize("paging", [0, 1])
def test_a_task_gate_switches_tasks_and_iret_switches_back(kernel32: Any, ring: int, paging: int) -> None:
    ran = kernel32(
        task(0x80) + "movl $0x1234, %ebx; int $0x80; 7: movl %ebx, 0x240104; ud2;"
        "9: movl $0x77, %ebx; movl %esp, 0x240100; pushfl; popl 0x240108; str %ax; movl %eax, 0x24010C; iretl",
        ring,
        paging,
    )
    assert word(ran, 0x24_0100) == 0x24_8000  # the stack of the new task
    assert word(ran, 0x24_0104) == 0x1234  # each task has its registers
    assert word(ran, 0x24_0108) & 0x4000  # NT
    assert word(ran, 0x24_010C) & 0xFFFF == 0x40
    assert [t.vector for t in ran.taken] == [UD]
    assert ran.taken[0].cs == (0x23 if ring else 8)
    assert ran.machine.cpu.registers.cr[0] & 8  # CR0.TS


@pytest.mark.parametrize("ring", [0, 3])
def test_a_far_call_to_another_task_is_a_task_switch(kernel32: Any, ring: int) -> None:
    """A task gate for ring 3 replaces the conforming segment in the GDT."""
    ran = kernel32(
        f"{task(0x80)} movl $0x400000, gdt + 0x30; movl $0xE500, gdt + 0x34; lcall $0x33, $0; ud2; 9: iretl",
        ring,
    )
    changes = [e.cause for e in ran.events if isinstance(e, RingTransition)]
    assert changes == (["interrupt_return", "task_switch", "task_switch", "exception"] if ring else [])
    assert [t.vector for t in ran.taken] == [UD]


def test_a_double_fault_through_a_task_gate_needs_no_stack(kernel32: Any) -> None:
    ran = kernel32(
        task(8) + "movl $0x403800, %esp; movb 0x403000, %al; 9: popl 0x240100; movl %esp, 0x240104; hlt", 0, 1
    )
    assert ran.outcome is Outcome.HALTED
    assert word(ran, 0x24_0100) == 0  # the error code
    assert word(ran, 0x24_0104) == 0x24_8000
    assert [e.vector for e in ran.events if type(e).__name__ == "InterruptRaised"] == [PF, DF]


@pytest.mark.parametrize(
    ("spoil", "vector", "error_code"),
    [
        ("movb $0x8B, gdt + 0x45", GP, 0x40),  # busy
        ("movb $0x09, gdt + 0x45", NP, 0x40),
        ("movb $0x60, gdt + 0x40", 10, 0x40),  # too small
        ("movw $0x44, idt + 8 * 0x80 + 2", GP, 0x44),  # in the LDT
        ("movw $0x08, idt + 8 * 0x80 + 2", GP, 0x08),  # no TSS
        ("movl $0x20002, tss2 + 0x24", 10, 0x40),  # a virtual-8086 task
        ("movb $0x85, idt + 8 * 0x80 + 5", GP, 0x80 * 8 + 2),  # the gate is ring 0's
    ],
)
def test_a_task_that_cannot_be_entered_is_a_fault_of_the_old_one(
    kernel32: Any, spoil: str, vector: int, error_code: int
) -> None:
    (taken,) = kernel32(task(0x80) + f"{spoil}; int $0x80; 9: hlt", 3 if "0x85," in spoil else 0).taken
    assert (taken.vector, taken.error_code) == (vector, error_code)


@pytest.mark.parametrize(
    ("spoil", "vector", "error_code"),
    [
        ("movl $0x10, tss2 + 0x4C", 10, 0x10),  # CS is data
        ("movl $0x13, tss2 + 0x50", 10, 0x10),  # RPL of SS
        ("movl $0x60, tss2 + 0x54", 10, 0x60),  # DS is beyond the table
    ],
)
def test_a_task_that_cannot_begin_faults_in_the_new_one(
    kernel32: Any, spoil: str, vector: int, error_code: int
) -> None:
    ran = kernel32(task(0x80) + f"{spoil}; int $0x80; 9: hlt")
    raised = [(e.vector, e.error_code) for e in ran.events if type(e).__name__ == "InterruptRaised"]
    assert raised[1] == (vector, error_code)
    assert ran.machine.cpu.registers.tr.selector == 0x40


@pytest.mark.parametrize("beyond", [0, 1])
def test_the_new_eip_has_to_lie_within_the_limit_of_its_code_segment(kernel32: Any, beyond: int) -> None:
    """The limit is the last byte, a HLT. The fault is the new task's, before its first instruction."""
    code = (
        "movl $9f, %ecx; subl $0x100000, %ecx; movl %ecx, tss2 + 0x20; movl $0x38, tss2 + 0x4C;"
        f"subl ${beyond}, %ecx; movl %ecx, gdt + 0x38; movl $0x00409A10, gdt + 0x3C;"
    )
    ran = kernel32(task(0x80) + code + "int $0x80; nop; 9: hlt")
    raised = [(e.vector, e.error_code) for e in ran.events if type(e).__name__ == "InterruptRaised"]
    assert raised[:2] == [(0x80, None), *([(GP, 0)] if beyond else [])]
    assert ran.machine.cpu.registers.tr.selector == 0x40


@pytest.mark.parametrize("way", ["int $0x80", "lcall $0x40, $0", "ljmp $0x40, $0"])
@pytest.mark.parametrize("traps", [0, 1])
def test_the_t_flag_is_a_debug_trap_before_the_first_instruction_of_the_task(
    kernel32: Any, way: str, traps: int
) -> None:
    """SDM volume 3, 18.3.1.4. DR6.BT says why."""
    ran = kernel32(task(0x80) + f"movw ${traps}, tss2 + 0x64; {way}; 9: movl $0x5A, 0x240100; hlt")
    raised = [e.vector for e in ran.events if type(e).__name__ == "InterruptRaised"]
    assert word(ran, 0x24_0100) == (0 if traps else 0x5A)
    assert [vector for vector in raised if vector != 0x80] == [DB] * traps
    assert ran.machine.cpu.debug.dr6 >> 12 & 15 == (8 if traps else 0)
    if traps:
        assert ran.machine.cpu.registers.tr.selector == 0x40
        assert ran.taken[-1].vector == DB


@pytest.mark.parametrize("traps", [0, 1])
def test_the_t_flag_of_the_task_that_iret_returns_to(kernel32: Any, traps: int) -> None:
    ran = kernel32(task(0x80) + f"movw ${traps}, tss + 0x64; int $0x80; movl $0x5A, 0x240100; ud2; 9: iretl")
    assert [taken.vector for taken in ran.taken] == [DB if traps else UD]
    assert word(ran, 0x24_0100) == (0 if traps else 0x5A)
    assert ran.machine.cpu.debug.dr6 >> 15 & 1 == traps


# A task of 16 bits (SDM volume 3, 8.6): IP at 0x0E, FLAGS, eight registers, ES, CS, SS, DS, LDT

TO_16_BITS = """movl $tss2, %eax; movw $0x2B, gdt + 0x40; movw %ax, gdt + 0x42; shrl $16, %eax; movb %al, gdt + 0x44;
movb $0x81, gdt + 0x45; movw $0, gdt + 0x46; movw $0x5000, tss2 + 0x0E; movw $2, tss2 + 0x10; movw $0x1111, tss2 + 0x12;
movw $0x8000, tss2 + 0x1A; movw $0x10, tss2 + 0x22; movw $8, tss2 + 0x24; movw $0x10, tss2 + 0x26;
movw $0x10, tss2 + 0x28; movw $0, tss2 + 0x2A; movw $0x40, idt + 8 * 0x80 + 2; movb $0xE5, idt + 8 * 0x80 + 5;"""
TO_A_THIRD_AT_0X4000 = """movl $0x40000067, gdt + 0x38; movl $0x00008900, gdt + 0x3C; movl $9f, 0x4020; movl $2, 0x4024;
movl $0x248000, 0x4038; movl $0x10, 0x4048; movl $8, 0x404C; movl $0x10, 0x4050; movl $0x10, 0x4054; movl $0, 0x4058;
movl $0, 0x405C; movl $0, 0x4060; movw $0x38, idt + 8 * 0x82 + 2; movb $0xE5, idt + 8 * 0x82 + 5;"""
INC_INT_82 = "movl $0xF482CD40, 0x5000;"


def test_a_task_of_16_bits_that_is_left_through_a_gate_has_its_words_saved(kernel32: Any) -> None:
    """In the 16-bit layout, and nothing beyond."""
    ran = kernel32(
        TO_16_BITS + TO_A_THIRD_AT_0X4000 + INC_INT_82 + "movw $0x5A5A, tss2 + 0x2C; int $0x80; nop;"
        "9: movl tss2 + 0x0C, %eax; movl %eax, 0x240110; movl tss2 + 0x10, %eax; movl %eax, 0x240114;"
        "movl tss2 + 0x24, %eax; movl %eax, 0x240118; movl tss2 + 0x2C, %eax; movl %eax, 0x24011C;"
        "movl tss2 + 0x18, %eax; movl %eax, 0x240120; movl 0x4000, %eax; movl %eax, 0x240124; hlt"
    )
    assert ran.outcome is Outcome.HALTED
    assert word(ran, 0x24_0110) >> 16 == 0x5003  # IP after INT
    assert word(ran, 0x24_0114) & ~0x8D5 == 0x1112_4002  # FLAGS with NT, and AX
    assert word(ran, 0x24_0118) == 0x0010_0008  # CS and SS
    assert word(ran, 0x24_011C) & 0xFFFF == 0x5A5A  # after the 44 bytes of the TSS
    assert word(ran, 0x24_0120) >> 16 == 0x8000  # SP
    assert word(ran, 0x24_0124) & 0xFFFF == 0x40  # the third task's link
    assert ran.machine.cpu.registers.tr.selector == 0x38


@pytest.mark.parametrize(
    ("dr7", "left"),
    [(0x1, 0), (0x4, 0), (0x10, 0), (0x40, 0), (0x100, 0), (0x2, 0x2), (0x80, 0x80), (0x200, 0x200), (0x3FF, 0x2AA)],
)
def test_a_task_switch_clears_the_local_breakpoints_and_leaves_the_global_ones(
    kernel32: Any, dr7: int, left: int
) -> None:
    """SDM volume 3, 18.2.4: L0 to L3 and LE are the old task's."""
    ran = kernel32(
        task(0x80) + "movl $0x200000, %eax; movl %eax, %dr0; movl %eax, %dr1; movl %eax, %dr2; movl %eax, %dr3;"
        f"movl ${dr7:#x}, %eax; movl %eax, %dr7; int $0x80; nop; 9: movl %dr7, %eax; movl %eax, 0x240100; hlt"
    )
    assert word(ran, 0x24_0100) == 0x400 | left


def test_each_word_of_a_frame_must_be_within_the_stack(kernel32: Any) -> None:
    """The first one at 0, below an expand-down segment, and the others at the top of 4 GiB: #SS, which has no stack."""
    stack = "movl $0x7F, gdt + 0x40; movl $0xC09600, gdt + 0x44; movw $0x40, %ax; movw %ax, %ss;"
    assert kernel32(stack + "movl $4, %esp; int3").outcome is Outcome.SHUTDOWN
    assert kernel32(stack + "movl $0x180000, %esp; int3").outcome is Outcome.HALTED
