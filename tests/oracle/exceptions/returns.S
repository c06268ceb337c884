/* IRETQ, IRETD and RETF: to the same ring, outwards, to compatibility mode, and to what they refuse. */
#include "common.inc"

        .macro FRAME ss, rsp, rflags, cs, rip
        pushq $\ss
        movabsq $\rsp, %rax
        pushq %rax
        pushq $\rflags
        pushq $\cs
        leaq \rip, %rax
        pushq %rax
        .endm
        .macro RETURN name, where, ss, rsp, rflags, cs, rip
        CASE iretq_\name, \where
        FRAME \ss, \rsp, \rflags, \cs, \rip
        iretq
        END
        .endm
        .text
landing: movl %cs, %eax
        movl %ss, %ebx
        END
        .section .utext, "ax", @progbits
user_landing: movl %cs, %eax
        movl %ss, %ebx
        END
        .code32
landing32: movl %cs, %eax
        movl %ss, %ebx
        .byte 0x48, 0xFF, 0xC0          /* in compatibility mode: dec %eax; inc %eax */
        END
        .set STACK, USER_RW + 0x800

        RETURN same_ring_r0, K64, KD, STACK, 2, K64, landing
        RETURN same_ring_null_ss_r0, K64, 0, STACK, 2, K64, landing
        RETURN flags_r0, K64, KD, STACK, 0x3CD7, K64, landing
        RETURN to_user_r0, K64, UD, STACK, 2, U64, user_landing
        RETURN to_user_flags_r0, K64, UD, STACK, 0x243CD7, U64, user_landing
        RETURN to_user_32_r0, K64, UD, STACK, 2, U32, landing32
        RETURN to_kernel_32_r0, K64, KD, STACK, 2, K32, landing32
        RETURN to_user_high_stack_r0, K64, UD, 0xFFFFFFFFFFFFF000, 2, U64, user_landing
        RETURN to_user_32_truncates_stack_r0, K64, UD, 0x1000600800, 2, U32, landing32
        RETURN cs_null_r0, K64, KD, STACK, 2, 0, landing
        RETURN cs_null_rpl_3_r0, K64, UD, STACK, 2, 3, user_landing
        RETURN cs_data_r0, K64, KD, STACK, 2, KD, landing
        RETURN cs_tss_r0, K64, KD, STACK, 2, TSS, landing
        RETURN cs_beyond_table_r0, K64, KD, STACK, 2, 0x1008, landing
        RETURN cs_absent_r0, K64, KD, STACK, 2, ABSENT_CODE, landing
        RETURN cs_absent_user_r0, K64, UD, STACK, 2, ABSENT_USER_CODE, user_landing
        RETURN cs_kernel_with_rpl_3_r0, K64, UD, STACK, 2, (K64 + 3), user_landing
        RETURN cs_user_with_rpl_0_r0, K64, KD, STACK, 2, (U64 - 3), landing
        RETURN cs_conforming_r0, K64, KD, STACK, 2, CONFORMING, landing
        RETURN cs_conforming_to_user_r0, K64, UD, STACK, 2, (CONFORMING + 3), user_landing
        RETURN cs_in_ldt_r0, K64, KD, STACK, 2, LDT_CODE, landing
        RETURN ss_null_to_user_r0, K64, 0, STACK, 2, U64, user_landing
        RETURN ss_null_rpl_3_to_user_r0, K64, 3, STACK, 2, U64, user_landing
        RETURN ss_kernel_to_user_r0, K64, KD, STACK, 2, U64, user_landing
        RETURN ss_rpl_0_to_user_r0, K64, (UD - 3), STACK, 2, U64, user_landing
        RETURN ss_code_to_user_r0, K64, U64, STACK, 2, U64, user_landing
        RETURN ss_read_only_to_user_r0, K64, READ_ONLY_USER, STACK, 2, U64, user_landing
        RETURN ss_beyond_table_to_user_r0, K64, 0x100B, STACK, 2, U64, user_landing
        RETURN ss_null_to_user_32_r0, K64, 0, STACK, 2, U32, landing32
        RETURN to_not_executable_r0, K64, UD, STACK, 2, U64, USER_RW
        RETURN to_kernel_page_r0, K64, UD, STACK, 2, U64, landing
        RETURN same_ring_r3, U64, UD, STACK, 2, U64, user_landing
        RETURN to_compatibility_r3, U64, UD, STACK, 2, U32, landing32
        RETURN to_kernel_r3, U64, KD, STACK, 2, K64, landing
        RETURN cannot_change_if_iopl_r3, U64, UD, STACK, 0x3202, U64, user_landing
        RETURN cs_data_r3, U64, UD, STACK, 2, UD, user_landing
        RETURN cs_absent_r3, U64, UD, STACK, 2, ABSENT_USER_CODE, user_landing
        RETURN nt_in_popped_flags_r0, K64, KD, STACK, 0x4002, K64, landing

        PREPARE nested_task
        movq $0x4002, flags
        ret
        CASE iretq_with_nt_r0, K64, nested_task
        FRAME KD, STACK, 2, K64, landing
        iretq
        END
        CASE iretq_with_nt_r3, U64, nested_task
        FRAME UD, STACK, 2, U64, user_landing
        iretq
        END
        CASE iretq_frame_on_absent_page_r0, K64
        movl $(USER_STACK_LOW + 0x1000 - 16), %esp
        movl $landing, %eax
        movq %rax, (%rsp)
        movq $K64, 8(%rsp)
        movb $1, idt + 16 * 14 + 4
        iretq
        END

