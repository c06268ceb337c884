"""Delivery and exceptions by the manual (SDM volume 3, chapter 6), seen from inside a small kernel."""

from typing import Any

import pytest

from machine.events import (
    InterruptRaised,
    InterruptReturned,
    RingTransition,
    Shutdown,
)
from machine.machine import Outcome

USER, KERNEL = 0x23, 0x08
DE, DB, UD, DF, TS, NP, SS, GP, PF = 0, 1, 6, 8, 10, 11, 12, 13, 14


RESERVED = "movl $7, pt + 24; movl $0x80000, pt + 28;"


@pytest.mark.parametrize(
    ("ring", "body", "vector", "error_code"),
    [
        (3, "ud2", UD, 0),
        (0, "ud2", UD, 0),
        (3, ".byte 0x0F, 0xC7, 0xF0", UD, 0),  # RDRAND
        (3, ".byte 0x0F, 0xC7, 0xF8", UD, 0),  # RDSEED
        (3, "xorl %ecx, %ecx; divl %ecx", DE, 0),
        (3, "cli", GP, 0),
        (3, "hlt", GP, 0),
        (3, "movq %cr3, %rax", GP, 0),
        (3, "lgdt 0x400000", GP, 0),
        (3, "wrmsr", GP, 0),
        (3, "inb $0x60, %al", GP, 0),
        (3, "outb %al, $0x81", GP, 0),
        (3, "inw $0x93, %ax", GP, 0),  # the second of its ports is refused
        (3, "outl %eax, $0x80", GP, 0),
        (3, "movabsq $0x800000000000, %rax; movb (%rax), %al", GP, 0),
        (3, "int $0x21", GP, 0x21 * 8 + 2),
        (3, "int $8", GP, 8 * 8 + 2),
        (0, "int $0x40", NP, 0x40 * 8 + 2),
        (0, "int $0x41", GP, 0x41 * 8 + 2),
        (3, "movb 0x402000, %al", PF, 5),  # supervisor page: present, user
        (3, "movb %al, 0x402000", PF, 7),
        (3, "movb 0x403000, %al", PF, 4),
        (3, "movb %al, 0x403000", PF, 6),
        (3, "movb %al, 0x401000", PF, 7),  # read-only
        (0, "movb %al, 0x401000", PF, 3),  # read-only for ring 0 too: CR0.WP
        (0, "movb 0x403000, %al", PF, 0),
        (3, "movl $0x400000, %eax; jmp *%rax", PF, 0x15),  # not executable
        (3, "movl $0x403000, %eax; jmp *%rax", PF, 0x14),
        (0, RESERVED + "movb 0x403000, %al", PF, 9),  # a reserved bit is set, which is checked only if present
        (0, RESERVED + "movb %al, 0x403000", PF, 0xB),
        (0, RESERVED + "movl $0x403000, %eax; jmp *%rax", PF, 0x19),
        (0, "movl $0x80000, pt + 28; movb 0x403000, %al", PF, 0),
        (3, "movl $0x403008, %esp; pushq %rax", PF, 6),
        (0, "movw $0x33, %ax; movw %ax, %ds", GP, 0x30),
    ],
)
def test_exception_has_its_vector_error_code_and_ring(
    kernel: Any, ring: int, body: str, vector: int, error_code: int
) -> None:
    ran = kernel(body, ring)
    (taken,) = ran.taken
    assert (taken.vector, taken.error_code, taken.cs) == (vector, error_code, USER if ring == 3 else KERNEL)
    assert ran.outcome is Outcome.HALTED


def test_a_fault_returns_to_its_instruction_and_does_not_retire(kernel: Any) -> None:
    faulting = kernel("ud2").machine
    (taken,) = kernel("nop; nop; ud2").taken
    (first,) = kernel("ud2").taken
    assert taken.rip == first.rip + 2
    assert kernel("nop; nop; ud2").machine.clock.now_ns == faulting.clock.now_ns + 2


def test_code_where_there_is_neither_ram_nor_device_is_all_ones(kernel: Any) -> None:
    """The bus floats, and FF FF is not an instruction. A device has none either, and reading it has no effect."""
    for look in ("nop", "movl (%rax), %ecx"):
        (taken,) = kernel(f"movl $0x2000087, pd + 24; movl $0x600000, %eax; {look}; jmp *%rax").taken
        assert (taken.vector, taken.rip) == (UD, 0x60_0000)
    (taken,) = kernel("movl $0xFEE00100, %eax; jmp *%rax").taken
    assert (taken.vector, taken.rip) == (UD, 0xFEE0_0100)


