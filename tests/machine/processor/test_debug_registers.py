"""Debug exceptions and NMI by the manual (SDM volume 3, 18.3 and 6.7), seen from inside a small kernel.

The kernel's log has no DR6, so bodies store it at 0x240000. More cases are compared with QEMU in tests/oracle.
"""

from typing import Any

import pytest

from machine.events import InterruptDelivered, InterruptReturned
from machine.machine import Machine, MachineConfiguration

DB, NMI, UD = 1, 2, 6
DE = 1 << 3
STORE_DR6 = "movq %dr6, %rax; movl %eax, 0x240000;"


def dr6(ran: Any) -> int:
    return int.from_bytes(ran.machine.ram.read(0x24_0000, 4), "little")


def test_an_instruction_breakpoint_is_a_fault_before_it(kernel: Any) -> None:
    ran = kernel(
        f"leaq 1f(%rip), %r15; leaq 2f(%rip), %rax; movq %rax, %dr1; movl $0x4, %eax; movq %rax, %dr7; nop;"
        f"2: nop; nop; 1: {STORE_DR6} ud2"
    )
    assert [t.vector for t in ran.taken] == [DB, UD]
    assert dr6(ran) == 0xFFFF_0FF2
    assert not ran.taken[0].rflags & 1 << 16  # RF is the handler's to set


def test_rf_lets_one_instruction_pass_its_breakpoint(kernel: Any) -> None:
    """IRET sets RF: the breakpoint is suppressed once, and hit again in the next iteration."""
    ran = kernel(
        """leaq 2f(%rip), %rax; movq %rax, %dr0; movl $0x1, %ecx; movq %rcx, %dr7; leaq 3f(%rip), %r15; movl $2, %ebx
        pushq $0x10; leaq 8(%rsp), %rcx; pushq %rcx; pushq $0x10002; pushq $8; pushq %rax; iretq
        2: decl %ebx; jnz 2b; hlt; 3: ud2"""
    )
    assert [t.vector for t in ran.taken] == [DB, UD]
    assert ran.machine.cpu.registers.rbx == 1


@pytest.mark.parametrize("before", ["movl $0x10, %ecx; movl %ecx, %ss;", "sti;", "nop;"])
def test_a_load_of_ss_suppresses_a_breakpoint_on_the_next_instruction(kernel: Any, before: str) -> None:
    """As RF does (18.3.1.1); and on that one only. STI inhibits interrupts alone."""
    ran = kernel(
        f"leaq 1f(%rip), %r15; leaq 2f(%rip), %rax; movq %rax, %dr0; leaq 3f(%rip), %rax; movq %rax, %dr1;"
        f"movl $0x5, %eax; movq %rax, %dr7; {before} 2: nop; 3: nop; 1: {STORE_DR6} ud2"
    )
    assert [t.vector for t in ran.taken] == [DB, UD]
    assert dr6(ran) & 0xF == (2 if "ss" in before else 1)


def test_a_data_breakpoint_is_a_trap_after_the_access(kernel: Any) -> None:
    body = (
        "leaq 1f(%rip), %r15; movl $0x240104, %eax; movq %rax, %dr2; movl $0xD000020, %eax; movq %rax, %dr7;"
        "movl 0x240104, %ecx; movb $1, 0x240103; movb $1, 0x240107; 9: nop; 1: " + STORE_DR6 + "ud2"
    )
    ran = kernel(body)
    assert [t.vector for t in ran.taken] == [DB, UD]
    assert dr6(ran) == 0xFFFF_0FF4
    reads = kernel(body.replace("0xD000020", "0xF000020"))
    assert [t.vector for t in reads.taken] == [DB, UD]
    assert reads.taken[0].rip < ran.taken[0].rip  # the preceding read is hit, too


def test_a_port_breakpoint_needs_cr4_de(kernel: Any) -> None:
    body = (
        "leaq 1f(%rip), %r15; movl $0x80, %eax; movq %rax, %dr3; movl $0x20000080, %eax; movq %rax, %dr7;"
        "outb %al, $0x80; nop; 1: " + STORE_DR6 + "ud2"
    )
    met = kernel(body, extra_cr4=DE)
    assert [t.vector for t in met.taken] == [DB, UD]
    assert dr6(met) == 0xFFFF_0FF8
    assert [t.vector for t in kernel(body).taken] == [UD, UD]


