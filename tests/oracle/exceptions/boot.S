/* From the boot loader to 64-bit mode: page tables, descriptor tables, devices. Then the runner. */
#include "common.inc"

#define P 1
#define W 2
#define U 4
#define PCD 0x10
#define PS 0x80
#define NX_HIGH 0x80000000

        .section .multiboot, "a", @progbits
        .balign 8
header: .long 0xE85250D6, 0, header_end - header, -(0xE85250D6 + header_end - header)
        .short 0, 0
        .long 8
header_end:

        .text
        .code32
        .globl _start
        .type _start, @function
_start: cli
        cld
        movl $runner_stack, %esp
        movl $(pdpt + (P | W | U)), pml4
        movl $(P | W | U | PS), pml4 + 2 * 8
        movl $(pd0 + (P | W | U)), pdpt
        /* All of the first GiB supervisor, writable, not executable. */
        xorl %ecx, %ecx
1:      movl %ecx, %eax
        shll $21, %eax
        orl $(P | W | PS), %eax
        movl %eax, pd0(, %ecx, 8)
        movl $NX_HIGH, pd0 + 4(, %ecx, 8)
        incl %ecx
        cmpl $512, %ecx
        jne 1b
        .macro DIRECTORY index, low, high
        movl $(\low), pd0 + 8 * \index
        movl $(\high), pd0 + 8 * \index + 4
        .endm
        DIRECTORY 0, pt0 + (P | W), 0
        DIRECTORY 2, pt2 + (P | W | U), 0
        DIRECTORY 3, pt3 + (P | W | U), 0
        DIRECTORY 4, pt4 + (P | U), 0
        DIRECTORY 5, pt4 + (P | W), 0
        DIRECTORY 6, pt4 + (P | W | U), NX_HIGH
        DIRECTORY 7, 0x202000 + (P | W | U | PS), 0
        DIRECTORY 8, 0, 0
        DIRECTORY 9, 0xFEE00000 + (P | W | PCD | PS), NX_HIGH   /* LAPIC, where a 32-bit displacement reaches it */
        /* The kernel's own pages: text read and execute, constants read, the rest read and write; page 0 absent. */
        movl $1, %ecx
2:      movl %ecx, %eax
        shll $12, %eax
        movl $(P | W), %edx
        movl $NX_HIGH, %ebx
        cmpl $_start_of_text, %eax
        jb 4f
        cmpl $rodata_end, %eax
        jae 4f
        movl $P, %edx
        cmpl $text_end, %eax
        jae 4f
        xorl %ebx, %ebx
4:      orl %edx, %eax
        movl %eax, pt0(, %ecx, 8)
        movl %ebx, pt0 + 4(, %ecx, 8)
        incl %ecx
        cmpl $512, %ecx
        jne 2b
        /* The user's. */
        movl $0x400000, %ebx
5:      movl %ebx, %ecx
        shrl $12, %ecx
        andl $511, %ecx
        movl $(P | U), %edx
        xorl %eax, %eax
        cmpl $utext_end, %ebx
        jb 6f
        movl $(P | W | U), %edx
        movl $NX_HIGH, %eax
6:      orl %ebx, %edx
        movl %edx, pt2(, %ecx, 8)
        movl %eax, pt2 + 4(, %ecx, 8)
        addl $4096, %ebx
        cmpl $udata_end, %ebx
        jb 5b
        /* The playground. */
        .macro PAGE address, flags, high
        movl $((\address) | (\flags)), pt3 + 8 * ((\address >> 12) & 511)
        movl $(\high), pt3 + 8 * ((\address >> 12) & 511) + 4
        .endm
        PAGE USER_RW, P | W | U, NX_HIGH
        PAGE USER_RO, P | U, NX_HIGH
        PAGE KERNEL_RW, P | W, NX_HIGH
        PAGE KERNEL_RO, P, NX_HIGH
        PAGE USER_RWX, P | W | U, 0
        PAGE USER_RX, P | U, 0
        PAGE KERNEL_X, P | W, 0
        PAGE RESERVED_BIT, P | W | U, 0x00080000
        PAGE ABSENT_RESERVED_BIT, W | U, 0x00080000
        PAGE USER_STACK_LOW, P | W | U, NX_HIGH
        movl $(0x200000 | P | W | U), pt4
        movl $0xC3, USER_RWX            /* a RET in each page that can be executed, as seen from outside */
        movl $0xC3, USER_RX
        movl $0xC3, KERNEL_X
        movl $(0xCD | (VECTOR_END << 8)), GATE_TARGET
        movl $0xC3, USER_RW
        movl $0xC3, KERNEL_RW
        movl $0xC3, 0x200000
        movl $0x20, %eax                /* CR4.PAE */
        movl %eax, %cr4
        movl $pml4, %eax
        movl %eax, %cr3
        movl $0xC0000080, %ecx
        rdmsr
        orl $0x901, %eax                /* EFER: SCE, LME, NXE */
        wrmsr
        movl $0x80010033, %eax          /* CR0: PG, WP, NE, ET, MP, PE */
        movl %eax, %cr0
        lgdt boot_gdt_pointer
        ljmp $K64, $start64

        .code64
        .type start64, @function
start64:
        xorl %eax, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %fs
        movl %eax, %gs
        movl $KD, %eax
        movl %eax, %ss
        leaq stubs(%rip), %rax          /* 256 interrupt gates; END and MARK may be used from ring 3 */
        xorl %ecx, %ecx
        leaq idt_original(%rip), %rdi
1:      movw %ax, (%rdi)
        movw $K64, 2(%rdi)
        movw $0x8E00, 4(%rdi)
        movq %rax, %rdx
        shrq $16, %rdx
        movw %dx, 6(%rdi)
        movq $0, 8(%rdi)
        addq $16, %rax
        addq $16, %rdi
        incl %ecx
        cmpl $256, %ecx
        jne 1b
        movb $0xEE, idt_original + 16 * VECTOR_END + 5
        movb $0xEE, idt_original + 16 * 0x80 + 5
        movb $0xEE, idt_original + 16 * 3 + 5
        movb $0xEE, idt_original + 16 * 4 + 5
        movb $1, idt_original + 16 * 8 + 4      /* #DF on IST1 */
        /* COM1: 115200 baud, 8N1, FIFO, no interrupts. */
        .macro OUT port, value
        movw $\port, %dx
        movb $\value, %al
        outb %al, %dx
        .endm
        OUT COM1 + 3, 0x80
        OUT COM1 + 0, 1
        OUT COM1 + 1, 0
        OUT COM1 + 3, 3
        OUT COM1 + 1, 0
        OUT COM1 + 2, 7
        OUT COM1 + 4, 3
        jmp next_case

        .rodata
        .balign 8
boot_gdt_pointer: .short GDT_SIZE - 1
        .quad gdt_original
gdt_pointer: .short GDT_SIZE - 1
        .quad gdt
        .globl idt_pointer, gdt_pointer
idt_pointer: .short 4095
        .quad idt
_start_of_text = header

        .bss
        .balign 4096
pml4:   .skip 4096
pdpt:   .skip 4096
pd0:    .skip 4096
pt0:    .skip 4096
pt2:    .skip 4096
        .globl pt3, pml4
pt3:    .skip 4096
pt4:    .skip 4096