@pytest.mark.parametrize(
    ("before", "flags"),
    [
        ("movb $1, %al; cmpb $1, %al", 0x46),  # ZF, PF
        ("movb $0, %al; subb $1, %al", 0x97),  # SF, AF, PF, CF
        ("movb $0x7F, %al; incb %al", 0x892),  # OF, SF, AF
        ("xorl %eax, %eax; addb %al, %al", 0x46),  # and no CF
        ("xorl %eax, %eax; std", 0x446),
        ("movl $3, %eax; shrl $1, %eax; cld", 0x03),
    ],
)
@pytest.mark.parametrize("fault", ["movb 0x403000, %cl", "xorl %ecx, %ecx; divl %ecx", "int $0x80", "ud2"])
def test_an_exception_saves_the_flags_that_its_instruction_found(
    kernel: Any, before: str, flags: int, fault: str
) -> None:
    if fault.startswith("xorl"):
        flags = flags & 0x400 | 0x46  # those of XOR
    taken = kernel(f"{before}; {fault}", 3).taken[0]
    all_but_af = 0xCC7
    assert taken.rflags & all_but_af == flags & all_but_af


@pytest.mark.slow
def test_a_handler_that_faults_at_once_for_ever_comes_to_the_limit(kernel: Any) -> None:
    """Nothing retires: only the deliveries take time."""
    body = "movw $0x3000, idt + 14*16; movw $0x40, idt + 14*16 + 6; movb $1, idt + 14*16 + 4; movb 0x403000, %al"
    ran = kernel(body, limit_ns=10_000)
    assert ran.outcome is Outcome.LIMIT


@pytest.mark.parametrize(("stack", "error_code", "address"), [(0x402100, 5, 0x402100), (0x403000, 4, 0x403000)])
def test_iret_in_ring_3_reads_its_frame_as_ring_3(kernel: Any, stack: int, error_code: int, address: int) -> None:
    (taken,) = kernel(f"movl ${stack:#x}, %esp; iretq", 3).taken
    assert (taken.vector, taken.error_code, taken.cr2) == (PF, error_code, address)


def test_page_fault_sets_cr2_to_the_address(kernel: Any) -> None:
    assert kernel("movb 0x403123, %al", 3).taken[0].cr2 == 0x40_3123


def test_software_interrupt_returns_after_its_instruction(kernel: Any) -> None:
    (soft,) = kernel("int $0x80", 3).taken
    (fault,) = kernel("ud2", 3).taken
    assert (soft.vector, soft.error_code, soft.rip) == (0x80, 0, fault.rip + 2)


def test_int_14_is_not_a_page_fault_even_where_the_next_page_is_missing(kernel: Any) -> None:
    """`CD 0E` as the last bytes of a page: no error code, so the handler pops RIP where it expects one."""
    jump = "movl $0x406FFE, %eax; jmp *%rax"
    (soft,) = kernel(jump, 3).taken
    assert (soft.vector, soft.error_code) == (PF, 0x407000)
    (fetch,) = kernel("movl $0x407000, %eax; jmp *%rax", 3).taken
    assert (fetch.vector, fetch.error_code, fetch.rip) == (PF, 0x14, 0x407000)


def test_every_exception_after_the_first_is_itself_and_no_double_fault(kernel: Any) -> None:
    """Four page faults in a row: each is delivered as a page fault."""
    step = "leaq 1f(%rip), %r15; movb 0x403000, %al; 1: leaq 2f(%rip), %r15; ud2; 2:"
    assert [t.vector for t in kernel(step * 4, 3).taken] == [PF, UD] * 4


def test_a_fault_while_delivering_a_fault_is_a_double_fault(kernel: Any) -> None:
    """#PF while pushing the frame of a #PF; the double fault has a stack of its own."""
    ran = kernel("movl $0x403800, %esp; movb 0x403000, %al", 0)
    assert [(t.vector, t.error_code) for t in ran.taken] == [(DF, 0)]


def test_a_third_fault_shuts_the_processor_down(kernel: Any) -> None:
    ran = kernel("movb $0, idt + 16*8 + 5; movl $0x403800, %esp; movb 0x403000, %al", 0)
    assert ran.outcome is Outcome.SHUTDOWN
    assert isinstance(ran.events[-1], Shutdown)


def test_ports_open_in_the_permission_bitmap_are_open_to_ring_3(kernel: Any) -> None:
    opened = kernel("movb $0x5A, %al; outb %al, $0x80; inw $0x92, %ax; ud2", 3)
    assert [t.vector for t in opened.taken] == [UD]
    assert opened.machine.post_code.code == 0x5A


