/* Runs every case in turn. Before each one all state that a case may change is put back. */
#include "common.inc"

        .code64
        .text
        .globl next_case, nothing
        .type next_case, @function
next_case:
        leaq runner_stack(%rip), %rsp
        pushq $2
        popfq
        call restore
        call drain
        movq case_number(%rip), %rax
        incq case_number(%rip)
        shlq $5, %rax                   /* a case's entry has 32 bytes */
        addq $cases, %rax
        cmpq $cases_end, %rax
        jae finished
        movq %rax, current(%rip)
        int $VECTOR_MARK
        call *16(%rax)                  /* prepare */
        movq current(%rip), %rax
        movq 24(%rax), %rcx
        movzwl %cx, %edx                /* CS */
        shrq $16, %rcx
        movzwl %cx, %ebx                /* SS */
        shrq $16, %rcx                  /* 1: compatibility mode */
        pushq %rbx
        leaq case_stack(%rip), %rsi
        testl $3, %edx
        jz 1f
        movl $user_stack, %esi
1:      pushq %rsi
        pushq flags(%rip)
        pushq %rdx
        pushq 8(%rax)
        leaq pattern64(%rip), %rsi
        testl %ecx, %ecx
        jz 2f
        leaq pattern32(%rip), %rsi
2:      movq %rsi, pattern(%rip)
        movq 8(%rsi), %rbx
        movq 16(%rsi), %rcx
        movq 24(%rsi), %rdx
        movq 40(%rsi), %rdi
        movq 48(%rsi), %rbp
        .irp number, 8, 9, 10, 11, 12, 13, 14, 15
        movq 8 * (\number - 1)(%rsi), %r\number
        .endr
        movq (%rsi), %rax
        movq 32(%rsi), %rsi
        iretq

        .type nothing, @function
nothing: ret

finished:
        movb $0x10, %al
        outb %al, $0xF4
        .globl over
over:   cli                             /* where there is no debug-exit device */
        hlt

/* Tables, control registers, segments, debug registers, FPU, MSRs and the cases' own variables. */
        .macro COPY from, to, bytes
        leaq \from(%rip), %rsi
        movl $\to, %edi
        movl $(\bytes), %ecx
        rep movsb
        .endm
        .macro MSR number, value
        movl $\number, %ecx
        movabsq $(\value), %rax
        movq %rax, %rdx
        shrq $32, %rdx
        wrmsr
        .endm
        .type restore, @function
restore:
        movl $0x80010033, %eax
        movq %rax, %cr0
        movl $0x620, %eax               /* CR4: PAE, OSFXSR, OSXMMEXCPT */
        movq %rax, %cr4
        cmpb $0, started(%rip)
        jne 1f
        movb $1, started(%rip)
        COPY pt3, pt3_original, 4096
1:      COPY pt3_original, pt3, 4096
        COPY gdt_original, gdt, GDT_SIZE
        COPY idt_original, idt, 4096
        COPY tss_original, TSS_BASE, TSS_LIMIT + 1
        COPY tss_original, OTHER_TSS_BASE, 104
        COPY ldt_original, LDT_BASE, 32
        movl $pml4, %eax
        movq %rax, %cr3
        lgdt gdt_pointer(%rip)
        lidt idt_pointer(%rip)
        movl $LDT, %eax
        lldt %ax
        movl $TSS, %eax
        ltr %ax
        movl $KD, %eax
        movl %eax, %ss
        movl $UD, %eax
        movl %eax, %ds
        movl %eax, %es
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs
        movq %rax, %cr2
        movq %rax, %dr0
        movq %rax, %dr1
        movq %rax, %dr2
        movq %rax, %dr3
        movl $0x400, %eax
        movq %rax, %dr7
        movl $0xFFFF0FF0, %eax
        movq %rax, %dr6
        fninit
        ldmxcsr default_mxcsr(%rip)
        MSR 0xC0000080, 0xD01           /* EFER: SCE, LME, LMA, NXE */
        MSR 0xC0000081, 0x0020001000000000      /* STAR: SYSRET to 0x20, SYSCALL to 0x10 */
        MSR 0xC0000082, syscall_target
        MSR 0xC0000084, 0x200           /* FMASK: IF */
        MSR 0xC0000100, 0
        MSR 0xC0000101, 0
        MSR 0xC0000102, 0
        MSR 0x174, 0
        xorl %eax, %eax
        movq %rax, resume(%rip)
        movq %rax, go_on(%rip)
        movq %rax, nest(%rip)
        movq %rax, keep_in_service(%rip)
        movq $2, flags(%rip)
        movq $0, lines(%rip)
        ret

/* Devices quiet, nothing requested, nothing in service. */
        .type drain, @function
drain:  leaq initialisation(%rip), %rsi
        movl $(initialisation_end - initialisation) / 2, %ecx
        xorl %edx, %edx
1:      movb (%rsi), %dl
        movb 1(%rsi), %al
        outb %al, %dx
        addq $2, %rsi
        loop 1b
        movl $0x700, LAPIC + 0x350      /* LINT0: ExtINT, from the 8259 */
        movl $0x400, LAPIC + 0x360      /* LINT1: NMI */
        movl $0x1FF, LAPIC + 0xF0       /* spurious vector 0xFF, enabled */
        movl $0x10000, LAPIC_LVT_TIMER
        movl $0, LAPIC_COUNT
        movl $0xB, LAPIC_DIVIDE
        movl $0, LAPIC_TPR
        movb $1, draining(%rip)
1:      xorl %eax, %eax                 /* what is in service is ended ... */
        movl $(LAPIC + 0x100), %ebx
        movl $8, %ecx
2:      orl (%rbx), %eax
        addl $16, %ebx
        loop 2b
        testl %eax, %eax
        jz 3f
        movl $0, LAPIC_EOI
        jmp 1b
3:      sti                             /* ... and what is requested is taken, and ended by the handler */
        nop
        nop
        cli
        movl $(LAPIC + 0x200), %ebx
        movl $8, %ecx
4:      orl (%rbx), %eax
        addl $16, %ebx
        loop 4b
        testl %eax, %eax
        jnz 3b
        movb $0, draining(%rip)
        ret

        .type syscall_target, @function
        .globl syscall_target
syscall_target:
        int $VECTOR_END

        .rodata
default_mxcsr: .long 0x1F80
initialisation:                         /* pairs of port and value */
        .byte 0x43, 0x30                /* 8254 channel 0 waits for a count */
        .byte 0x20, 0x11, 0x21, 0x20, 0x21, 4, 0x21, 1, 0x21, 0xFF      /* 8259s: vectors 0x20 and 0x28, all masked */
        .byte 0xA0, 0x11, 0xA1, 0x28, 0xA1, 2, 0xA1, 1, 0xA1, 0xFF
initialisation_end:

        .data
        .balign 8
        .globl case_number, current, pattern, resume, go_on, nest, keep_in_service, flags, lines, draining
case_number: .quad 0            /* of the next case; the oracle may have it start later */
current: .quad 0                /* the case's entry */
pattern: .quad 0
resume: .quad 0                 /* where the handler of the next exception goes on; 0: the case ends with it */
go_on:  .quad 0                 /* 1: handlers return to where they were called from */
nest:   .quad 0                 /* 1: the handler enables interrupts for a moment */
keep_in_service: .quad 0        /* 1: the handler does not write EOI */
flags:  .quad 0                 /* RFLAGS the case begins with */
lines:  .quad 0                 /* printed for this case */
started: .byte 0
draining: .byte 0
