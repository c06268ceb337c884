/* A small kernel for tests of the machine: long mode, 256 gates, and a log of every interrupt at 0x300000.

   BODY is included at `body`, entered in the ring that RING tells. After an interrupt the handler continues at the
   address in R15, or halts if R15 is zero. A log entry is vector, error code, CS, RIP, CR2, RFLAGS (8 bytes each). */
#define LOG 0x300000
        .section .text
        .code32
        .balign 8
header: .long   0xE85250D6, 0, header_end - header, -(0xE85250D6 + (header_end - header))
        .balign 8
        .short  0, 0
        .long   8
header_end:
        .globl  _start
_start: movl    $stack_top, %esp
        movl    $pdpt + 7, pml4
        movl    $pd + 7, pdpt
        movl    $pd_devices + 3, pdpt + 24
        movl    $0xFEC00083, pd_devices + 8 * 0x1F6
        movl    $0xFEE00083, pd_devices + 8 * 0x1F7
        movl    $0x83, pd                       /* 0-2 MiB: kernel, supervisor */
        movl    $0x200087, pd + 8               /* 2-4 MiB: user, writable, executable; the log */
        movl    $pt + 7, pd + 16                /* 4-6 MiB: by 4 KiB pages */
        movl    $0x400007, pt                   /*   0x400000 user, writable */
        movl    $0x80000000, pt + 4             /*            not executable */
        movl    $0x401005, pt + 8               /*   0x401000 user, read-only */
        movl    $0x402003, pt + 16              /*   0x402000 supervisor */
                                                /*   0x403000 not present */
        movw    $0x0ECD, 0x406FFE               /*   0x406000 user, executable, ends in INT 14; 0x407000 not present */
        movl    $0x406005, pt + 48
        movl    $0x620 | EXTRA_CR4, %eax
        movl    %eax, %cr4
        movl    $pml4, %eax
        movl    %eax, %cr3
        movl    $0xC0000080, %ecx
        movl    $0x900, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $0x80010023, %eax
        movl    %eax, %cr0
        lgdt    gdtr
        ljmp    $8, $long_mode

        .code64
long_mode:
        movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movq    $tss, %rax
        movw    %ax, gdt_tss + 2
        shrq    $16, %rax
        movb    %al, gdt_tss + 4
        movw    $0x28, %ax
        ltr     %ax
        movl    $idt, %edi
        movl    $stubs, %eax
        xorl    %ecx, %ecx
1:      movw    %ax, (%rdi)
        movw    $8, 2(%rdi)
        movw    $0x8E00, 4(%rdi)
        movl    %eax, %edx
        shrl    $16, %edx
        movw    %dx, 6(%rdi)
        addl    $16, %edi
        addl    $16, %eax
        incl    %ecx
        cmpl    $256, %ecx
        jne     1b
        movb    $0xEE, idt + 16 * 0x80 + 5      /* reachable from ring 3 */
        movb    $0xEE, idt + 16 * 14 + 5        /* so is 14: INT 14 must not be taken for a page fault */
        movb    $0x0E, idt + 16 * 0x40 + 5      /* not present */
        movb    $0x8C, idt + 16 * 0x41 + 5      /* no interrupt gate at all */
        movb    $1, idt + 16 * 8 + 4            /* double fault: IST1 */
        lidt    idtr
        movl    $LOG, %ebp
        xorl    %r15d, %r15d
#if RING == 3
        pushq   $0x1B
        pushq   $0x240000
        pushq   $RFLAGS
        pushq   $0x23
        movl    $body, %eax
        pushq   %rax
        iretq
#else
        jmp     body
#endif

        .set    v, 0
        .balign 16
stubs:  .rept   256
        .balign 16
        .if     v == 8 || (v >= 10 && v <= 14) || v == 17
        .else
        pushq   $0
        .endif
        pushq   $v
        jmp     handler
        .set    v, v + 1
        .endr
handler:
        popq    (%rbp)
        popq    8(%rbp)
        pushq   %rax
        movq    8(%rsp), %rax
        movq    %rax, 24(%rbp)
        movq    16(%rsp), %rax
        movq    %rax, 16(%rbp)
        movq    24(%rsp), %rax
        movq    %rax, 40(%rbp)
        movq    %cr2, %rax
        movq    %rax, 32(%rbp)
        addq    $48, %rbp
        movl    $0xFEE000B0, %eax
        movl    $0, (%rax)
        testq   %r15, %r15
        jz      finish
        movq    %r15, 8(%rsp)
        xorl    %r15d, %r15d
        popq    %rax
        iretq
finish: cli
        hlt
        jmp     finish

        .section .data
        .balign 16
gdt:    .quad   0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF, 0x00CFF3000000FFFF, 0x00AFFB000000FFFF
gdt_tss: .quad  0x0000890000002067, 0
        .quad   0x00CF9B000000FFFF, 0x00CFFB000000FFFF  /* 0x38, 0x43: 32-bit code of ring 0 and ring 3 */
gdtr:   .short  . - gdt - 1
        .quad   gdt
idtr:   .short  4095
        .quad   idt
tss:    .long   0
        .quad   stack_top, 0, 0, 0, ist_top, 0, 0, 0, 0, 0, 0, 0
        .short  0, 104
        .skip   0x80 / 8, 0xFF                  /* I/O permission bitmap: all refused but ports 0x80 and 0x92-0x93 */
        .byte   0xFE, 0xFF, 0xF3
        .skip   0x2000 - 0x80 / 8 - 3, 0xFF
        .bss
        .balign 4096
pml4:   .skip   4096
pdpt:   .skip   4096
pd:     .skip   4096
pd_devices: .skip 4096
pt:     .skip   4096
idt:    .skip   4096
        .skip   4096
stack_top:
        .skip   4096
ist_top:
#if RING == 3
        .section .user, "awx"
        .balign 4096
#else
        .section .text
#endif
body:
#include BODY
1:      jmp     1b
