/* Faults and traps that instructions raise by themselves: #DE, #BP, #OF, #BR, #UD, #NM, #MF, #XM. */
#include "common.inc"

/* The same code in both rings. */
        .macro BOTH name, code
        CASE \name\()_r0, K64
        \code
        END
        CASE \name\()_r3, U64
        \code
        END
        .endm
/* An instruction that is #UD or does nothing known, by its bytes. */
        .macro BYTES name, bytes
        BOTH \name, "nop; .byte \bytes"
        .endm

        BOTH de_divide_by_zero, "xorl %ecx, %ecx; divl %ecx"
        BOTH de_quotient_too_large, "movl $9, %edx; movl $9, %ecx; divl %ecx"
        BOTH de_idiv_smallest_by_minus_one, "movl $0x80000000, %eax; cltd; movl $-1, %ecx; idivl %ecx"
        BOTH de_divb, "movl $0x1000, %eax; movl $1, %ecx; divb %cl"
        BOTH de_div_64, "movl $1, %edx; movl $1, %ecx; divq %rcx"
        BOTH de_idiv_64, "movl $1, %edx; movl $1, %ecx; idivq %rcx"
        CASE de_aam_by_zero_c32, U32
        aam $0
        END

        BOTH bp_int3, "int3"
        CASE bp_cd_03_r3, U64
        .byte 0xCD, 3
        END
        CASE bp_int3_c32, U32
        int3
        END
        CASE of_into_taken_c32, U32
        movl $0x7FFFFFFF, %eax
        addl $1, %eax
        into
        END
        CASE of_into_not_taken_c32, U32
        xorl %eax, %eax
        into
        END
        CASE of_into_kernel_c32, K32
        movl $0x7FFFFFFF, %eax
        addl $1, %eax
        into
        END
        CASE br_bound_below_c32, U32
        movl $user_data, %ebx
        movl $5, (%ebx)
        movl $9, 4(%ebx)
        movl $4, %eax
        .byte 0x62, 0x03                 /* bound %eax, (%ebx) */
        END
        CASE br_bound_above_c32, U32
        movl $user_data, %ebx
        movl $5, (%ebx)
        movl $9, 4(%ebx)
        movl $10, %eax
        .byte 0x62, 0x03                 /* bound %eax, (%ebx) */
        END
        CASE br_bound_within_c32, U32
        movl $user_data, %ebx
        movl $5, (%ebx)
        movl $9, 4(%ebx)
        movl $9, %eax
        .byte 0x62, 0x03                 /* bound %eax, (%ebx) */
        END

        BOTH ud_ud2, "ud2"
        BYTES ud_ud0, "0x0F, 0xFF, 0xC0"
        BYTES ud_ud1, "0x0F, 0xB9, 0xC0"
        BYTES ud_undefined_0f04, "0x0F, 0x04"
        BYTES ud_lock_on_register, "0xF0, 0x01, 0xC0"     /* lock addl %eax, %eax */
        BYTES ud_lock_nop, "0xF0, 0x90"
        BYTES ud_push_es_in_64_bit, "0x06"
        BYTES ud_pop_ds_in_64_bit, "0x1F"
        BYTES ud_daa_in_64_bit, "0x27"
        BYTES ud_aaa_in_64_bit, "0x37"
        BYTES ud_pusha_in_64_bit, "0x60"
        BYTES ud_popa_in_64_bit, "0x61"
        BYTES ud_aam_in_64_bit, "0xD4, 0x0A"
        BYTES ud_into_in_64_bit, "0xCE"
        BYTES ud_far_call_in_64_bit, "0x9A, 0, 0, 0, 0, 0, 0"
        BYTES ud_far_jump_in_64_bit, "0xEA, 0, 0, 0, 0, 0, 0"
        BYTES ud_bound_in_64_bit, "0x62, 0x03"
        BYTES ud_salc_in_64_bit, "0xD6"
        BYTES ud_lea_of_register, "0x8D, 0xC0"
        BYTES ud_mov_to_cs, "0x8E, 0xC8"
        BYTES ud_mov_segment_6, "0x8C, 0xF0"
        CASE ud_mov_cr1_r0, K64
        .byte 0x0F, 0x20, 0xC8
        END
        CASE ud_mov_cr5_r0, K64
        .byte 0x0F, 0x20, 0xE8
        END
        CASE ud_mov_to_cr7_r0, K64
        .byte 0x0F, 0x22, 0xF8
        END
        BYTES ud_cmpxchg8b_register, "0x0F, 0xC7, 0xC8"
        BYTES ud_group8_reserved, "0x0F, 0xBA, 0xC0, 0"
        BYTES ud_group5_reserved, "0xFF, 0xF8"
        BYTES ud_far_jump_through_register, "0xFF, 0xE8"
        BYTES ud_lidt_register, "0x0F, 0x01, 0xD8 + 7"
        BYTES ud_rsm, "0x0F, 0xAA"
        BYTES ud_vmcall_without_vmx, "0x0F, 0x01, 0xC1"
        BYTES ud_vmread_without_vmx, "0x0F, 0x78, 0xC0"
        BYTES ud_xgetbv_without_osxsave, "0x0F, 0x01, 0xD0"
        BYTES ud_vex_without_avx, "0xC5, 0xF8, 0x58, 0xC1"
        CASE ud_syscall_off_r3, U64, no_syscall
        syscall
        END
        CASE ud_syscall_off_r0, K64, no_syscall
        syscall
        END
        CASE ud_sysret_off_r0, K64, no_syscall
        sysretq
        END
        CASE ud_sysret_off_r3, U64, no_syscall
        sysretq
        END
        PREPARE no_syscall
        movl $0xC0000080, %ecx
        rdmsr
        andl $~1, %eax
        wrmsr
        ret
        CASE gp_instruction_of_16_bytes_r3, U64
        .fill 15, 1, 0x66
        nop
        END
        CASE gp_instruction_of_16_bytes_r0, K64
        .fill 15, 1, 0x2E
        nop
        END
        CASE instruction_of_15_bytes_r3, U64
        .fill 14, 1, 0x66
        nop
        END

        PREPARE task_switched
        movq %cr0, %rax
        orl $8, %eax
        movq %rax, %cr0
        ret
        PREPARE emulate_fpu
        movq %cr0, %rax
        andl $~2, %eax                  /* MP */
        orl $4, %eax
        movq %rax, %cr0
        ret
        PREPARE task_switched_unmonitored
        movq %cr0, %rax
        andl $~2, %eax
        orl $8, %eax
        movq %rax, %cr0
        ret
        PREPARE no_fxsr
        movq %cr4, %rax
        andl $~0x200, %eax
        movq %rax, %cr4
        ret
        CASE nm_x87_with_ts_r3, U64, task_switched
        fld1
        END
        CASE nm_x87_with_ts_r0, K64, task_switched
        fld1
        END
        CASE nm_sse_with_ts_r3, U64, task_switched
        addps %xmm0, %xmm1
        END
        CASE nm_sse_with_ts_r0, K64, task_switched
        movaps %xmm0, %xmm1
        END
        CASE nm_mmx_with_ts_r3, U64, task_switched
        movd %eax, %mm0
        END
        CASE nm_fwait_with_ts_r3, U64, task_switched
        fwait
        END
        CASE fwait_with_ts_unmonitored_r3, U64, task_switched_unmonitored
        fwait
        END
        CASE nm_x87_with_em_r3, U64, emulate_fpu
        fld1
        END
        CASE nm_x87_with_em_r0, K64, emulate_fpu
        fninit
        END
        CASE ud_sse_with_em_r3, U64, emulate_fpu
        movaps %xmm0, %xmm1
        END
        CASE ud_mmx_with_em_r3, U64, emulate_fpu
        movd %eax, %mm0
        END
        CASE ud_sse_without_osfxsr_r3, U64, no_fxsr
        movaps %xmm0, %xmm1
        END
        CASE ud_sse_without_osfxsr_r0, K64, no_fxsr
        addps %xmm0, %xmm1
        END
        CASE nm_fxsave_with_ts_r3, U64, task_switched
        leaq user_data, %rbx
        fxsave (%rbx)
        END
        CASE clts_then_x87_r0, K64, task_switched
        clts
        fld1
        END
