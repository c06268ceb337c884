/* Non-canonical addresses: #GP through everything but the stack. (#SS through the stack: docs/oracle.md.) */
#include "common.inc"

        .macro BOTH name, code
        CASE \name\()_r0, K64
        movabsq $NON_CANONICAL, %rbx
        \code
        END
        CASE \name\()_r3, U64
        movabsq $NON_CANONICAL, %rbx
        \code
        END
        .endm
        BOTH gp_read, "movb (%rbx), %al"
        BOTH gp_write, "movb %al, (%rbx)"
        BOTH gp_last_canonical_plus_one, "movb 0x7F(%rbx), %al"
        BOTH gp_highest_non_canonical, "movabsq $0xFFFF7FFFFFFFFFFF, %rbx; movb (%rbx), %al"
        BOTH lowest_of_upper_half, "movabsq $0xFFFF800000000000, %rbx; movb (%rbx), %al"
        BOTH highest_of_lower_half, "movabsq $0x7FFFFFFFFFFF, %rbx; movb (%rbx), %al"
        BOTH gp_string_source, "movq %rbx, %rsi; lodsb"
        BOTH gp_string_destination, "movq %rbx, %rdi; stosb"
        BOTH gp_rep_stos, "movq %rbx, %rdi; movl $4, %ecx; rep stosb"
        BOTH gp_locked, "lock incl (%rbx)"
        BOTH gp_sse, "movups (%rbx), %xmm0"
        BOTH gp_x87, "fldl (%rbx)"
        BOTH gp_rbp_as_index, "movq %rbx, %rbp; xorl %ecx, %ecx; movb (%rcx, %rbp), %al"
        BOTH lea_computes_only, "leaq 5(%rbx), %rax"
        BOTH prefetch_ignores, "prefetcht0 (%rbx)"

        CASE gp_fs_base_r3, U64, far_fs
        movb %fs:0x10, %al
        END
        PREPARE far_fs
        movl $0xC0000100, %ecx
        movl $0xFFFFFFF0, %eax
        movl $0x00007FFF, %edx
        wrmsr
        ret
