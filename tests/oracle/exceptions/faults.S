/* Faults without an error code, in both rings: #DE, #UD, #NM, #MF, #XM, #BR, #OF. */
#include "common.inc"

        CASE de_by_zero_r0, K64
        xorl %ecx, %ecx
        divl %ecx
        END
        CASE de_by_zero_r3, U64
        xorl %ecx, %ecx
        divl %ecx
        END
        CASE de_overflow_r3, U64
        movl $1, %edx
        movl $1, %ecx
        divl %ecx
        END
        CASE ud2_r0, K64
        nop
        ud2
        END
        CASE ud2_r3, U64
        ud2
        END
        CASE int3_r3, U64
        int3
        END
        CASE gp_cli_r3, U64
        cli
        END
        CASE nothing_happens_r3, U64
        movl $5, %eax
        END
        CASE nothing_happens_c32, U32
        movl $5, %eax
        END
        CASE pf_read_absent, K64
        movb ABSENT + 5, %al
        END