@pytest.mark.parametrize(("code", "vector"), [("66 E5 92", UD), ("66 48 E5 92", GP), ("48 E5 92", GP)])
def test_rex_w_widens_an_access_to_ports_again(kernel: Any, code: str, vector: int) -> None:
    """IN of port 92H: it and the next one are open."""
    ran = kernel(f".byte {', '.join(f'0x{byte}' for byte in code.split())}; ud2", 3)
    assert [taken.vector for taken in ran.taken] == [vector]


def test_iopl_3_opens_every_port_to_ring_3(kernel: Any) -> None:
    closed = kernel("movb $0x5A, %al; outl %eax, $0x80", 3)
    assert [t.vector for t in closed.taken] == [GP]
    assert closed.machine.post_code.code == 0
    opened = kernel("movb $0x5A, %al; outl %eax, $0x80; ud2", 3, rflags=0x3202)
    assert [t.vector for t in opened.taken] == [UD]
    assert opened.machine.post_code.code == 0x5A


def test_a_refused_in_changes_no_register(kernel: Any) -> None:
    ran = kernel("movl $0x12345678, %eax; leaq 1f(%rip), %r15; inb $0x60, %al; 1: movl %eax, 0x240000; ud2", 3)
    assert ran.machine.ram.read(0x24_0000, 4) == bytes.fromhex("78563412")


ARM = "movl $0xFEE00000, %ebx; movl $0x1FF, 0xF0(%rbx); movl $0xB, 0x3E0(%rbx); movl $0x20, 0x320(%rbx);"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 21, 22, 100])
def test_the_timer_interrupts_after_exactly_count_plus_one_instructions(kernel: Any, count: int) -> None:
    """As on QEMU under -icount: n + 1 one-byte instructions complete after the arming store."""
    ran = kernel(ARM + f"sti; nop; movl ${count}, 0x380(%rbx); 2: .rept 128; nop; .endr; ud2")
    after = kernel(ARM + "sti; nop; movl $1000, 0x380(%rbx); ud2").taken[0].rip
    assert [t.vector for t in ran.taken] == [0x20]
    assert ran.taken[0].rip == after + count + 1


def test_an_interrupt_that_is_due_waits_for_the_instruction_after_sti(kernel: Any) -> None:
    ran = kernel(ARM + "movl $5, 0x380(%rbx); .rept 50; nop; .endr; 2: sti; nop; nop; ud2")
    there = kernel(ARM + "movl $5, 0x380(%rbx); .rept 50; nop; .endr; cli; nop; ud2").taken[0].rip
    assert ran.taken[0].vector == 0x20
    assert ran.taken[0].rip == there


def test_hlt_sleeps_to_the_deadline_and_not_a_nanosecond_longer(kernel: Any) -> None:
    short = kernel(ARM + "movl $1000, 0x380(%rbx); sti; hlt")
    long = kernel(ARM + "movl $51000, 0x380(%rbx); sti; hlt")
    assert long.machine.clock.now_ns - short.machine.clock.now_ns == 50_000


def test_an_interrupt_within_ring_0_is_seen_to_return(kernel: Any) -> None:
    ran = kernel("leaq 1f(%rip), %r15; int $0x80; 1: nop; ud2")
    assert [e.vector for e in ran.events if isinstance(e, InterruptReturned)] == [0x80]


TO_THE_INSTRUCTION_AFTER = (
    "leaq 9f(%rip), %rax; movw %ax, idt + 16*0x80; shrq $16, %rax; movw %ax, idt + 16*0x80 + 6; int $0x80; 9:"
)


@pytest.mark.parametrize(
    ("before", "instruction", "vector"),
    [
        ("movl $2, %eax; movq %rax, %dr7; movl $0x402, %ecx;", "movq %dr7, %rbx; cmpl %ebx, %ecx; je 1f; int3; 1:", UD),
        ("movl $0x12345678, %ecx;", "wrmsr", GP),
    ],
    ids=["MOV DR7", "WRMSR"],
)
def test_an_instruction_that_an_interrupt_would_return_to_is_watched_also_when_reached_by_another_way(
    kernel: Any, before: str, instruction: str, vector: int
) -> None:
    """The handler is the instruction after INT, on another stack: executing it is not a return."""
    ran = kernel(f"{before} {TO_THE_INSTRUCTION_AFTER} {instruction}; ud2")
    assert [t.vector for t in ran.taken] == [vector]
    assert not [event for event in ran.events if isinstance(event, InterruptReturned)]


