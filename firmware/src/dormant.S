/* The end of annihilation, A5 to A7. It scrubs the stacks and data that C code would need, so it uses neither:
   all its constants are in its instructions. No call, no push, no load from memory that is scrubbed. */
#include "layout.h"
#include "frames.h"

#define IA32_FS_BASE        0xC0000100
#define IA32_GS_BASE        0xC0000101
#define IA32_KERNEL_GS_BASE 0xC0000102

/* With the engine (EBP != 0): one command. Without it: stores. R8D collects failures. */
        .macro  scrub base, size
        testl   %ebp, %ebp
        jz      1f
        movl    $\base, (SCRUB_CHANNEL + 16 * CHANNEL_ANY)(%rbx)
        movl    $\size, (SCRUB_CHANNEL + 16 * CHANNEL_ANY + 4)(%rbx)
        movl    $SCRUB_FILL, (SCRUB_CHANNEL + 16 * CHANNEL_ANY + 8)(%rbx)
        orl     SCRUB_STATUS(%rbx), %r8d
        jmp     2f
1:      movl    $\base, %edi
        movl    $\size / 8, %ecx
        xorl    %eax, %eax
        rep stosq
        movl    $\base, %edi
        movl    $\size / 8, %ecx
        repe scasq
        je      2f
        orl     $SCRUB_FAILED, %r8d
2:
        .endm

        .macro  report register, value
        movl    $\value, %eax
        movabsl %eax, ENCLAVE + \register
        .endm

        /* If R9D is nonzero, also print a text on the serial line. */
        .macro  tell text
        testl   %r9d, %r9d
        jz      1f
        .pushsection .rodata
2:      .asciz  "\text\n"
        .popsection
        movl    $2b, %esi
        movl    $1f, %edi
        jmp     say
1:
        .endm

        .section .text
        .code64
/* Print the text at RSI and continue at RDI. */
say:    .cfi_startproc
        .cfi_def_cfa_offset 0
        .cfi_register rip, rdi
        movl    $COM1_LINE_STATUS, %edx
        inb     %dx, %al
        testb   $TRANSMITTER_EMPTY, %al
        jz      say
        lodsb
        movl    $COM1, %edx
        testb   %al, %al
        jz      1f
        outb    %al, %dx
        jmp     say
1:      jmp     *%rdi
        .cfi_endproc

/* void fall_dormant(u32 talk) */
        .globl  fall_dormant
        .type   fall_dormant, @function
fall_dormant:
        .cfi_startproc
        movl    %edi, %r9d
        movl    $SCRUB, %ebx
        .cfi_undefined rbx
        xorl    %ebp, %ebp
        .cfi_undefined rbp
        xorl    %r8d, %r8d
        cmpl    $SCRUB_PRESENT, SCRUB_ID(%rbx)
        sete    %bpl
        .cfi_undefined rip              /* A5 scrubs the stack with the caller's address */
        /* A5: stacks, and data with BSS, IDT and boot information */
        scrub   KERNEL_STACK_BASE, KERNEL_STACK_SIZE
        scrub   CALL_STACK_BASE, CALL_STACK_SIZE
        scrub   FAULT_STACK_BASE, FAULT_STACK_SIZE
        scrub   NMI_STACK_BASE, NMI_STACK_SIZE
        scrub   CHECK_STACK_BASE, CHECK_STACK_SIZE
        scrub   IRQ_STACK_BASE, IRQ_STACK_SIZE
        scrub   DATA_BASE, DATA_SIZE
        testl   $SCRUB_FAILED, %r8d
        jz      scrubbed
        report  ENCLAVE_DETAIL, DETAIL_SCRUB_FAILED
        tell    "SCRUB_FAILED"
scrubbed:
        report  ENCLAVE_STEP, 5
        tell    "A5"
        /* A6: registers, then the IDT */
        xorl    %eax, %eax
        xorl    %edx, %edx
        .irp    msr, IA32_FS_BASE, IA32_GS_BASE, IA32_KERNEL_GS_BASE
        movl    $\msr, %ecx
        wrmsr
        .endr
        .irp    n, 0, 1, 2, 3
        movq    %rax, %db\n
        .endr
        movl    $0xFFFF0FF0, %ecx
        movq    %rcx, %db6
        movl    $0x400, %ecx
        movq    %rcx, %db7
        movq    %rax, %cr2
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        pxor    %xmm\n, %xmm\n
        .endr
        fninit
        .rept   8
        fldz
        .endr
        fninit
        ldmxcsr default_mxcsr(%rip)
        lidt    empty_idt(%rip)
        .irp    register, ebx, ecx, esi, edi, ebp, esp, r8d, r10d, r11d, r12d, r13d, r14d, r15d
        xorl    %\register, %\register
        .endr
        report  ENCLAVE_STEP, 6
        tell    "A6"
        /* A7: the power unit, if there is one */
        report  ENCLAVE_POWER, 1
        tell    "A7"
        .irp    register, eax, edx, esi, edi, r9d
        xorl    %\register, %\register
        .endr
        cli
1:      hlt
        jmp     1b
        .cfi_endproc

        .section .rodata, "a", @progbits
        .balign 16
default_mxcsr:
        .long   0x1F80
empty_idt:
        .short  0
        .quad   0
