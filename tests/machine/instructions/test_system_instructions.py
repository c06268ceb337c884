"""Instructions that Unicorn does not execute as the manual says (SDM volume 2), seen from inside a small kernel.

QEMU gets much of this wrong, too; the rest is compared with it in tests/oracle.
"""

from typing import Any

import pytest

from machine.events import ModeSwitched, RegisterWritten, RingTransition

DB, UD, GP, PF, SS = 1, 6, 13, 14, 12
UMIP, SMEP, SMAP, DE, TSD, PCE, FSGSBASE = 1 << 11, 1 << 20, 1 << 21, 1 << 3, 1 << 2, 1 << 8, 1 << 16
NOWHERE = "movabsq $0x800000000000, %rax;"


IRETQ_TO_RING_3 = "{} pushq $0x1B; pushq $0x240000; pushq $0x202; pushq $0x23; pushq $0x200000; iretq"


def msr(number: int, low: int, high: int = 0) -> str:
    return f"movl ${number:#x}, %ecx; movl ${low:#x}, %eax; movl ${high:#x}, %edx; wrmsr;"


@pytest.mark.parametrize(
    ("body", "vector", "error_code"),
    [
        ("movabsq $0x180010023, %rax; movq %rax, %cr0", GP, 0),  # bits 63 to 32
        ("movl $0x80010022, %eax; movq %rax, %cr0", GP, 0),  # PG without PE
        ("movl $0xA0010023, %eax; movq %rax, %cr0", GP, 0),  # NW without CD
        ("movl $0x00010023, %eax; movq %rax, %cr0", GP, 0),  # paging off in 64-bit mode
        ("movl $0x600, %eax; movq %rax, %cr4", GP, 0),  # PAE off in IA-32e mode
        ("movl $0x2620, %eax; movq %rax, %cr4", GP, 0),  # VMXE
        ("movl $0x40620, %eax; movq %rax, %cr4", GP, 0),  # OSXSAVE
        ("movl $0x660, %eax; movq %rax, %cr4", GP, 0),  # MCE
        ("movabsq $0x100000000620, %rax; movq %rax, %cr4", GP, 0),
        ("movq %cr3, %rax; btsq $40, %rax; movq %rax, %cr3", GP, 0),
        ("movl $16, %eax; movq %rax, %cr8", GP, 0),
        (".byte 0x0F, 0x22, 0xC8", UD, 0),  # CR1
        (".byte 0x0F, 0x22, 0xE8", UD, 0),  # CR5
        (".byte 0xF0, 0x0F, 0x22, 0xC0", UD, 0),  # LOCK
        ("movl $0x12345, %ecx; rdmsr", GP, 0),
        (msr(0x12345, 0), GP, 0),
        (msr(0xC0000080, 0x1900), GP, 0),  # EFER.SVME
        (msr(0xC0000080, 0x800), GP, 0),  # LME off while paging is on
        (msr(0xC0000082, 0, 0x8000), GP, 0),  # LSTAR not canonical
        (msr(0xC0000100, 0, 0x8000), GP, 0),  # FS_BASE
        (msr(0xC0000084, 0, 1), GP, 0),  # FMASK above bit 31
        (msr(0xC0000103, 0, 1), GP, 0),  # TSC_AUX
        (msr(0x277, 2), GP, 0),  # PAT with an invalid memory type
        (msr(0x1B, 0xFEE00D00), GP, 0),  # x2APIC
        ("xorl %ecx, %ecx; rdpmc", GP, 0),
        ("xorl %ecx, %ecx; xorl %eax, %eax; xorl %edx, %edx; xsetbv", UD, 0),
        ("monitor", UD, 0),
        (".byte 0x0F, 0x23, 0xE0", UD, 0),  # MOV to DR4 with CR4.DE
        (".byte 0x44, 0x0F, 0x23, 0xC0", UD, 0),  # DR8
        ("movabsq $0x100000000, %rax; movq %rax, %dr7", GP, 0),
        ("movabsq $0x100000000, %rax; movq %rax, %dr6", GP, 0),
        (NOWHERE + "pushq %rax; lgdt -2(%rsp)", GP, 0),
        (NOWHERE + "movq 8(%rax), %rcx", GP, 0),
        ("xorl %eax, %eax; ltr %ax", GP, 0),
        ("movw $3, 0x240100; ltr 0x240100", GP, 0),
        (IRETQ_TO_RING_3.format("andb $0x7F, gdt + 0x18 + 5;"), SS, 0x18),  # the stack segment is absent
        (IRETQ_TO_RING_3.format("andb $0x7F, gdt + 0x20 + 5;"), 11, 0x20),  # the code segment is
        ("syscall", UD, 0),  # EFER.SCE clear
        ("sysretq", UD, 0),
        ("sysenter", GP, 0),  # SYSENTER_CS null
        ("sysexit", GP, 0),
    ],
)
def test_ring_0_is_refused_what_the_manual_forbids(kernel: Any, body: str, vector: int, error_code: int) -> None:
    begin = f"leaq 1f(%rip), %r15; {body}; 1: leaq stack_top(%rip), %rsp; ud2"
    taken = kernel(begin, extra_cr4=DE).taken
    assert [(t.vector, t.error_code) for t in taken] == [(vector, error_code), (UD, 0)]


