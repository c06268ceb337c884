"""Control transfers and segment loads in a kernel: faults delivered, events recorded, RF and traps."""

from typing import Any

import pytest

from machine.events import (
    DescriptorTableLoaded,
    InterruptDelivered,
    InterruptRaised,
    InterruptReturned,
    ModeSwitched,
    RingTransition,
)

DB, UD, SS, GP, PF = 1, 6, 12, 13, 14
SCRATCH = 0x24_0000
FAR_CALL = "movl $0x240010, %eax; movl $0x200000, (%rax); movw $0x23, 4(%rax); lcalll *(%rax)"


def scratch(ran: Any, offset: int = 0, size: int = 8) -> int:
    return int.from_bytes(ran.machine.ram.read(SCRATCH + offset, size), "little")


@pytest.mark.parametrize(
    ("stack", "vector", "error_code", "cr2"),
    [
        ("stack_top - 0x100", PF, 7, None),  # the kernel's stack
        ("0x402800", PF, 7, 0x40_27FC),
        ("0x401800", PF, 7, 0x40_17FC),
        ("0x403800", PF, 6, 0x40_37FC),
        ("0xFEE00080", PF, 7, 0xFEE0_007C),  # the local APIC
        ("0x800000000008", SS, 0, None),
    ],
)
def test_a_far_call_of_ring_3_writes_only_what_ring_3_may(
    kernel: Any, stack: str, vector: int, error_code: int, cr2: int | None
) -> None:
    """Return addresses on the kernel's stack would make the guest the kernel."""
    ran = kernel(f"movabsq ${stack}, %rsp; {FAR_CALL}", 3)
    (taken,) = ran.taken
    assert (taken.vector, taken.error_code, taken.cs) == (vector, error_code, 0x23)
    assert cr2 is None or taken.cr2 == cr2


@pytest.mark.parametrize("instruction", ["lretq", "iretq", "popq %fs"])
def test_the_stack_is_read_as_ring_3_may(kernel: Any, instruction: str) -> None:
    (taken,) = kernel(f"movl $0x402800, %esp; {instruction}", 3).taken
    assert (taken.vector, taken.error_code, taken.cr2) == (PF, 5, 0x40_2800)


RETURN_TO_RING_3 = """
    movl $0x10, %eax; movl %eax, %fs; movl %eax, %gs
    movl $0xC0000101, %ecx; movl $0x12345000, %eax; xorl %edx, %edx; wrmsr
    movl $0xC0000100, %ecx; movl $0x6789a000, %eax; wrmsr; movw $0x80CD, 0x200000;"""


@pytest.mark.parametrize(
    "frame",
    [
        "pushq $0x1B; pushq $0x240800; pushq $2; pushq $0x23; pushq $0x200000; iretq",
        "pushq $0x1B; pushq $0x240800; pushq $0x23; pushq $0x200000; lretq",
    ],
)
def test_the_bases_of_fs_and_gs_survive_ring_3(kernel: Any, frame: str) -> None:
    ran = kernel(RETURN_TO_RING_3 + frame)
    registers = ran.machine.cpu.registers
    assert (registers.fs.selector, registers.gs.selector) == (0, 0)
    assert (registers.fs.base, registers.gs.base) == (0x6789_A000, 0x1234_5000)
    cause = "interrupt_return" if "iretq" in frame else "far_return"
    changes = [(e.from_ring, e.to_ring, e.cause) for e in ran.events if isinstance(e, RingTransition)]
    assert changes == [(0, 3, cause), (3, 0, "software_interrupt")]


def test_an_interrupt_within_the_ring_is_seen_to_return(kernel: Any) -> None:
    ran = kernel("leaq 1f(%rip), %r15; int $0x80; 1: ud2")
    (returned,) = [e for e in ran.events if isinstance(e, InterruptReturned)]
    assert (returned.vector, returned.rip) == (0x80, ran.taken[1].rip)


def test_pushf_never_stores_rf(kernel: Any) -> None:
    frame = "movq %rsp, %rbx; pushq $0x10; pushq %rbx; pushq $0x10002; pushq $8; leaq 1f(%rip), %rax; pushq %rax; iretq"
    ran = kernel(f"{frame}; 1: pushfq; popq 0x240000; ud2")
    assert scratch(ran) == 2


def test_rf_lasts_until_the_first_instruction_and_no_longer(kernel: Any) -> None:
    """An instruction breakpoint on both NOPs: RF suppresses the first, but not the second."""
    ran = kernel(
        """leaq 1f(%rip), %rax; movq %rax, %dr0; leaq 2f(%rip), %rax; movq %rax, %dr1; movl $0xA, %eax; movq %rax, %dr7
        movq %rsp, %rbx; pushq $0x10; pushq %rbx; pushq $0x10002; pushq $8; leaq 1f(%rip), %rax; pushq %rax; iretq
        1: nop; 2: nop; ud2"""
    )
    (taken,) = ran.taken
    assert (taken.vector, taken.rflags & 0x1_0000) == (DB, 0)
    assert scratch(ran) == 0


