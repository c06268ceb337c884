/* An exception while another one is being delivered: a double fault, or the second one alone. */
#include "common.inc"

        .macro ABSENT_GATES name, vectors:vararg
        PREPARE \name
        .irp vector, \vectors
        movb $0x0E, idt + 16 * \vector + 5
        .endr
        ret
        .endm
        ABSENT_GATES no_de, 0
        ABSENT_GATES no_ss, 12
        ABSENT_GATES no_gp, 13
        ABSENT_GATES no_pf, 14
        ABSENT_GATES no_np, 11
        ABSENT_GATES no_80_np, 0x80, 11

        .macro BOTH name, prepare, code
        CASE \name\()_r0, K64, \prepare
        \code
        END
        CASE \name\()_r3, U64, \prepare
        \code
        END
        .endm
        BOTH df_de_with_absent_gate, no_de, "xorl %ecx, %ecx; divl %ecx"
        BOTH df_gp_with_absent_gate, no_gp, "movl $0x1008, %ecx; movl %ecx, %ds"
        BOTH df_pf_with_absent_gate, no_pf, "movl $ABSENT, %ebx; movb (%rbx), %al"
        BOTH df_np_with_absent_gate, no_np, "movl $ABSENT_USER_DATA, %ecx; movl %ecx, %ds"
        CASE df_ss_with_absent_gate_r0, K64, no_ss
        movl $ABSENT_DATA, %ecx
        movl %ecx, %ss
        END
        CASE df_ss_with_absent_gate_r3, U64, no_ss
        movl $ABSENT_USER_DATA, %ecx
        movl %ecx, %ss
        END
        CASE df_int_with_both_absent_r0, K64, no_80_np
        int $0x80
        END

        PREPARE absent_rsp0
        movq $(ABSENT + 0x100), TSS_BASE + 4
        ret
        CASE df_pf_with_absent_stack_r3, U64, absent_rsp0
        movb ABSENT, %al
        END
        CASE pf_instead_of_ud_with_absent_stack_r3, U64, absent_rsp0_ist_for_pf
        ud2
        END
        CASE pf_instead_of_gp_with_absent_stack_r3, U64, absent_rsp0_ist_for_pf
        cli
        END
        CASE pf_instead_of_de_with_absent_stack_r3, U64, absent_rsp0_ist_for_pf
        xorl %ecx, %ecx
        divl %ecx
        END
        CASE pf_instead_of_int_with_absent_stack_r3, U64, absent_rsp0_ist_for_pf
        int $0x80
        END
        CASE pf_with_ist_needs_no_rsp0_r3, U64, absent_rsp0_ist_for_pf
        movb ABSENT, %al
        END
        PREPARE absent_rsp0_ist_for_pf
        movb $3, idt + 16 * 14 + 4
        jmp absent_rsp0
        CASE df_ud_then_pf_then_pf_r3, U64, absent_rsp0
        ud2
        END
        CASE df_ist_of_pf_absent_r3, U64, absent_ist
        movb ABSENT, %al
        END
        CASE df_ist_of_pf_absent_r0, K64, absent_ist
        movb ABSENT, %al
        END
        PREPARE absent_ist
        movb $3, idt + 16 * 14 + 4
        movq $(ABSENT + 0x100), TSS_BASE + 36 + 16
        ret
        CASE df_stack_overflow_r0, K64
        movl $USER_STACK_LOW, %esp
        pushq %rax
        END
        CASE df_stack_overflow_by_call_r0, K64
        movl $USER_STACK_LOW, %esp
        call nothing
        END
        CASE df_stack_read_only_r0, K64
        movl $(KERNEL_RO + 0x800), %esp
        pushq %rax
        END
        CASE df_int_on_absent_stack_r0, K64
        movl $(ABSENT + 0x800), %esp
        int $0x80
        END
        CASE pf_int_on_absent_stack_r0, K64, ist_for_pf
        movl $(ABSENT + 0x800), %esp
        int $0x80
        END
        CASE pf_ud_on_absent_stack_r0, K64, ist_for_pf
        movl $(ABSENT + 0x800), %esp
        ud2
        END
        PREPARE ist_for_pf
        movb $3, idt + 16 * 14 + 4
        ret
        CASE df_recovers_r0, K64, resume_after
        movl $USER_STACK_LOW, %esp
        pushq %rax
recovered: movl $case_stack, %esp
        movl $1, %eax
        END
        PREPARE resume_after
        movq $recovered, resume
        ret
        CASE df_idt_page_absent_for_pf_r0, K64, idt_split
        movb ABSENT, %al
        END
        /* Vectors 0 to 13 are on one page, from 14 on they would be on an absent one: #PF's own gate is missing. */
        PREPARE idt_split
        movl $idt, %esi
        movl $(USER_STACK_LOW + 0x1000 - 14 * 16), %edi
        movw $0xFFF, USER_RW + 0x200
        movq %rdi, USER_RW + 0x202
        movl $(14 * 16), %ecx
        rep movsb
        lidt USER_RW + 0x200
        ret
