"""The x87 unit in a processor: operands in memory with their faults, pointers, FXSAVE, MMX, traps and shadows."""

import struct
from typing import Any

import pytest

DB, UD, NM, GP, PF, MF = 1, 6, 7, 13, 14, 16
DATA = 0x24_0000
ONE_AND_A_HALF = {DATA + 8: struct.pack("<d", 1.5)}
READ_ONLY, SUPERVISOR, ABSENT = 0x40_1000, 0x40_2000, 0x40_3000
PRESENT, WRITE, USER = 1, 2, 4


def met(ran: Any) -> list[int]:
    return [taken.vector for taken in ran.taken]


def words(ran: Any, at: int, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, ran.machine.ram.read(at, struct.calcsize(form)))


# Faults

ACCESSES = {
    **dict.fromkeys("flds fldl fldt filds fbld fadds fcoml fldcw fldenv frstor fxrstor".split(), 0),
    **dict.fromkeys("fstps fstpl fstpt fistps fbstp fisttpll fnstcw fnstsw fnstenv fnsave fxsave".split(), WRITE),
}
PLACES = [(ABSENT, USER), (SUPERVISOR, USER | PRESENT), (SUPERVISOR + 0xFFC, USER | PRESENT)]
"""The last one reaches into the absent page; FXSAVE and FXRSTOR, which must be aligned, do not."""
CASES = [
    (f"{name} {address:#x}", write | error, address)
    for name, write in ACCESSES.items()
    for address, error in PLACES
    if not (name.startswith("fx") and address % 16)
] + [(f"paddb {address:#x}, %mm3", error, address) for address, error in PLACES]


@pytest.mark.parametrize(("instruction", "error", "address"), CASES)
def test_an_access_of_ring_3_is_checked_and_changes_nothing(
    kernel: Any, instruction: str, error: int, address: int
) -> None:
    before = "fninit; fld1; fldpi;"
    ran = kernel(before + instruction + "; ud2", ring=3)
    assert [(taken.vector, taken.error_code, taken.cr2) for taken in ran.taken] == [(PF, error, address)]
    untouched = kernel(before + "ud2", ring=3)
    assert ran.machine.cpu.context.x87 == untouched.machine.cpu.context.x87


@pytest.mark.parametrize("instruction", [name for name, write in ACCESSES.items() if write])
def test_a_store_to_a_read_only_page_is_a_fault(kernel: Any, instruction: str) -> None:
    (taken,) = kernel("fninit; fld1;" + f"{instruction} {READ_ONLY:#x}; ud2", ring=3).taken
    assert (taken.vector, taken.error_code, taken.cr2) == (PF, PRESENT | WRITE | USER, READ_ONLY)


NO_INSTRUCTION = "D9D1 D9E2 DAF0 DBE5 DBF8 DED8 DFE1 D908 DB20 DD28 F0D8C1".split()


@pytest.mark.parametrize("code", NO_INSTRUCTION)
def test_what_is_not_an_instruction_is_undefined(kernel: Any, code: str) -> None:
    ran = kernel(f"movl ${DATA}, %eax; .byte {', '.join(f'{byte:#x}' for byte in bytes.fromhex(code))}; nop")
    assert met(ran) == [UD]
    assert ran.taken[0].rip == kernel(f"movl ${DATA}, %eax; ud2").taken[0].rip


@pytest.mark.parametrize(("bits", "instruction", "vectors"), [
    (4, "fld1", [NM]), (4, "fwait", [UD]), (4, "paddb %mm0, %mm1", [UD]), (8, "fwait", [NM]), (8, "fld1", [NM]),
    (8, "paddb %mm0, %mm1", [NM]), (8, "fnstsw %ax", [NM]), (8, "fxsave 0x240100", [NM]), (0, "fld1", [UD]),
])  # fmt: skip
def test_emulation_and_task_switched(kernel: Any, bits: int, instruction: str, vectors: list[int]) -> None:
    """CR0.MP is set, so FWAIT heeds TS. EM with MMX is #UD."""
    stop = f"movq %cr0, %rax; orl ${bits | 2}, %eax; movq %rax, %cr0;"
    assert met(kernel(stop + instruction + "; ud2")) == vectors


# Pointers and images