def test_rf_does_not_let_a_watched_instruction_pass(kernel: Any) -> None:
    """A breakpoint on a far CALL of ring 3, suppressed by RF: its rules still apply."""
    ran = kernel(
        """movl $0x240010, %ecx; movl $0x200000, (%rcx); movw $0x23, 4(%rcx)
        movw $0x19FF, 0x200000; movl $0x200000, %eax; movq %rax, %dr0; movl $2, %eax; movq %rax, %dr7
        pushq $0x1B; pushq $0x402800; pushq $0x10002; pushq $0x23; pushq $0x200000; iretq"""
    )
    (taken,) = ran.taken
    assert (taken.vector, taken.error_code) == (PF, 7)


WATCH_STACK_SEGMENT = """
    movl $0x10, 0x240000; movl $0x240000, %eax; movq %rax, %dr1; movl $0x00F00008, %eax; movq %rax, %dr7
    leaq 9f(%rip), %r15; {load}; nop; 2: nop; ud2
    9: movq %dr6, %rax; movq %rax, 0x240010; leaq 2b(%rip), %rax; movq %rax, 0x240018; ud2"""


@pytest.mark.parametrize("load", ["movw 0x240000, %ss", "movw 0x240000, %ds; incl %eax"])
def test_a_data_breakpoint_of_mov_ss_waits_for_the_next_instruction(kernel: Any, load: str) -> None:
    ran = kernel(WATCH_STACK_SEGMENT.format(load=load))
    first, second = ran.taken
    assert (first.vector, second.vector) == (DB, UD)
    assert scratch(ran, 0x10) & 0xF == 2
    after_mov_ss = scratch(ran, 0x18)
    assert first.rip == (after_mov_ss if "ss" in load else after_mov_ss - 3)


@pytest.mark.parametrize(
    ("following", "vector"),
    [("int $0x80", 0x80), ("ud2", UD), ("movl 0x403000, %eax", PF), ("movq %rax, %cr1", UD)],
)
def test_a_data_breakpoint_of_mov_ss_comes_after_an_interrupt_has_been_delivered(
    kernel: Any, following: str, vector: int
) -> None:
    """The inhibition ends after the delivery of an exception (SDM volume 2, MOV)."""
    ran = kernel(WATCH_STACK_SEGMENT.format(load=f"movw 0x240000, %ss; {following}"))
    raised = [e for e in ran.events if isinstance(e, InterruptRaised)]
    assert [e.vector for e in raised[:2]] == [vector, DB]
    delivered = [e for e in ran.events if isinstance(e, InterruptDelivered)]
    assert raised[1].rip == delivered[0].handler
    assert ran.machine.cpu.debug.dr6 & 0xF == 2


@pytest.mark.parametrize(("following", "length"), [("nop", 1), ("movq %cr0, %rax", 3), ("movl %ecx, %ss", 2)])
def test_a_single_step_over_mov_ss_is_two_instructions(kernel: Any, following: str, length: int) -> None:
    """Whoever executes the second."""
    ran = kernel(f"movl $0x10, %ecx; pushq $0x102; popfq; movl %ecx, %ss; {following}; nop; ud2")
    bare = kernel("movl $0x10, %ecx; pushq $0x102; popfq; movl %ecx, %ds; nop; ud2")
    assert (ran.taken[0].vector, bare.taken[0].vector) == (DB, DB)
    assert ran.taken[0].rip == bare.taken[0].rip + length


def test_segments_with_both_l_and_d_are_refused(kernel: Any) -> None:
    ran = kernel("orb $0x40, gdt + 8 + 6; pushq $8; leaq 1f(%rip), %rax; pushq %rax; lretq; 1: nop; hlt")
    assert next(e.vector for e in ran.events if type(e).__name__ == "InterruptRaised") == GP


def test_a_task_register_whose_base_is_not_canonical_is_gp(kernel: Any) -> None:
    ran = kernel(
        "leaq 1f(%rip), %r15; movl $0xAAAAAAAA, gdt + 0x30; movb $0x89, gdt + 0x2D; movw $0x28, %ax; ltr %ax; 1: ud2"
    )
    assert [(t.vector, t.error_code) for t in ran.taken] == [(GP, 0x28), (UD, 0)]


def test_registers_of_descriptor_tables_are_recorded(kernel: Any) -> None:
    ran = kernel("movb $0x89, gdt + 0x2D; movw $0x28, %ax; ltr %ax; sgdt 0x240000; lgdt 0x240000; ud2")
    loaded = [e.register for e in ran.events if isinstance(e, DescriptorTableLoaded)]
    assert loaded == ["GDTR", "TR", "IDTR"]


@pytest.mark.parametrize("transfer", ["pushq $0x38; leaq 1f(%rip), %rax; pushq %rax; lretq", "ljmpl *(%rbx)"])
def test_a_far_transfer_to_compatibility_mode_is_a_change_of_mode(kernel: Any, transfer: str) -> None:
    body = f"leaq 1f(%rip), %rax; movl %eax, 0x240000; movw $0x38, 0x240004; movl $0x240000, %ebx; {transfer}"
    ran = kernel(body + "; .code32; 1: ud2; .code64")
    modes = [e.mode for e in ran.events if isinstance(e, ModeSwitched)]
    assert modes == ["protected", "compatibility", "long", "compatibility", "long"]
