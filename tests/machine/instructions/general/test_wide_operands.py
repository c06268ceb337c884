"""16-byte memory operands: alignment, and accesses whose second page faults (SDM volume 1, 10.8.3)."""

from typing import Any

import pytest

UD, GP, PF = 6, 13, 14
PRESENT = 0x40_2000
"""A page followed by an absent one."""


def vectors(ran: Any) -> list[int]:
    return [taken.vector for taken in ran.taken]


@pytest.mark.parametrize(
    "instruction",
    [
        "movaps {}, %xmm0", "movaps %xmm0, {}", "movdqa {}, %xmm1", "movntps %xmm0, {}", "movntdqa {}, %xmm2",
        "addps {}, %xmm0", "paddb {}, %xmm0", "pshufd $0, {}, %xmm0", "movsldup {}, %xmm0", "haddps {}, %xmm0",
        "pshufb {}, %xmm0", "dpps $0xFF, {}, %xmm0", "rcpps {}, %xmm0", "cvtpd2ps {}, %xmm0", "cvttpd2pi {}, %mm0",
    ],
)  # fmt: skip
def test_a_misaligned_operand_is_a_general_protection_fault(kernel: Any, instruction: str) -> None:
    ran = kernel("9: " + instruction.format("0x240008"))
    assert vectors(ran) == [GP]
    assert ran.taken[0].error_code == 0
    assert vectors(kernel(instruction.format("0x240010") + "; ud2")) == [UD]


@pytest.mark.parametrize(
    "instruction",
    [
        "movups 0x240001, %xmm0", "movupd %xmm0, 0x240001", "movdqu 0x240001, %xmm0", "lddqu 0x240001, %xmm0",
        "cvtps2pd 0x240001, %xmm0", "addss 0x240001, %xmm0", "pcmpistri $0, 0x240001, %xmm0",
        "movlps 0x240001, %xmm0", "cvtdq2pd 0x240001, %xmm0",
    ],
)  # fmt: skip
def test_other_operands_need_no_alignment(kernel: Any, instruction: str) -> None:
    assert vectors(kernel(instruction + "; ud2")) == [UD]


def test_a_load_that_faults_in_its_second_page_loads_nothing(kernel: Any) -> None:
    ran = kernel("movl $0x11223344, 0x402FF8; xorps %xmm3, %xmm3; movups 0x402FF8, %xmm3")
    assert vectors(ran) == [PF]
    assert (ran.taken[0].cr2, ran.taken[0].error_code) == (0x40_3000, 0)
    assert ran.machine.cpu.read_register("XMM3") == 0


@pytest.mark.parametrize("instruction", ["movups %xmm3, 0x402FF8", "movl $0x402FF8, %edi; maskmovdqu %xmm3, %xmm3"])
def test_a_store_that_faults_in_its_second_page_stores_nothing(kernel: Any, instruction: str) -> None:
    ran = kernel(f"pcmpeqd %xmm3, %xmm3; {instruction}")
    assert vectors(ran) == [PF]
    assert (ran.taken[0].cr2, ran.taken[0].error_code) == (0x40_3000, 2)
    assert ran.machine.ram.read(PRESENT + 0xFF8, 8) == bytes(8)


def test_masked_moves_touch_only_the_bytes_that_the_mask_chooses(kernel: Any) -> None:
    body = "pcmpeqd %xmm3, %xmm3; movdqa 0x240100, %xmm4; movl $0x402FF8, %edi; maskmovdqu %xmm4, %xmm3; ud2"
    ran = kernel(body, memory={0x24_0100: bytes([0x80, 0x7F, *[0] * 5, 0xFF, *[0x7F] * 8])})
    assert vectors(ran) == [UD]
    assert ran.machine.ram.read(PRESENT + 0xFF8, 8) == b"\xff" + bytes(6) + b"\xff"


def test_an_operand_of_eight_bytes_may_end_a_page(kernel: Any) -> None:
    ran = kernel("movl $0x3F800000, 0x402FF8; cvtps2pd 0x402FF8, %xmm0; ud2")
    assert vectors(ran) == [UD]
    assert ran.machine.cpu.read_register("XMM0") == 0x3FF0 << 48


def test_without_osfxsr_it_is_an_invalid_opcode(kernel: Any) -> None:
    assert vectors(kernel("movq %cr4, %rax; andl $~0x200, %eax; movq %rax, %cr4; movaps 0x240001, %xmm0")) == [UD]