def test_pointers_are_those_of_the_last_instruction_that_is_not_a_control_instruction(kernel: Any) -> None:
    body = "fninit; movl $0x240000, %ebx; nop; fldl 8(%rbx); fnstsw %ax; fnstenv 0x240100; ud2"
    ran = kernel(body, memory=ONE_AND_A_HALF)
    at_fldl = kernel("fninit; movl $0x240000, %ebx; ud2").taken[0].rip + 1
    fip, fcs, fop, fdp, fds = words(ran, DATA + 0x10C, "<IHHIH")
    assert (fip, fcs, fop, fdp, fds) == (at_fldl, 8, 0x543, DATA + 8, 0x10)


def test_an_instruction_without_an_operand_leaves_the_data_pointer(kernel: Any) -> None:
    ran = kernel("fninit; fldl 0x240008; fadd %st(0), %st; fnstenv 0x240100; ud2", memory=ONE_AND_A_HALF)
    fip, _, fop, fdp = words(ran, DATA + 0x10C, "<IHHI")
    assert (fop, fdp) == (0x0C0, DATA + 8)
    assert fip == kernel("fninit; fldl 0x240008; ud2").taken[0].rip


def test_fxsave64_has_the_pointers_in_full(kernel: Any) -> None:
    ran = kernel("fninit; fldl 0x240008; fxsave64 0x240100; fxsave 0x240300; ud2", memory=ONE_AND_A_HALF)
    at_fldl = kernel("fninit; ud2").taken[0].rip
    assert words(ran, DATA + 0x100, "<HHBxHQQII") == (0x37F, 7 << 11, 0x80, 0x504, at_fldl, DATA + 8, 0x1F80, 0xFFFF)
    assert words(ran, DATA + 0x300, "<HHBxHIHxxIHxx") == (0x37F, 7 << 11, 0x80, 0x504, at_fldl, 8, DATA + 8, 0x10)
    assert words(ran, DATA + 0x120, "<QH") == (0xC000_0000_0000_0000, 0x3FFF)


def test_fxrstor_loads_what_fxsave_stores(kernel: Any) -> None:
    """Even with registers, an exception and XMM registers."""
    start = (
        "fninit; fld1; fldz; fdivrp; fldpi; fldl 0x240008; movl $0x1234, %eax; movd %eax, %xmm5; movl $0x5678, %eax;"
        "movd %eax, %xmm13;"
    )
    ran = kernel(
        start + "fxsave64 0x240100; fninit; fld1; xorps %xmm5, %xmm5; xorps %xmm13, %xmm13; ldmxcsr 0x240010;"
        "fxrstor64 0x240100; fxsave64 0x240400; ud2",
        memory=ONE_AND_A_HALF | {DATA + 16: struct.pack("<I", 0x3F80)},
    )
    assert ran.machine.ram.read(DATA + 0x100, 416) == ran.machine.ram.read(DATA + 0x400, 416)
    assert words(ran, DATA + 0x400 + 160 + 16 * 13, "<I") == (0x5678,)
    assert words(ran, DATA + 0x402, "<H")[0] & 4


@pytest.mark.parametrize("instruction", ["fxsave 0x240108", "fxrstor 0x240108"])
def test_fxsave_and_fxrstor_must_be_aligned(kernel: Any, instruction: str) -> None:
    assert [(taken.vector, taken.error_code) for taken in kernel(instruction + "; ud2").taken] == [(GP, 0)]


def test_fxrstor_refuses_reserved_bits_of_mxcsr_and_loads_nothing(kernel: Any) -> None:
    image = {DATA + 0x100: struct.pack("<H22xI", 0x340, 0x1_0000)}
    ran = kernel("fninit; fld1; fxrstor 0x240100; ud2", memory=image)
    assert [(taken.vector, taken.error_code) for taken in ran.taken] == [(GP, 0)]
    assert ran.machine.cpu.context.x87 == kernel("fninit; fld1; ud2").machine.cpu.context.x87


def test_the_image_of_16_bits(kernel: Any) -> None:
    ran = kernel("fninit; fldl 0x240008; data16 fnstenv 0x240100; ud2", memory=ONE_AND_A_HALF)
    cw, sw, tags, _, fcs, fdp, fds, beyond = words(ran, DATA + 0x100, "<8H")
    assert (cw, sw, tags, fcs, fdp, fds, beyond) == (0x37F, 7 << 11, 0x3FFF, 8, 8, 0x10, 0)


