"""#XM and the flags of MXCSR (SDM volume 1, 11.5). QEMU never raises #XM."""

from typing import Any

import pytest

UD, GP, XM = 6, 13, 19
I, D, Z, O, U, P = (1 << bit for bit in range(6))  # noqa: E741 - the manual's letters
ALL_MASKED = 0x1F80
PREPARE = """ldmxcsr 0x240000; movl $1, %eax; cvtsi2ss %eax, %xmm1; cvtsi2sd %eax, %xmm2;
xorps %xmm0, %xmm0; movl $3, %eax; cvtsi2sd %eax, %xmm3; movl $0x7F7FFFFF, 0x240100; movl $1, 0x240104;
movl $0xFF800000, 0x240108; movl $0x7FA00000, 0x24010C; movl $0x7FC00000, 0x240110; movl $0x01000000, 0x240114;
movss 0x240100, %xmm4; movss 0x240110, %xmm5; movss 0x240114, %xmm6;"""
TINY_BUT_EXACT = "mulss %xmm6, %xmm6"
RAISES = [
    ("divss %xmm0, %xmm1", Z),
    ("divps %xmm0, %xmm1", Z | I),  # zero by zero in the other elements
    ("divsd %xmm3, %xmm2", P),
    ("divsd 0x240200, %xmm2", Z),
    ("mulss %xmm4, %xmm4", O | P),
    (TINY_BUT_EXACT, U | P),
    ("addss 0x240104, %xmm1", D | P),
    ("addss 0x240108, %xmm1", 0),
    ("subss 0x24010C, %xmm1", I),
    ("sqrtsd %xmm3, %xmm0", P),
    ("sqrtss 0x240108, %xmm0", I),
    ("comiss %xmm5, %xmm1", I),
    ("ucomiss %xmm5, %xmm1", 0),
    ("ucomiss 0x24010C, %xmm1", I),
    ("maxss %xmm5, %xmm1", I),
    ("cmpltss %xmm5, %xmm1", I),
    ("cmpeqss %xmm5, %xmm1", 0),
    ("cvtss2si 0x240108, %eax", I),
    ("cvtss2si 0x240104, %eax", P),
    ("cvttsd2si %xmm3, %eax", 0),
    ("movl $0x1000001, %eax; cvtsi2ss %eax, %xmm0", P),
    ("cvtss2sd 0x24010C, %xmm0", I),
    ("cvtdq2ps 0x240100, %xmm0", P),
    ("roundss $0, 0x240104, %xmm0", P),
    ("roundss $8, 0x240104, %xmm0", 0),
    ("haddps %xmm4, %xmm4", 0),
    ("addps %xmm1, %xmm1", 0),
]


def run(kernel: Any, instruction: str, mxcsr: int, ring: int = 0, **options: int) -> Any:
    *first, last = instruction.split(";")
    prepared = PREPARE + "".join(f"{each};" for each in first)
    memory = {0x24_0000: mxcsr.to_bytes(4, "little")}  # not in the code, so that the code is the same for each value
    return kernel(f"{prepared} 9: {last}; stmxcsr 0x240000; ud2", ring, memory=memory, **options)


def flags_left(ran: Any) -> int:
    return int(ran.machine.cpu.read_register("MXCSR")) & 0x3F


@pytest.mark.parametrize(("instruction", "flags"), RAISES)
def test_an_instruction_raises_what_is_unmasked(kernel: Any, instruction: str, flags: int) -> None:
    for unmasked in (I, D, Z, O, U, P):
        if unmasked == P and "cvtsi2ss %eax, %xmm0" in instruction:
            continue
        ran = run(kernel, instruction, ALL_MASKED & ~(unmasked << 7))
        assert ran.taken[0].vector == (XM if flags & unmasked else UD), unmasked
        before = flags & (I | D | Z)
        expected = before if unmasked & before and flags & unmasked else flags
        if unmasked == U and instruction == TINY_BUT_EXACT:  # as if the exponent had no bounds
            expected &= ~P
        assert flags_left(ran) == expected, unmasked


def test_the_fault_is_at_the_instruction_and_changes_nothing_but_the_flags(kernel: Any) -> None:
    ran = run(kernel, "divss %xmm0, %xmm1", ALL_MASKED & ~(Z << 7), 3)
    (taken,) = ran.taken
    (marked,) = run(kernel, "ud2", ALL_MASKED & ~(Z << 7), 3).taken
    assert (taken.vector, taken.error_code, taken.cs, taken.rip) == (XM, 0, 0x23, marked.rip)
    assert ran.machine.cpu.read_register("XMM1") == 0x3F80_0000
    assert ran.machine.cpu.read_register("MXCSR") == ALL_MASKED & ~(Z << 7) | Z


def test_without_osxmmexcpt_it_is_an_invalid_opcode(kernel: Any) -> None:
    off = "movq %cr4, %rax; andl $~0x400, %eax; movq %rax, %cr4; divss %xmm0, %xmm1"
    (taken,) = run(kernel, off, ALL_MASKED & ~(Z << 7)).taken
    (marked,) = run(kernel, off.replace("divss %xmm0, %xmm1", "ud2"), ALL_MASKED & ~(Z << 7)).taken
    assert (taken.vector, taken.rip) == (UD, marked.rip)


def test_reserved_bits_of_mxcsr_are_refused(kernel: Any) -> None:
    assert [t.vector for t in kernel("movl $0x11F80, 0x240000; ldmxcsr 0x240000; ud2").taken] == [GP]
    image = "fxsave 0x240000; movl $0x11F80, 0x240018; fxrstor 0x240000; ud2"
    assert [t.vector for t in kernel(image).taken] == [GP]


@pytest.mark.parametrize(("instruction", "flags"), RAISES)
def test_flags_are_set_though_all_is_masked(kernel: Any, instruction: str, flags: int) -> None:
    """STMXCSR reads the sum of what was raised."""
    ran = run(kernel, instruction, ALL_MASKED)
    assert ran.taken[0].vector == UD
    expected = flags | (P if "cvtsi2ss %eax, %xmm0" in instruction else 0)
    assert int.from_bytes(ran.machine.ram.read(0x24_0000, 4), "little") == ALL_MASKED | expected
    assert flags_left(ran) == expected


def test_flags_stay_until_they_are_loaded(kernel: Any) -> None:
    body = "divss %xmm0, %xmm1; fxsave 0x240400; movl $0x1F82, 0x240010; ldmxcsr 0x240010; mulss %xmm4, %xmm4"
    ran = run(kernel, body, ALL_MASKED)
    assert int.from_bytes(ran.machine.ram.read(0x24_0418, 4), "little") == ALL_MASKED | Z
    assert flags_left(ran) == D | O | P


def test_fxrstor_unmasks_too(kernel: Any) -> None:
    body = "fxsave 0x240400; movl $0x1D80, 0x240418; fxrstor 0x240400; xorps %xmm1, %xmm1; movl $1, %eax;"
    assert [t.vector for t in kernel(body + "cvtsi2ss %eax, %xmm0; divss %xmm1, %xmm0; ud2").taken] == [XM]
