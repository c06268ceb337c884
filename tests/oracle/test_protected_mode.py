"""A kernel that never enters long mode gets the same exceptions on QEMU and here (SDM volume 3, 6.12)."""

from pathlib import Path

import pytest

from tests.machine.interrupts.task_gates import task
from tests.oracle import ours, qemu
from tests.oracle.compare import difference
from tests.oracle.image import Image, build

MACHINE = Path(__file__).parents[1] / "machine"
CASES = {
    "ud_r0": (0, 0, "ud2"),
    "ud_r1": (1, 0, "ud2"),
    "ud_r3": (3, 0, "ud2"),
    "de_r3": (3, 0, "xorl %ecx, %ecx; divl %ecx"),
    "gp_cli_r3": (3, 0, "cli"),
    "gp_hlt_r1": (1, 0, "hlt"),
    "gp_port_r3": (3, 0, "inb $0x60, %al"),
    "gp_closed_gate_r3": (3, 0, "int $0x21"),
    "np_absent_gate_r0": (0, 0, "int $0x40"),
    "gp_no_gate_r0": (0, 0, "int $0x41"),
    "int3_r3": (3, 0, "int3"),
    "into_r3": (3, 0, "movb $0x7F, %al; addb $1, %al; into"),
    "bound_r3": (3, 0, "movl $5, 0x240100; movl $9, 0x240104; movl $3, %eax; bound %eax, 0x240100"),
    "gp_selector_r0": (0, 0, "movw $0x53, %ax; movw %ax, %ds"),
    "software_r0": (0, 0, "movl $7f, resume; int $0x80; 7: ud2"),
    "software_r3": (3, 0, "movl $7f, resume; int $0x80; 7: ud2"),
    "trap_flag_r0": (0, 0, "pushl $0x102; popfl; nop; nop"),
    "trap_flag_r3": (3, 0, "pushl $0x302; popfl; nop; nop"),
    "pf_absent_r3": (3, 1, "movb 0x403000, %al"),
    "pf_read_only_r3": (3, 1, "movb %al, 0x401000"),
    "pf_supervisor_r3": (3, 1, "movb %al, 0x402000"),
    "pf_write_protect_r0": (0, 1, "movb %al, 0x401000"),
    "pf_absent_r0": (0, 1, "movb 0x403000, %al"),
    "conforming_handler_r3": (3, 0, "movw $0x30, idt + 8 * 6 + 2; ud2"),
    "null_stack_in_tss_r3": (3, 0, "movl $0, tss + 8; int $0x80"),
    "stack_of_another_ring_r3": (3, 0, "movl $0x13, tss + 8; int $0x80"),
    "code_as_stack_r3": (3, 0, "movl $0x08, tss + 8; int $0x80"),
    "stack_beyond_the_table_r3": (3, 0, "movl $0x60, tss + 8; int $0x80"),
    "task_gate_r0": (0, 0, task(0x80) + "int $0x80; ud2; 9: iretl"),
    "task_gate_r3": (3, 1, task(0x80) + "int $0x80; ud2; 9: iretl"),
    "task_gate_twice_r3": (3, 1, task(0x80) + "int $0x80; int $0x80; ud2; 9: iretl; jmp 9b"),
    "task_gate_of_a_fault_r3": (3, 1, task(13) + "cli; 9: popl %eax; ud2"),
    "task_gate_of_a_double_fault_r0": (0, 1, task(8) + "movl $0x403800, %esp; movb 0x403000, %al; 9: ud2"),
    "task_gate_busy_r0": (0, 0, task(0x80) + "movb $0x8B, gdt + 0x45; int $0x80; 9: hlt"),
    "task_gate_absent_task_r0": (0, 0, task(0x80) + "movb $0x09, gdt + 0x45; int $0x80; 9: hlt"),
    "task_gate_no_task_r0": (0, 0, task(0x80) + "movw $0x08, idt + 8 * 0x80 + 2; int $0x80; 9: hlt"),
    "jump_to_a_task_r0": (0, 0, task(0x80) + "ljmp $0x40, $0; 9: ud2"),
    "call_of_a_task_r0": (0, 0, task(0x80) + "lcall $0x40, $0; ud2; 9: iretl"),
    "push_faults_r0": (0, 1, "movl $0x403800, %esp; movb 0x403000, %al"),
}


@pytest.mark.parametrize("name", CASES)
def test_protected_mode_is_as_on_qemu(name: str, tmp_path: Path) -> None:
    ring, paging, body = CASES[name]
    (tmp_path / "body.inc").write_text(body)
    flags = [f"-DRING={ring}", f"-DPAGING={paging}", "-DEXIT", f'-DBODY="{tmp_path}/body.inc"']
    image = Image(build([MACHINE / "kernel32.S"], MACHINE / "link.ld", flags))
    theirs = qemu.run(image)
    assert theirs.end in ("exit", "shutdown")
    assert theirs.records
    assert not difference(image, theirs, ours.run(image))
