"""Task gates of kernel32.S."""

TASK = """movl $tss2, %eax; movw %ax, gdt + 0x42; shrl $16, %eax; movb %al, gdt + 0x44; movl $9f, tss2 + 0x20;
movl $0x2, tss2 + 0x24; movl $0x248000, tss2 + 0x38; movl $0x10, tss2 + 0x48; movl $8, tss2 + 0x4C;
movl $0x10, tss2 + 0x50; movl $0x10, tss2 + 0x54; movl $directory, tss2 + 0x1C;
movl $directory, tss + 0x1C; movw $0x40, idt + 8 * GATE + 2;
movb $0xE5, idt + 8 * GATE + 5;"""


def task(gate: int) -> str:
    """Make a gate of the IDT a task gate, to a task that begins at the label 9."""
    return TASK.replace("GATE", str(gate))