def test_a_breakpoint_on_an_instruction_that_an_interrupt_would_return_to_is_met(kernel: Any) -> None:
    ran = kernel(
        "leaq 9f(%rip), %rax; movq %rax, %dr0; movl $1, %eax; movq %rax, %dr7;" + TO_THE_INSTRUCTION_AFTER + "nop; ud2"
    )
    assert [t.vector for t in ran.taken] == [DB]


def test_every_ring_change_is_recorded_with_its_cause(kernel: Any) -> None:
    ran = kernel("leaq 1f(%rip), %r15; int $0x80; 1: nop; ud2", 3)
    changes = [(e.from_ring, e.to_ring, e.cause) for e in ran.events if isinstance(e, RingTransition)]
    inward, outward = (3, 0, "software_interrupt"), (0, 3, "interrupt_return")
    assert changes == [outward, inward, outward, (3, 0, "exception")]


def test_a_far_return_to_ring_3_is_distinguished_from_iret(kernel: Any) -> None:
    ran = kernel("movw $0x0B0F, 0x200000; pushq $0x1B; pushq $0x240000; pushq $0x23; pushq $0x200000; lretq")
    assert [e.cause for e in ran.events if isinstance(e, RingTransition)] == ["far_return", "exception"]


def test_a_stack_pointer_in_the_tss_at_an_address_that_is_not_canonical_is_gp(kernel: Any) -> None:
    """The TSS ends where addresses are no longer canonical. Neither #GP nor #DF can be delivered then."""
    ran = kernel(
        "movb $0x89, gdt + 0x2D; movw $0xFFFC, gdt + 0x2A; movb $0xFF, gdt + 0x2C; movb $0xFF, gdt + 0x2F;"
        "movl $0x7FFF, gdt + 0x30; movw $0x28, %ax; ltr %ax; movw $0x80CD, 0x200000;"
        "pushq $0x1B; pushq $0x240800; pushq $2; pushq $0x23; pushq $0x200000; iretq"
    )
    raised = [(e.vector, e.error_code) for e in ran.events if isinstance(e, InterruptRaised)]
    assert raised == [(0x80, None), (GP, 0), (DF, 0)]
    assert ran.outcome is Outcome.SHUTDOWN


def test_a_call_through_a_gate_is_distinguished_from_a_far_return(kernel: Any) -> None:
    """The gate lies in a copy of the GDT, whose 0x48 it is; ring 3 calls it by the far pointer at 0x240200."""
    ran = kernel(
        """sgdt 0x240000; movq 0x240002, %rsi; movl $0x240100, %edi; movl $9, %ecx; rep movsq
        leaq 9f(%rip), %rax; movw %ax, 0x240148; movw $8, 0x24014A; movw $0xEC00, 0x24014C; shrl $16, %eax
        movw %ax, 0x24014E; movq $0, 0x240150; movw $0x57, 0x240000; movq $0x240100, 0x240002; lgdt 0x240000
        movl $0, 0x240200; movw $0x4B, 0x240204; movl $0x251CFF, 0x200000; movl $0x240200, 0x200003
        pushq $0x1B; pushq $0x240800; pushq $2; pushq $0x23; pushq $0x200000; iretq
        9: lretq"""
    )
    changes = [e.cause for e in ran.events if isinstance(e, RingTransition)]
    assert changes == ["interrupt_return", "call_gate", "far_return", "exception"]


def test_rdtsc_and_cpuid_answer_from_the_machine(kernel: Any) -> None:
    ran = kernel("rdtsc; movl %eax, 0x240000; xorl %eax, %eax; cpuid; movl %ebx, 0x240004; rdtscp; ud2", 3)
    before = kernel("ud2", 3).machine.clock.now_ns
    halting = ran.machine.clock.now_ns - before
    tsc = int.from_bytes(ran.machine.ram.read(0x24_0000, 4), "little")
    assert before - 100 < tsc < before + halting
    assert ran.machine.ram.read(0x24_0004, 4) == b"Genu"


def test_nmi_ignores_the_interrupt_flag(kernel: Any, assemble: Any) -> None:
    ran = kernel("cli; 1: jmp 1b")
    assert ran.outcome is Outcome.LIMIT
    ran.machine.request_nmi()
    ran.machine.run(ran.machine.clock.now_ns + 1000)
    assert [t.vector for t in ran.taken] == [2]


