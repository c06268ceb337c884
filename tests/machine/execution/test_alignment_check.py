"""Alignment checking: #AC in ring 3 with CR0.AM and RFLAGS.AC (SDM volume 3, 6.15, interrupt 17).

QEMU never raises #AC, so this is not in tests/oracle.
"""

from typing import Any

import pytest

from machine.architecture.decoding import decode
from machine.architecture.exceptions import Fault
from machine.architecture.processor_state import DEFAULT_32
from machine.execution.alignment_check import AlignmentCheck
from tests.machine.execution.alignment import FLAG_AC, SET_AM, TO_RING_3
from tests.machine.instructions.processor import DATA, Mode, Processor

AC, DB, UD, GP = 17, 1, 6, 13


def in_ring_3(kernel: Any, instruction: str, flags: int = 0x202 | FLAG_AC, set_am: str = SET_AM) -> Any:
    """Copy an instruction and UD2 to the user's page and enter it there."""
    copy = "leaq 7f(%rip), %rsi; movl $0x200000, %edi; movl $80, %ecx; rep movsb; movl $0x240100, %ebx;"
    return kernel(f"{set_am} {copy} {TO_RING_3.replace('FLAGS', str(flags))} 7: {instruction}; ud2;   .skip 80")


MISALIGNED = [
    "movw 1(%rbx), %ax",
    "movl 2(%rbx), %eax",
    "movq 4(%rbx), %rax",
    "movq %rax, 4(%rbx)",
    "lock incl 1(%rbx)",
    "fldl 4(%rbx)",
    "fldt 4(%rbx)",
    "movq 4(%rbx), %xmm0",
    "movl 1(%rbx, %r12, 8), %eax",
    "leaq 1(%rbx), %rsi; lodsl",
    "leaq -3(%rsp), %rsp; pushq %rax",
    "leaq -3(%rsp), %rsp; popq %rax",
    "leaq -3(%rsp), %rsp; pushfq",
    "leaq -3(%rsp), %rsp; lretq",
    "leaq -4(%rsp), %rsp; lretq",
    "leaq -4(%rsp), %rsp; lretq $8",
    "leaq -2(%rsp), %rsp; lretl",
    "leaq -2(%rsp), %rsp; lretl $8",
    "leaq -1(%rsp), %rsp; lretw",
    "data16 cmovs 1(%rbx), %ax",
    "data16 rep cmovs 1(%rbx), %ax",
    "rep cmovs 4(%rbx), %rax",
    "lfs 1(%rbx), %ecx",
    "leaq -3(%rsp), %rsp; popq %fs",
    "leaq -4(%rsp), %rsp; data16 ret",
    "fldenv 2(%rbx)",
    "larw 1(%rbx), %ax",
    "rep cmovs 101f(%rip), %rax; .balign 8; .byte 0; 101: .quad 0",
    "btl %ecx, 1(%rbx)",
    "movups 8(%rbx), %xmm0",
    "movl $1, %ecx; leaq 1(%rbx), %rsi; movq %rbx, %rdi; rep movsl",
    "leaq 4(%rbx), %rdi; maskmovq %mm0, %mm0",
    "leaq 4(%rbx), %rdi; maskmovdqu %xmm0, %xmm0",
    "leal 4(%rbx), %edi; addr32 maskmovdqu %xmm0, %xmm0",
]
ALIGNED = [
    "movb 1(%rbx), %al",
    "movl 4(%rbx), %eax",
    "movq 8(%rbx), %rax",
    "leaq 1(%rbx), %rax",
    "pushq %rax",
    "nopl 1(%rbx)",
    ".byte 0x0F, 0x1B, 0x43, 0x01",  # NOP 1(%rbx)
    "data16 rep cmovs 2(%rbx), %ax",
    "lfsw 2(%rbx), %cx",
    "lfs 4(%rbx), %ecx",
    "larw 2(%rbx), %ax",
    "fldenv 4(%rbx)",
    "btl %ecx, 4(%rbx)",
    "movups 16(%rbx), %xmm0",
    "prefetcht0 1(%rbx)",
    "movl %eax, %ecx",
    "fldt 8(%rbx)",
    "leaq 8(%rbx), %rdi; maskmovdqu %xmm0, %xmm0",
    "movw $0x0B0F, 0x200080; leaq -28(%rsp), %rsp; movl $0x1B, 16(%rsp); movl $0x240000, 12(%rsp);"
    "movl $0x40202, 8(%rsp); movl $0x23, 4(%rsp); movl $0x200080, (%rsp); iretl",  # its words have four bytes
    "movw $0x0B0F, 0x200080; leaq -4(%rsp), %rsp; movl $0x23, 4(%rsp); movl $0x200080, (%rsp); lretl",
    "movw $0x0B0F, 0x200080; leaq -4(%rsp), %rsp; movl $0x23, 4(%rsp); movl $0x200080, (%rsp); lretl $8",
    "xorl %ecx, %ecx; leaq 1(%rbx), %rsi; movq %rsi, %rdi; rep movsl",  # nothing is moved
]