def test_general_detection_protects_the_debug_registers(kernel: Any) -> None:
    ran = kernel(
        f"leaq 1f(%rip), %r15; movl $0x2000, %eax; movq %rax, %dr7; movq %rax, %dr0; 1: {STORE_DR6}"
        "movq %dr7, %rax; movl %eax, 0x240004; ud2"
    )
    assert [t.vector for t in ran.taken] == [DB, UD]
    assert dr6(ran) == 0xFFFF_2FF0
    assert ran.machine.ram.read(0x24_0004, 4) == bytes.fromhex("00040000")  # GD is off in the handler


@pytest.mark.parametrize(
    ("stepped", "length"), [("nop", 1), ("movl $0x277, %ecx", 5), ("movq %dr0, %rax", 3), ("movq %cr0, %rax", 3)]
)
def test_the_trap_flag_traps_after_each_instruction_ours_too(kernel: Any, stepped: str, length: int) -> None:
    set_flag = "pushfq; orl $0x100, (%rsp); popfq;"
    (trapped,) = (ran := kernel(f"{set_flag} {stepped}; nop; nop")).taken
    (start,) = kernel("pushfq; orl $0x100, (%rsp); nop; ud2").taken
    assert (trapped.vector, trapped.rip) == (DB, start.rip + length)
    assert ran.machine.cpu.debug.dr6 == 0xFFFF_4FF0


def test_int1_is_a_debug_exception_whatever_the_gate_allows(kernel: Any) -> None:
    (taken,) = kernel(".byte 0xF1; nop", 3).taken
    (before,) = kernel("ud2", 3).taken
    assert (taken.vector, taken.rip) == (DB, before.rip + 1)


NMI_TO_SELF = "movl $0xFEE00300, %edx; movl $0x44400, (%rdx);"


def test_an_nmi_is_blocked_until_iret(kernel: Any) -> None:
    """The handler continues at R15 by IRET; pending ones are then delivered, once."""
    ran = kernel("leaq 1f(%rip), %r15; cli;" + NMI_TO_SELF + "1: nop; nop; ud2")
    assert [t.vector for t in ran.taken] == [NMI, UD]
    inside = kernel(
        f"xorl %ebx, %ebx; movq $3f, %rax; movw %ax, idt + 32; shrl $16, %eax; movw %ax, idt + 38;"
        f"{NMI_TO_SELF} nop; nop; ud2;"
        f"3: incl %ebx; cmpl $1, %ebx; ja 4f; {NMI_TO_SELF} {NMI_TO_SELF} nop; nop; nop; 4: iretq"
    )
    assert inside.machine.cpu.registers.rbx == 2
    delivered = [e for e in inside.events if isinstance(e, InterruptDelivered) and e.vector == NMI]
    returned = [e for e in inside.events if isinstance(e, InterruptReturned) and e.vector == NMI]
    assert len(delivered) == 2
    assert returned[0].at_ns <= delivered[1].at_ns


def test_an_nmi_is_taken_after_the_store_that_asks_for_it(kernel: Any) -> None:
    arm = "movl $0x10, %ecx; movl $0xFEE00300, %edx; movl $0x44400, %eax;"
    (at_once,) = kernel(arm + "movl %eax, (%rdx); movl %ecx, %ds; nop").taken
    (held,) = kernel(arm + "movl %ecx, %ss; movl %eax, (%rdx); nop").taken
    (behind,) = kernel("sti; nop; cli;" + arm + "movl %eax, (%rdx); movl %ecx, %ss; nop").taken
    assert (at_once.vector, held.vector, behind.vector) == (NMI, NMI, NMI)
    assert at_once.rip == held.rip - 2


def test_after_power_on_addresses_are_zero_and_nothing_is_armed() -> None:
    """SDM volume 3, table 10-1."""
    debug = Machine(MachineConfiguration(1 << 20, engines=False)).cpu.debug
    power_on = [0, 0, 0, 0, 0xFFFF_0FF0, 0x400]
    registers = (0, 1, 2, 3, 6, 7)
    assert [debug.read(number) for number in registers] == power_on
    for number, value in zip(registers, (1, 2, 3, 4, 0xFFFF_0FFF, 0x401), strict=True):
        debug.write(number, value)
    debug.met, debug.held = 1, 2
    assert [debug.read(number) for number in registers] == [1, 2, 3, 4, 0xFFFF_0FFF, 0x401]
    debug.reset()
    assert [debug.read(number) for number in registers] == power_on
    assert (debug.met, debug.held) == (0, 0)
