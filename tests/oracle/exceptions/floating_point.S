/* #MF comes with FWAIT after the instruction that caused it. (What QEMU leaves out here: docs/oracle.md; what
   Unicorn does: docs/unicorn.md.) */
#include "common.inc"

        .macro UNMASK_X87 bits
        subq $8, %rsp
        fnstcw (%rsp)
        andw $~\bits, (%rsp)
        fldcw (%rsp)
        addq $8, %rsp
        .endm

        CASE mf_divide_by_zero_at_fwait_r3, U64
        UNMASK_X87 4
        fld1
        fldz
        fdivrp
        nop
        fwait
        END
        CASE mf_divide_by_zero_at_fwait_r0, K64
        UNMASK_X87 4
        fld1
        fldz
        fdivrp
        nop
        fwait
        END
        CASE mf_not_at_fnstsw_r3, U64
        UNMASK_X87 4
        fld1
        fldz
        fdivrp
        fnstsw %ax
        fnclex
        fwait
        movzwl %ax, %eax
        END
        CASE mf_masked_r3, U64
        fld1
        fldz
        fdivrp
        fwait
        END
        CASE xm_masked_r3, U64
        movl $1, %eax
        cvtsi2ss %eax, %xmm0
        xorps %xmm1, %xmm1
        divss %xmm1, %xmm0
        END
        CASE movups_unaligned_r3, U64
        leaq user_data, %rbx
        movups 1(%rbx), %xmm0
        END
        CASE gp_fxsave_unaligned_r3, U64
        leaq user_data, %rbx
        fxsave 8(%rbx)
        END