@pytest.mark.parametrize(
    ("access", "vector"),
    [
        ("pushq %rax", SS),
        ("popq %rcx", SS),
        ("call 1f; 1:", SS),
        ("movq 8(%rsp), %rcx", SS),
        ("movq %ds:8(%rsp), %rcx", SS),  # DS is no override in 64-bit mode
        ("movq 8(%rsp, %rcx), %rcx", SS),
        ("movq 8(%rax), %rcx", GP),
    ],
)
def test_an_address_of_the_stack_that_is_not_canonical_is_ss(kernel: Any, access: str, vector: int) -> None:
    taken = kernel(NOWHERE + "xorl %ecx, %ecx; addq $256, %rax; movq %rax, %rsp;" + access, 3).taken
    assert [(t.vector, t.error_code) for t in taken] == [(vector, 0)]


@pytest.mark.parametrize("body", ["sgdt 0x400000", "sidt 0x400000", "sldt %ax", "str %ax", "smsw %ax"])
def test_umip_keeps_descriptor_tables_from_ring_3(kernel: Any, body: str) -> None:
    assert [(t.vector, t.error_code) for t in kernel(body, 3, extra_cr4=UMIP).taken] == [(GP, 0)]
    assert [t.vector for t in kernel(f"{body}; ud2", 3).taken] == [UD]
    assert [t.vector for t in kernel(f"{body}; ud2", 0, extra_cr4=UMIP).taken] == [UD]


@pytest.mark.parametrize("body", ["rdtsc", "rdtscp"])
def test_tsd_keeps_the_time_from_ring_3(kernel: Any, body: str) -> None:
    assert [(t.vector, t.error_code) for t in kernel(body, 3, extra_cr4=TSD).taken] == [(GP, 0)]
    assert [t.vector for t in kernel(f"{body}; ud2", 0, extra_cr4=TSD).taken] == [UD]


@pytest.mark.parametrize(
    ("body", "registers"),
    [
        (NOWHERE + "jmp *%rax", 0),
        (NOWHERE + "call *%rax", 0),
        (NOWHERE + "pushq %rax; ret", -8),
        (NOWHERE + "pushq %rax; ret $24", -8),
    ],
)
def test_a_branch_to_nowhere_is_refused_where_it_stands(kernel: Any, body: str, registers: int) -> None:
    """#GP has the address of the branch, and RSP is unchanged."""
    last = body.rsplit(";", 1)
    ran = kernel(f"leaq 1f(%rip), %r15; {last[0]}; 2: {last[1]}; 1: movq %rsp, 0x240000; leaq 2b(%rip), %rax; ud2")
    first, second = ran.taken
    assert (first.vector, first.error_code) == (GP, 0)
    assert second.vector == UD
    assert first.rip + len_of(last[1]) < second.rip
    bare = kernel("movq %rsp, 0x240000; ud2").machine.ram.read(0x24_0000, 8)
    moved = int.from_bytes(ran.machine.ram.read(0x24_0000, 8), "little") - int.from_bytes(bare, "little")
    assert moved == registers


def len_of(instruction: str) -> int:
    return {"ret": 1, "ret $24": 3}.get(instruction.strip(), 2)


def test_iretq_to_nowhere_is_refused_in_ring_0_with_nothing_loaded(kernel: Any) -> None:
    ran = kernel(NOWHERE + "pushq $0x1B; pushq $0x240000; pushq $0x202; pushq $0x23; pushq %rax; iretq")
    (taken,) = ran.taken
    assert (taken.vector, taken.error_code, taken.cs) == (GP, 0, 0x08)
    assert not [e for e in ran.events if isinstance(e, RingTransition)]


