/* A small kernel that stays in protected mode: flat segments, 256 gates, and the log of kernel.S at 0x300000.

   BODY is included at `body` and runs in the ring that RING tells. After an interrupt the handler goes on at the address
   in `resume`, or halts if that is zero. PAGING 1 maps 0-4 MiB by two-level paging, all the user's but 0x402000 on. */
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
        lgdt    gdtr
        ljmp    $8, $1f
1:      movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $tss, %eax
        movw    %ax, gdt_tss + 2
        shrl    $16, %eax
        movb    %al, gdt_tss + 4
        movl    $stack_top, tss + 4
        movl    $0x10, tss + 8
        movw    $104, tss + 102                 /* no I/O permission bitmap */
        movw    $0x28, %ax
        ltr     %ax
        movl    $idt, %edi
        movl    $stubs, %eax
        xorl    %ecx, %ecx
1:      movw    %ax, (%edi)
        movw    $8, 2(%edi)
        movw    $0x8E00, 4(%edi)
        movl    %eax, %edx
        shrl    $16, %edx
        movw    %dx, 6(%edi)
        addl    $8, %edi
        addl    $16, %eax
        incl    %ecx
        cmpl    $256, %ecx
        jne     1b
        movb    $0xEE, idt + 8 * 0x80 + 5       /* reachable from ring 3 */
        movb    $0x8F, idt + 8 * 0x81 + 5       /* a trap gate */
        movb    $0xEE, idt + 8 * 3 + 5
        movb    $0xEE, idt + 8 * 4 + 5
        movb    $0x0E, idt + 8 * 0x40 + 5       /* not present */
        movb    $0x8C, idt + 8 * 0x41 + 5       /* no interrupt gate at all */
        lidt    idtr
        movl    $LOG, next
#if PAGING
        movl    $table + 7, directory
        movl    $table2 + 7, directory + 4
        xorl    %ecx, %ecx
1:      movl    %ecx, %eax
        shll    $12, %eax
        orl     $7, %eax
        movl    %eax, table(, %ecx, 4)
        orl     $0x400000, %eax
        movl    %eax, table2(, %ecx, 4)
        incl    %ecx
        cmpl    $1024, %ecx
        jne     1b
        movl    $0x401005, table2 + 4           /* 0x401000 read-only */
        movl    $0x402003, table2 + 8           /* 0x402000 the supervisor's */
        movl    $0, table2 + 12                 /* 0x403000 not present */
        movl    $directory, %eax
        movl    %eax, %cr3
        movl    $0x80010011, %eax
        movl    %eax, %cr0
#endif
#if RING
        movl    $0x18 | RING, %eax
        movl    %eax, %ds
        movl    %eax, %es
        pushl   $0x18 | RING
        pushl   $0x240000
        pushl   $0x202
        pushl   $0x20 | RING
        pushl   $body
        iretl
#else
        jmp     body
#endif

        .set    v, 0
        .balign 16
stubs:  .rept   256
        .balign 16
        .if     v == 8 || (v >= 10 && v <= 14) || v == 17
        .else
        pushl   $0
        .endif
        pushl   $v
        jmp     handler
        .set    v, v + 1
        .endr
handler:
        pushl   %ebp
        movl    %cs:next, %ebp
        movl    4(%esp), %eax
        movl    %eax, (%ebp)
        movl    8(%esp), %eax
        movl    %eax, 8(%ebp)
        movl    16(%esp), %eax
        movl    %eax, 16(%ebp)
        movl    12(%esp), %eax
        movl    %eax, 24(%ebp)
        movl    %cr2, %eax
        movl    %eax, 32(%ebp)
        movl    20(%esp), %eax
        movl    %eax, 40(%ebp)
        addl    $48, %ss:next
        popl    %ebp
        movl    %ss:resume, %eax
        testl   %eax, %eax
        jz      finish
        movl    $0, %ss:resume
        movl    %eax, 8(%esp)
        addl    $8, %esp
        iretl
finish: cli
#ifdef EXIT
        outb    %al, $0xF4
#endif
        hlt
        jmp     finish

        .section .data
        .balign 16
gdt:    .quad   0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
#if RING == 1
        .quad   0x00CFB3000000FFFF, 0x00CFBB000000FFFF
#else
        .quad   0x00CFF3000000FFFF, 0x00CFFB000000FFFF
#endif
gdt_tss: .quad  0x0000890000000067
        .quad   0x00CF9F000000FFFF, 0x00009A000000FFFF  /* 0x30 conforming, 0x38 16-bit */
        .quad   0x0000890000000067              /* 0x40 another task */
gdtr:   .short  . - gdt - 1
        .quad   gdt
idtr:   .short  2047
        .quad   idt
        .bss
        .balign 4096
directory: .skip 4096
table:  .skip   4096
table2: .skip   4096
idt:    .skip   2048
tss:    .skip   104
tss2:   .skip   104
next:   .skip   4
resume: .skip   4
        .balign 4096
        .skip   4096
stack_top:
        .section .text
body:
#include BODY
1:      jmp     1b