def test_an_interrupt_right_after_iret_comes_from_the_ring_that_was_returned_to(kernel: Any) -> None:
    """The timer is due at, before and after the first instruction of ring 3."""
    body = (
        ARM
        + """movl $COUNT, 0x380(%rbx)
        pushq $0x1B; pushq $0x240000; pushq $0x202; pushq $0x23; pushq $0x200000; movw $0xFEEB, 0x200000; iretq"""
    )
    for count in range(1, 12):
        ran = kernel(body.replace("COUNT", str(count)), limit_ns=20_000)
        assert [(t.vector, t.cs, t.rip) for t in ran.taken] == [(0x20, USER, 0x200000)], count


def test_a_fetch_fault_right_after_iret_is_one_of_ring_3(kernel: Any) -> None:
    ran = kernel("pushq $0x1B; pushq $0x240000; pushq $0x202; pushq $0x23; pushq $0x403000; iretq")
    assert [(t.vector, t.error_code, t.cs, t.rip) for t in ran.taken] == [(PF, 0x14, USER, 0x403000)]
    changes = [(e.from_ring, e.to_ring) for e in ran.events if isinstance(e, RingTransition)]
    assert changes == [(0, 3), (3, 0)]


@pytest.mark.parametrize(
    "source", ["rdtsc", "rdtscp", "movl $0x10, %ecx; rdmsr", "movl $0x40000000, %eax; cpuid", "xorl %ecx, %ecx; xgetbv"]
)
def test_nothing_tells_of_the_host_or_its_clock(kernel: Any, source: str) -> None:
    """Two runs of the same program leave the same registers and memory, however much time is in between."""

    def left(delay: int) -> tuple[int, ...]:
        sum(range(delay))
        ran = kernel(f"{source}; movl %eax, 0x240000; movl %edx, 0x240004; movl %ecx, 0x240008; hlt")
        return tuple(ran.machine.ram.read(0x24_0000, 12)), ran.machine.clock.now_ns  # type: ignore[return-value]

    assert left(0) == left(300_000)


def test_iret_in_the_shadow_of_sti_is_followed_to_its_ring(kernel: Any) -> None:
    """The instruction that completes before a pending interrupt may itself leave the ring, or fault."""
    due = ARM + "movl $5, 0x380(%rbx); movw $0xFEEB, 0x200000; .rept 50; nop; .endr;"
    frame = "pushq $0x1B; pushq $0x240000; pushq $0x202; pushq $0x23; pushq $0x200000;"
    ran = kernel(due + frame + "sti; iretq", limit_ns=20_000)
    assert [(t.vector, t.cs, t.rip) for t in ran.taken] == [(0x20, USER, 0x200000)]
    faulted = kernel(due + "sti; ud2", limit_ns=20_000)
    assert [t.vector for t in faulted.taken] == [UD]


@pytest.mark.parametrize("shadowed", ["pause", "nop", ".byte 0xF3, 0x41, 0x90", "cmovel %eax, %ecx"])
def test_the_shadow_of_sti_ends_after_one_instruction(kernel: Any, shadowed: str) -> None:
    due = ARM + "movl $5, 0x380(%rbx); .rept 50; nop; .endr;"
    ran = kernel(due + f"sti; {shadowed}; cli; hlt", rflags=2, limit_ns=20_000)
    assert [t.vector for t in ran.taken][:1] == [0x20]


RF = 1 << 16


@pytest.mark.parametrize(
    ("body", "vector", "saved"),
    [
        ("ud2", UD, True),
        ("movb 0x403000, %al", PF, True),
        ("xorl %ecx, %ecx; divl %ecx", DE, True),
        ("cli", GP, True),
        ("int $0x21", GP, True),  # the fault of an INT is a fault
        ("int $0x80", 0x80, False),
        ("pushfq; orl $0x100, (%rsp); popfq; nop; nop", DB, False),  # single step: a trap
    ],
)
def test_a_fault_sets_rf_in_the_flags_it_saves_and_nothing_else_does(
    kernel: Any, body: str, vector: int, saved: bool
) -> None:
    """SDM volume 3, 18.3.1.1: so that an instruction breakpoint is not hit again after the fault is fixed."""
    (taken,) = kernel(body, 3).taken
    assert (taken.vector, bool(taken.rflags & RF)) == (vector, saved)


def test_an_external_interrupt_saves_the_flags_as_they_are(kernel: Any) -> None:
    (taken,) = kernel(ARM + "sti; nop; movl $5, 0x380(%rbx); .rept 50; nop; .endr; ud2").taken[:1]
    assert (taken.vector, taken.rflags & RF) == (0x20, 0)
