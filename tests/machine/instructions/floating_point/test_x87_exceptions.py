"""#MF is raised at the next waiting instruction (SDM volume 1, 8.7.1). QEMU and Unicorn raise it only at FWAIT."""

from typing import Any

import pytest

from machine.architecture.saved_context import X87_CLEAR

UD, NM, MF = 6, 7, 16
PENDING = "movq %cr0, %rax; orl $0x20, %eax; movq %rax, %cr0; fninit; fldz; fld1; fdiv %st(1), %st;"
UNMASK = "movw $0x37B, 0x240000; fldcw 0x240000;"


def met(ran: Any) -> list[int]:
    return [taken.vector for taken in ran.taken]


@pytest.mark.parametrize(
    "instruction",
    ["fld1", "fwait", "fadd %st(1), %st", "flds 0x240008", "fstps 0x240008", "fildll 0x240008", "fnop", "fcomip",
     "fldcw 0x240000", "fldenv 0x240100", "frstor 0x240100", "emms", "movd %eax, %mm0", "paddb %mm0, %mm1"],
)  # fmt: skip
def test_a_waiting_instruction_raises_what_is_pending(kernel: Any, instruction: str) -> None:
    ran = kernel(PENDING + UNMASK + instruction + "; ud2")
    assert met(ran) == [MF]
    assert ran.taken[0].rip == kernel(PENDING + UNMASK + "ud2").taken[0].rip


@pytest.mark.parametrize(
    "instruction",
    ["fnstsw %ax", "fnstsw 0x240008", "fnstcw 0x240008", "fnstenv 0x240100", "fnsave 0x240100", "fnclex", "fninit",
     "fxsave 0x240100", "paddb %xmm0, %xmm1", "movd %eax, %xmm0", "nop"],
)  # fmt: skip
def test_others_do_not(kernel: Any, instruction: str) -> None:
    assert met(kernel(PENDING + UNMASK + instruction + "; ud2")) == [UD]


def test_it_is_not_raised_while_masked(kernel: Any) -> None:
    assert met(kernel(PENDING + "fld1; fwait; ud2")) == [UD]


def test_the_instruction_that_sets_the_flag_goes_on(kernel: Any) -> None:
    """Division by zero keeps its operands; the next instruction raises #MF."""
    ran = kernel("movq %cr0, %rax; orl $0x20, %eax; movq %rax, %cr0; fninit;" + UNMASK + "fldz; fld1;"
                 "fdiv %st(1), %st; movl $7, %ebx; fld1; ud2")  # fmt: skip
    assert met(ran) == [MF]
    assert ran.machine.cpu.registers.rbx == 7


@pytest.mark.parametrize("clear", ["fnclex", "fninit", "fnsave 0x240100"])
def test_what_is_cleared_is_not_raised(kernel: Any, clear: str) -> None:
    assert met(kernel(PENDING + UNMASK + clear + "; fld1; fwait; ud2")) == [UD]


def test_a_masking_that_comes_without_a_load_counts(kernel: Any) -> None:
    assert met(kernel(PENDING + UNMASK + "fninit; fldz; fld1; fdiv %st(1), %st; fld1; ud2")) == [UD]


def test_without_ne_nothing_is_raised(kernel: Any) -> None:
    """The signal that replaces it is not connected here."""
    clear = "movq %cr0, %rax; andl $~0x20, %eax; movq %rax, %cr0;"
    assert met(kernel(PENDING + clear + UNMASK + "fld1; ud2")) == [UD]


def test_task_switched_comes_first(kernel: Any) -> None:
    stop = "movq %cr0, %rax; orl $8, %eax; movq %rax, %cr0;"
    assert met(kernel(PENDING + UNMASK + stop + "fld1; ud2")) == [NM]


@pytest.mark.parametrize("load", ["fldenv 0x240100", "frstor 0x240100"])
def test_whatever_loads_the_control_word_unmasks(kernel: Any, load: str) -> None:
    image = "fnsave 0x240100" if "rstor" in load else "fnstenv 0x240100"
    assert met(kernel(f"{PENDING} {image}; movw $0x37B, 0x240100; fninit; {load}; fld1; ud2")) == [MF]


def test_fxrstor_does_too(kernel: Any) -> None:
    assert met(kernel(PENDING + "fxsave 0x240100; movw $0x37B, 0x240100; fxrstor 0x240100; fld1; ud2")) == [MF]


def test_a_kernel_finds_all_masked_and_the_stack_empty(kernel: Any) -> None:
    ran = kernel("fnstenv 0x240000; ud2").machine.ram.read(0x24_0000, 12)
    assert (ran[0:2], ran[4:6], ran[8:10]) == (b"\x7f\x03", b"\0\0", b"\xff\xff")


def test_x87_without_numbers_is_as_fninit_leaves_it(kernel: Any) -> None:
    """FNINIT tags registers as empty but keeps their contents."""
    assert kernel("hlt").machine.cpu.context.x87 == X87_CLEAR
    assert kernel("fldcw 9f(%rip); fninit; hlt; 9: .short 0x360").machine.cpu.context.x87 == X87_CLEAR
    assert kernel("fldz; fninit; hlt").machine.cpu.context.x87 == X87_CLEAR
    for changed in ("fld1; fninit", "fldz", "fldcw 9f(%rip)", "fincstp"):
        assert kernel(f"{changed}; hlt; 9: .short 0x360").machine.cpu.context.x87 != X87_CLEAR
