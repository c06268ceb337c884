"""Unicorn where it is not the manual and the machine does not mend it: docs/unicorn.md has the manual's rule.

These tests state faults. One that fails says that Unicorn got better: take it and its line in the page away.
"""

import re
from pathlib import Path
from typing import Any

from machine.machine import Outcome

PAGE = (Path(__file__).parents[2] / "docs" / "unicorn.md").read_text()
UD, PF = 6, 14


def vectors(ran: Any) -> list[int]:
    return [taken.vector for taken in ran.taken]


def test_mxcsr_flags(kernel: Any) -> None:
    ran = kernel("xorps %xmm1, %xmm1; movl $1, %eax; cvtsi2ss %eax, %xmm0; divss %xmm1, %xmm0; stmxcsr 0x240000; ud2")
    assert ran.machine.ram.read(0x24_0000, 4) == bytes.fromhex("801f0000")  # ZE is bit 2


def test_alignment(kernel: Any) -> None:
    assert vectors(kernel("movaps 0x240001, %xmm0; ud2")) == [UD]


def test_cvtps2pd(kernel: Any) -> None:
    assert vectors(kernel("cvtps2pd 0x402FF8, %xmm0; ud2")) == [PF]


def test_torn_load(kernel: Any) -> None:
    """The page at 0x402000 is followed by one that is not present."""
    ran = kernel("movl $0x11223344, 0x402FF8; xorps %xmm3, %xmm3; movups 0x402FF8, %xmm3")
    assert vectors(ran) == [PF]
    assert ran.machine.cpu.read_register("XMM3") == 0x1122_3344


def test_lahf_rex(kernel: Any) -> None:
    ran = kernel("movl $0x111111, %eax; movl %esp, %ebx; .byte 0x40, 0x9F; movl %eax, %ecx; subl %esp, %ebx; ud2")
    assert ran.machine.cpu.registers.rcx == 0x11_1111
    assert ran.machine.cpu.registers.rbx != 0


def test_cmpps(kernel: Any) -> None:
    first, *_ = kernel(".byte 0x0F, 0xC2, 0xC1, 0x2B; nop; ud2").taken
    second, *_ = kernel("ud2").taken
    assert first.rip == second.rip


def test_narrow_branch(kernel: Any) -> None:
    ran = kernel("movl $0x403000, %eax; .byte 0x66, 0xE9, 0, 0; ud2")
    assert ran.taken[0].rip < 0x1_0000


def length(kernel: Any, instruction: str) -> int:
    """How far behind the start UD2 stands: the instruction was executed."""
    (taken,) = kernel(f"{instruction}; ud2").taken
    (start,) = kernel("ud2").taken
    assert taken.vector == UD
    return int(taken.rip - start.rip)


def test_mov_ss_null(kernel: Any) -> None:
    assert length(kernel, "movw $3, %ax; movw %ax, %ss") == 6


def test_long_and_default(kernel: Any) -> None:
    ran = kernel("orb $0x40, gdt + 8 + 6; pushq $8; leaq 1f(%rip), %rax; pushq %rax; lretq; 1: nop; hlt")
    assert ran.taken == []
    assert ran.outcome is Outcome.HALTED


def test_every_fault_told_of_is_held_by_a_test() -> None:
    told = re.findall(r"\| `(\w+)` \|$", PAGE, re.M)
    assert told
    assert [name for name in told if f"test_{name}" not in globals()] == []
