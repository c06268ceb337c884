/* The handler of every vector: prints what it was called for and with, then ends the case, or goes on with it. */
#include "common.inc"

        .macro TEXT string
        .rodata
text_\@: .asciz "\string"
        .text
        leaq text_\@(%rip), %rsi
        call puts
        .endm
        .macro HEX value, digits
        movq \value, %rax
        movl $\digits, %ecx
        call puthex
        .endm

/* Where the saved registers and the processor's frame are, from RBP. */
#define VECTOR 120
#define ERROR 128
#define FRAME_RIP 136
#define FRAME_CS 144
#define FRAME_FLAGS 152
#define FRAME_RSP 160
#define FRAME_SS 168
#define MAX_LINES 40

        .code64
        .text
        .type trap, @function
trap:   pushq %r15
        .irp register, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax
        pushq %\register
        .endr
        movq %rsp, %rbp
        pushfq
        popq %r14
        movl %ss, %r13d
        movl %cs, %r12d
        cld
        movl VECTOR(%rbp), %ebx
        cmpl $VECTOR_MARK, %ebx
        je leave
        cmpb $0, draining(%rip)
        jne end_of_interrupt
        movq current(%rip), %r15
        movq (%r15), %rsi
        call puts
        cmpl $VECTOR_END, %ebx
        jne 1f
        TEXT " end"
        jmp 2f
1:      TEXT " v="
        HEX %rbx, 2
        TEXT " e="
        HEX ERROR(%rbp), 4
2:      TEXT " i="
        movq FRAME_RIP(%rbp), %rdi
        movq %rdi, %rax
        subq 8(%r15), %rax
        cmpq $0x1000, %rax
        jae 3f
        movl $'+', %eax
        call putc
        subq 8(%r15), %rdi
        HEX %rdi, 3
        jmp 4f
3:      HEX %rdi, 16
4:      TEXT " cs="
        HEX FRAME_CS(%rbp), 4
        TEXT " fl="
        movq FRAME_FLAGS(%rbp), %rax
        andl $0xFFFEFFFF, %eax          /* not RF: QEMU 7.2 never sets it in the frame */
        HEX %rax, 6
        TEXT " sp="
        HEX FRAME_SS(%rbp), 4
        movl $':', %eax
        call putc
        HEX FRAME_RSP(%rbp), 16
        TEXT " h="                      /* CS, SS, RFLAGS and RSP as the handler found them */
        HEX %r12, 4
        movl $':', %eax
        call putc
        HEX %r13, 4
        movl $':', %eax
        call putc
        HEX %r14, 6
        movl $':', %eax
        call putc
        leaq FRAME_RIP(%rbp), %rdi
        movl $0x227D00, %eax            /* the vectors with an error code: 8, 10-14, 17, 21 */
        btl %ebx, %eax
        jnc 5f
        cmpl $32, %ebx
        jae 5f
        subq $8, %rdi
5:      HEX %rdi, 16
        cmpl $14, %ebx
        jne 6f
        TEXT " cr2="
        movq %cr2, %rax
        HEX %rax, 16
6:      cmpl $1, %ebx
        jne 7f
        TEXT " dr6="
        movq %dr6, %rax
        HEX %rax, 4
        movl $0xFFFF0FF0, %eax
        movq %rax, %dr6
7:      cmpl $16, %ebx
        jne 8f
        TEXT " fsw="
        fnstsw %ax
        movzwl %ax, %eax
        HEX %rax, 4
        fnclex
8:      cmpl $19, %ebx
        jne 9f
        TEXT " mxcsr="
        subq $8, %rsp
        stmxcsr (%rsp)
        popq %rax
        HEX %rax, 4
9:      call print_registers
        movl $'\n', %eax
        call putc
        cmpl $VECTOR_END, %ebx
        je next_case
        incq lines(%rip)
        cmpq $MAX_LINES, lines(%rip)
        jae next_case
        cmpq $0, nest(%rip)
        je end_of_interrupt
        movq $0, nest(%rip)
        sti
        nop
        nop
        cli
end_of_interrupt:
        cmpl $0x20, %ebx
        jb 3f
        cmpl $0x30, %ebx
        jae 2f
        movb $0x20, %al
        outb %al, $0x20
        cmpl $0x28, %ebx
        jb 3f
        outb %al, $0xA0
        jmp 3f
2:      cmpq $0, keep_in_service(%rip)
        jne 3f
        movl $0, LAPIC_EOI
3:      cmpb $0, draining(%rip)
        jne leave
        movq resume(%rip), %rax
        testq %rax, %rax
        jz 4f
        movq %rax, FRAME_RIP(%rbp)
        movq $0, resume(%rip)
        jmp leave
4:      cmpq $0, go_on(%rip)
        je next_case
leave:  .irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        popq %\register
        .endr
        addq $16, %rsp
        iretq

/* Every register that is not as it was when the case began. */
        .type print_registers, @function
print_registers:
        xorl %r12d, %r12d
1:      movq (%rbp, %r12, 8), %r13
        movq pattern(%rip), %rax
        cmpq %r13, (%rax, %r12, 8)
        je 2f
        movl $' ', %eax
        call putc
        leaq register_names(, %r12, 4), %rsi
        call puts
        movl $'=', %eax
        call putc
        HEX %r13, 16
2:      incl %r12d
        cmpl $15, %r12d
        jne 1b
        .macro SEGMENT name, usual
        movl %\name, %r13d
        cmpl $\usual, %r13d
        je segment_\@
        TEXT " \name="
        HEX %r13, 4
segment_\@:
        .endm
        SEGMENT ds, UD
        SEGMENT es, UD
        SEGMENT fs, 0
        SEGMENT gs, 0
        ret

        .type puts, @function
puts:   lodsb
        testb %al, %al
        jz 1f
        call putc
        jmp puts
1:      ret

        .type putc, @function
putc:   movb %al, %ah
        movl $(COM1 + 5), %edx
1:      inb %dx, %al
        testb $0x20, %al                /* the transmitter is empty */
        jz 1b
        movb %ah, %al
        movl $COM1, %edx
        outb %al, %dx
        ret

/* The last ECX hexadecimal digits of RAX. */
        .type puthex, @function
puthex: movq %rax, %r8
        movl %ecx, %r9d
        negl %ecx
        addl $16, %ecx
        shll $2, %ecx
        shlq %cl, %r8
1:      rolq $4, %r8
        movl %r8d, %eax
        andl $15, %eax
        movb hex_digits(%rax), %al
        call putc
        decl %r9d
        jnz 1b
        ret

        .balign 16
        .globl stubs
stubs:  .set vector, 0
        .rept 256
        .balign 16
        .if (vector != 8) && ((vector < 10) || (vector > 14)) && (vector != 17) && (vector != 21)
        pushq $0
        .endif
        pushq $vector
        jmp trap
        .set vector, vector + 1
        .endr

        .rodata
hex_digits: .ascii "0123456789abcdef"
register_names:
        .irp name, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
1:      .asciz "\name"
        .skip 4 - (. - 1b)
        .endr