/* Segment registers that the outer ring may not use become null. */
        CASE iretq_to_user_clears_kernel_segments_r0, K64
        movl $KD, %ecx
        movl %ecx, %ds
        movl %ecx, %fs
        movl $(CONFORMING), %ecx
        movl %ecx, %gs
        FRAME UD, STACK, 2, U64, user_landing
        iretq
        END
        CASE iretq_same_ring_keeps_segments_r0, K64
        movl $KD, %ecx
        movl %ecx, %ds
        movl %ecx, %fs
        FRAME KD, STACK, 2, K64, landing
        iretq
        END

/* 32-bit operand size: a frame of doublewords, here with SS:ESP, for 64-bit mode always pops them. */
        CASE iretl_to_user_r0, K64
        subq $20, %rsp
        leaq user_landing, %rax
        movl %eax, (%rsp)
        movl $U64, 4(%rsp)
        movl $2, 8(%rsp)
        movl $STACK, 12(%rsp)
        movl $UD, 16(%rsp)
        iretl
        END
        CASE iretl_same_ring_r0, K64
        subq $20, %rsp
        leaq landing, %rax
        movl %eax, (%rsp)
        movl $K64, 4(%rsp)
        movl $2, 8(%rsp)
        movl $STACK, 12(%rsp)
        movl $KD, 16(%rsp)
        iretl
        END
        CASE iretl_c32, U32
        pushl $2
        pushl $U32
        pushl $landing32
        iretl
        END
        CASE iretl_to_64_bit_c32, U32
        pushl $2
        pushl $U64
        pushl $user_landing
        iretl
        END
        CASE iretl_to_kernel_c32, U32
        pushl $2
        pushl $K32
        pushl $landing32
        iretl
        END
        CASE iretl_to_user_from_kernel_c32, K32
        pushl $UD
        pushl $STACK
        pushl $2
        pushl $U64
        pushl $user_landing
        iretl
        END
        CASE ljmp_to_64_bit_c32, U32
        ljmp $U64, $user_landing
        END
        CASE lcall_to_call_gate_c32, U32
        lcall $CALL_GATE, $0
        END
        CASE ljmp_absent_c32, U32
        ljmp $ABSENT_USER_CODE, $user_landing
        END
        CASE ljmp_kernel_c32, U32
        ljmp $K64, $user_landing
        END

        .macro RETF name, where, cs, rip
        CASE lretq_\name, \where
        pushq $UD
        pushq $STACK
        pushq $\cs
        leaq \rip, %rax
        pushq %rax
        lretq
        END
        .endm
        RETF same_ring_r0, K64, K64, landing
        RETF to_user_r0, K64, U64, user_landing
        RETF to_user_32_r0, K64, U32, landing32
        RETF null_r0, K64, 0, landing
        RETF data_r0, K64, KD, landing
        RETF absent_r0, K64, ABSENT_CODE, landing
        RETF absent_user_r0, K64, ABSENT_USER_CODE, user_landing
        RETF beyond_table_r0, K64, 0x1008, landing
        RETF same_ring_r3, U64, U64, user_landing
        RETF to_kernel_r3, U64, K64, landing
        CASE lretq_pops_parameters_r3, U64
        pushq $0x77
        pushq $U64
        leaq user_landing, %rax
        pushq %rax
        lretq $8
        END
        CASE lretq_from_call_gate_r3, U64, gate_to_lret
        movl $USER_RW, %ebx
        movw $CALL_GATE, 4(%rbx)
        lcalll *(%rbx)
        movl $0x77, %ecx
        END
        PREPARE gate_to_lret
        movw $0xCB48, GATE_TARGET       /* lretq */
        ret
        CASE put_gate_target_back_r0, K64
        movw $(0xCD | (VECTOR_END << 8)), GATE_TARGET
        END