def test_smep_keeps_ring_0_from_executing_the_users_code(kernel: Any) -> None:
    jump = "movl $0x406FFE, %eax; jmp *%rax"
    assert [(t.vector, t.error_code) for t in kernel(jump, extra_cr4=SMEP).taken] == [(PF, 0x11)]
    assert kernel(jump).taken[0].error_code == 0x407000  # INT 14 there


def test_smap_keeps_ring_0_from_the_users_data_unless_ac_is_set(kernel: Any) -> None:
    log_is_the_kernels = "andb $~4, pd + 8; invlpg 0x200000;"
    read = log_is_the_kernels + "movb 0x400000, %al"
    assert [(t.vector, t.error_code) for t in kernel(read, extra_cr4=SMAP).taken] == [(PF, 1)]
    assert [
        t.vector for t in kernel(log_is_the_kernels + "stac; movb 0x400000, %al; clac; ud2", extra_cr4=SMAP).taken
    ] == [UD]


def test_a_page_that_was_not_present_needs_no_invlpg(kernel: Any) -> None:
    body = "leaq 1f(%rip), %r15; movb 0x403000, %al; 1: movl $0x400007, pt + 24; movb 0x403000, %al; ud2"
    assert [t.vector for t in kernel(body).taken] == [PF, UD]


def test_cr8_is_the_task_priority(kernel: Any) -> None:
    ran = kernel(
        "movl $9, %eax; movq %rax, %cr8; movl $0xFEE00080, %ebx; movl (%rbx), %ecx;"
        "movl %ecx, 0x240000; movq %cr8, %rdx; ud2"
    )
    assert ran.machine.ram.read(0x24_0000, 4) == bytes([0x90, 0, 0, 0])
    assert ran.machine.cpu.registers.rdx == 9


def test_wrmsr_moves_the_time_stamp_counter(kernel: Any) -> None:
    ran = kernel(msr(0x10, 0, 1) + "rdtsc; movl %eax, %ebx; ud2")
    assert ran.machine.cpu.registers.rdx == 1
    assert ran.machine.cpu.registers.rbx < 100


def test_segment_bases_and_swapgs(kernel: Any) -> None:
    ran = kernel(
        msr(0xC0000101, 0x1000) + msr(0xC0000102, 0x2000) + "swapgs; movl $0xC0000101, %ecx; rdmsr; movl %eax, %ebx;"
        "movl $0xC0000102, %ecx; rdmsr; movl %eax, %esi; ud2"
    )
    assert (ran.machine.cpu.registers.rbx, ran.machine.cpu.registers.rsi) == (0x2000, 0x1000)


SYSTEM_CALLS = (
    "movl $0xC0000080, %ecx; rdmsr; orl $1, %eax; wrmsr;"  # EFER.SCE
    + msr(0xC0000081, 0, 0x0013_0008)  # STAR: kernel 0x08, user 0x13
    + "movl $0xC0000082, %ecx; leaq 8f(%rip), %rax; xorl %edx, %edx; wrmsr;"
    + msr(0xC0000084, 0x202)
    + msr(0x174, 0x08)
    + msr(0x175, 0x300800)
    + "movl $0x176, %ecx; leaq 9f(%rip), %rax; xorl %edx, %edx; wrmsr;"
)


def test_syscall_and_sysret(kernel: Any) -> None:
    """To ring 3 by SYSRET, back by SYSCALL: CS, SS, RIP, RFLAGS and the values in RCX and R11."""
    body = (
        SYSTEM_CALLS
        + """movl $0x00CEFF0F, 0x200000; movw $0x050F, 0x200000; movl $0x200000, %ecx; movl $0x10A02, %r11d
        orl $0x202, %r11d; sysretq
        8: movw %cs, 0x240000; movw %ss, 0x240002; movq %rcx, 0x240008; movq %r11, 0x240010; pushfq; popq 0x240018
        ud2
        9: hlt"""
    )
    ran = kernel(body)
    memory = ran.machine.ram.read(0x24_0000, 32)
    assert (memory[0], memory[2]) == (0x08, 0x10)
    assert int.from_bytes(memory[8:16], "little") == 0x20_0002
    assert int.from_bytes(memory[16:24], "little") == 0xA02  # RF does not survive
    assert int.from_bytes(memory[24:32], "little") == 0x802  # IF cleared by FMASK, and bit 1 cannot be
    changes = [(e.from_ring, e.to_ring, e.cause) for e in ran.events if isinstance(e, RingTransition)]
    assert changes == [(0, 3, "fast_system_call"), (3, 0, "fast_system_call")]
    assert [t.vector for t in ran.taken] == [UD]