def test_fnstenv_and_fnsave_leave_nothing_to_raise(kernel: Any) -> None:
    unmasked = "movq %cr0, %rax; orl $0x20, %eax; movq %rax, %cr0; fninit; fldcw 0x240000; fld1; fldz; fdivrp;"
    for store in ("fnstenv 0x240100", "fnsave 0x240100"):
        ran = kernel(unmasked + store + "; fldz; fnstcw 0x240002; ud2", memory={DATA: struct.pack("<H", 0x37B)})
        assert met(ran) == [UD]
        assert words(ran, DATA + 2, "<H") == (0x37F,)
        assert words(ran, DATA + 0x100, "<H") == (0x37B,)
    assert met(kernel(unmasked + "fldz; ud2", memory={DATA: struct.pack("<H", 0x37B)})) == [MF]


# The rest of the processor


def test_flags_and_ax(kernel: Any) -> None:
    compare = "fninit; fldz; fld1; xorl %eax, %eax; decl %eax; stc; fcomi %st(1);"
    ran = kernel(compare + "setc 0x240000; seta 0x240001; fnstsw %ax; movq %rax, 0x240008; ud2")
    assert words(ran, DATA, "<BB6xQ") == (0, 1, 0xFFFF_3000)


def test_conditional_moves_read_flags(kernel: Any) -> None:
    ran = kernel("fninit; fld1; fldz; stc; fcmovb %st(1), %st; fistpl 0x240000; fldz; clc; fcmovb %st(1), %st;"
                 "fistpl 0x240004; ud2")  # fmt: skip
    assert words(ran, DATA, "<ii") == (1, 0)


@pytest.mark.parametrize(
    "instruction", ["movd %eax, %mm2", "paddb %mm0, %mm2", "psllw $3, %mm2", "movq 0x240008, %mm2"]
)
def test_an_mmx_register_that_is_written_has_ones_in_its_exponent(kernel: Any, instruction: str) -> None:
    ran = kernel("fninit; fld1;" + instruction + "; fxsave 0x240100; ud2")
    exponents = [words(ran, DATA + 0x120 + 16 * register + 8, "<H")[0] for register in range(8)]
    assert exponents == [0, 0, 0xFFFF, 0, 0, 0, 0, 0x3FFF]
    assert words(ran, DATA + 0x102, "<HB") == (0, 0xFF)


@pytest.mark.parametrize("instruction", ["movd %mm2, %eax", "movq %mm2, 0x240008", "pmovmskb %mm2, %eax"])
def test_an_mmx_register_that_is_read_keeps_its_exponent(kernel: Any, instruction: str) -> None:
    ran = kernel("fninit; fld1;" + instruction + "; fxsave 0x240100; ud2")
    assert words(ran, DATA + 0x120 + 16 * 2 + 8, "<H") == (0,)
    assert words(ran, DATA + 0x102, "<HB") == (0, 0xFF)


@pytest.mark.parametrize("instruction", ["fld1", "fwait", "fnstsw %ax", "paddb %mm0, %mm1"])
def test_a_single_step_trap_follows(kernel: Any, instruction: str) -> None:
    body = "fninit; leaq 1f(%rip), %r15; pushfq; orl ${}, (%rsp); popfq;" + instruction
    ran = kernel(body.format("0x100") + "; nop; 1: ud2")
    assert met(ran)[0] == DB
    assert ran.taken[0].rip == kernel(body.format("0x200") + "; ud2; 1: ud2").taken[0].rip


def test_a_data_breakpoint_is_a_trap_after_the_store(kernel: Any) -> None:
    watch = "leaq 1f(%rip), %r15; movl $0x240104, %eax; movq %rax, %dr2; movl $0xD000020, %eax; movq %rax, %dr7;"
    ran = kernel(watch + "fninit; fldz; fstpl 0x240100; nop; 1: ud2")
    assert met(ran)[0] == DB
    assert ran.taken[0].rip == kernel(watch + "fninit; fldz; fstpl 0x240200; ud2; 1: ud2").taken[0].rip


ARM = "movl $0xFEE00000, %ebx; movl $0x1FF, 0xF0(%rbx); movl $0x50, 0x320(%rbx); movl $0xB, 0x3E0(%rbx);"


def test_the_shadow_of_sti_covers_one_instruction(kernel: Any) -> None:
    due = ARM + "movl $5, 0x380(%rbx); .rept 50; nop; .endr; sti; fldz; "
    taken = kernel("fninit;" + due + "nop; nop; ud2").taken[0]
    assert taken.vector == 0x50
    assert (
        taken.rip == kernel("fninit;" + ARM + "movl $5, 0x380(%rbx); .rept 50; nop; .endr; cli; fldz; ud2").taken[0].rip
    )