@pytest.mark.parametrize("instruction", MISALIGNED)
def test_data_that_is_not_aligned_is_ac(kernel: Any, instruction: str) -> None:
    (taken,) = in_ring_3(kernel, instruction).taken
    assert (taken.vector, taken.error_code, taken.cs) == (AC, 0, 0x23)


@pytest.mark.parametrize("instruction", ALIGNED)
def test_data_that_is_aligned_is_not(kernel: Any, instruction: str) -> None:
    (taken,) = in_ring_3(kernel, instruction).taken
    assert taken.vector == UD


def test_both_bits_are_needed_and_ring_3(kernel: Any) -> None:
    odd = "movl 1(%rbx), %eax"
    assert [t.vector for t in in_ring_3(kernel, odd, 0x202).taken] == [UD]
    assert [t.vector for t in in_ring_3(kernel, odd, set_am="").taken] == [UD]
    assert [t.vector for t in kernel(SET_AM + "pushq $0x40202; popfq; movl 0x240101, %eax; ud2").taken] == [UD]


def test_popf_in_ring_3_begins_the_checks(kernel: Any) -> None:
    (taken,) = in_ring_3(kernel, "pushq $0x40202; popfq; movl 1(%rbx), %eax", 0x202).taken
    assert taken.vector == AC
    (taken,) = in_ring_3(kernel, "pushq $0x202; popfq; movl 1(%rbx), %eax").taken
    assert taken.vector == UD


def test_iret_within_ring_3_begins_the_checks(kernel: Any) -> None:
    body = (
        "movl $0x200000 + 9f - 7b, %eax; pushq $0x1B; pushq $0x240000; pushq $0x40202; pushq $0x23; pushq %rax; iretq;"
    )
    (taken,) = in_ring_3(kernel, body + "9: movl 1(%rbx), %eax", 0x202).taken
    assert taken.vector == AC


@pytest.mark.parametrize("instruction", ["fxsave 1(%rbx)", "fxrstor 8(%rbx)", "cmpxchg16b 8(%rbx)"])
def test_what_is_gp_where_it_is_not_aligned_stays_so(kernel: Any, instruction: str) -> None:
    (taken,) = in_ring_3(kernel, instruction).taken
    assert (taken.vector, taken.error_code) == (GP, 0)


def test_what_is_forbidden_or_debugged_comes_before_alignment(kernel: Any) -> None:
    (taken,) = in_ring_3(kernel, "lgdt 1(%rbx)").taken
    assert taken.vector == GP
    (taken,) = in_ring_3(kernel, "movw $0x60, %dx; leaq 1(%rbx), %rdi; insl").taken
    assert taken.vector == GP
    arm = "movl $0x200000, %eax; movq %rax, %dr0; movl $1, %eax; movq %rax, %dr7;"
    (taken,) = in_ring_3(kernel, "movl 1(%rbx), %eax", set_am=SET_AM + arm).taken
    assert taken.vector == DB


def test_the_instruction_that_faults_has_done_nothing_and_not_retired(kernel: Any) -> None:
    ran = in_ring_3(kernel, "movl $5, %ecx; movl %ecx, 1(%rbx)")
    assert ran.machine.ram.is_zero(0x24_0100, 16)
    assert ran.taken[0].rip == 0x20_0005


def checked(processor: Processor, code: str) -> int | None:
    """The vector of the alignment check before an instruction."""
    registers = processor.cpu.registers
    wide = bool(registers.cs.flags & DEFAULT_32)
    instruction = decode(bytes.fromhex(code), long=registers.in_64_bit_code, wide=wide)
    assert instruction is not None
    try:
        AlignmentCheck(processor.cpu).check(instruction)
    except Fault as fault:
        return fault.vector
    return None


@pytest.mark.parametrize("prefixes", ["64", "643e", "2664", "64362e", "64f3"])
def test_fs_counts_among_prefixes_without_effect(prefixes: str) -> None:
    """MOV EAX, FS:[RBX]"""
    processor = Processor(Mode.LONG, 3)
    processor.cpu.registers.rbx, processor.cpu.registers.fs.base = DATA, 1
    assert checked(processor, prefixes + "8b03") == AC
    processor.cpu.registers.fs.base = 4
    assert checked(processor, prefixes + "8b03") is None


@pytest.mark.parametrize(("prefix", "bits", "alignment"), [("", 32, 4), ("66", 32, 2), ("67", 16, 2), ("6667", 16, 4)])
def test_far_pointers_are_aligned_as_the_operand_size_has_it(prefix: str, bits: int, alignment: int) -> None:
    """LES EAX or AX, [EBX]"""
    processor = Processor(Mode.PROTECTED, 3)
    registers = processor.cpu.registers
    if bits == 16:
        registers.cs.flags &= ~DEFAULT_32
    for offset in range(1, 5):
        registers.rbx = DATA + offset
        assert checked(processor, prefix + "c403") == (AC if offset % alignment else None)