@pytest.mark.parametrize(("before", "after", "taken"), [(0x2, 0x302, (DB, 0x20_0000)), (0x102, 0x202, (UD, 0x20_0001))])
def test_sysret_traps_by_the_flag_that_it_loads(kernel: Any, before: int, after: int, taken: tuple[int, int]) -> None:
    """RFLAGS.TF, after SYSRET and before the first instruction in ring 3; the flag before it causes nothing."""
    ran = kernel(
        SYSTEM_CALLS
        + f"movl $0x000B0F90, 0x200000; movl $0x200000, %ecx; movl ${after:#x}, %r11d;"
        + f"pushq ${before:#x}; popfq; sysretq; 8: 9:"
    )
    first = ran.taken[0]
    assert (first.vector, first.rip, first.cs) == (*taken, 0x23)


@pytest.mark.parametrize(("mask", "vector"), [(0x300, UD), (0x200, DB)])
def test_syscall_traps_unless_it_masks_the_flag(kernel: Any, mask: int, vector: int) -> None:
    """TF is set in ring 3 by the POPFQ before SYSCALL; IA32_FMASK clears it or leaves it to ring 0."""
    ran = kernel(
        SYSTEM_CALLS
        + msr(0xC0000084, mask)
        + """movabsq $0x0F9D0101244C809C, %rax; movq %rax, 0x200000; movb $5, 0x200008
        movl $0x200000, %ecx; movl $2, %r11d; movl $0x240000, %esp; sysretq
        8: ud2
        9:"""
    )
    first = ran.taken[0]
    assert (first.vector, first.cs) == (vector, 8)
    assert ran.machine.ram.read(first.rip, 2) == b"\x0f\x0b"


def test_sysenter_and_sysexit(kernel: Any) -> None:
    body = (
        SYSTEM_CALLS
        + """movw $0x340F, 0x200000; movl $0x200000, %edx; movl $0x240000, %ecx
        movq $0x00AFFB000000FFFF, %rax; movq %rax, gdt + 0x28; movq $0x00CFF3000000FFFF, %rax; movq %rax, gdt + 0x30
        sysexitq
        8: hlt
        9: movw %cs, 0x240000; movq %rsp, 0x240008; pushfq; popq 0x240010; ud2"""
    )
    ran = kernel(body)
    memory = ran.machine.ram.read(0x24_0000, 24)
    assert memory[0] == 0x08
    assert int.from_bytes(memory[8:16], "little") == 0x30_0800
    assert not int.from_bytes(memory[16:24], "little") & 0x200


def test_a_write_to_a_control_register_is_recorded_though_a_trap_follows(kernel: Any) -> None:
    ran = kernel("movq %cr4, %rax; orl $8, %eax; pushq $0x102; popfq; movq %rax, %cr4; ud2")
    assert [e.register for e in ran.events if isinstance(e, RegisterWritten)][-1] == "CR4"


def test_a_far_return_into_compatibility_mode_is_a_change_of_mode(kernel: Any) -> None:
    ran = kernel("pushq $0x38; leaq 1f(%rip), %rax; pushq %rax; lretq; .code32; 1: ud2; .code64")
    modes = [e.mode for e in ran.events if isinstance(e, ModeSwitched)]
    assert modes == ["protected", "compatibility", "long", "compatibility", "long"]


def test_code_that_rewrites_itself_is_looked_at_again(kernel: Any) -> None:
    """First there is MOV from CR0, then MOV to CR1, which does not exist."""
    body = (
        "movl $2, %edx; 1: movl %edx, %ecx; 2: movq %cr0, %rax; movw $0x220F, 2b; movb $0xC8, 2b + 2; decl %edx; jnz 1b"
    )
    assert [t.vector for t in kernel("orb $2, pd;" + body).taken] == [UD]


def test_an_instruction_that_ends_with_its_page_is_executed_by_the_manual(kernel: Any) -> None:
    """BLSI, whose CF Unicorn inverts, in the last bytes before a page that is not present."""
    body = (
        "movq %cr0, %rax; andl $~0x10000, %eax; movq %rax, %cr0; movl $0xF370E2C4, 0x406FFB; movb $0xDB, 0x406FFF;"
        "movl $0x28, %ebx; movl $0x406FFB, %eax; jmp *%rax"
    )
    (taken,) = kernel(body).taken
    assert (taken.vector, taken.rip, taken.cr2) == (14, 0x40_7000, 0x40_7000)
    assert taken.rflags & 1
