/* #DB: single steps, breakpoints and watchpoints, DR6. Handlers go on where they were called. */
#include "common.inc"

        PREPARE step
        movq $0x102, flags
        movq $1, go_on
        ret
        PREPARE keep_going
        movq $1, go_on
        ret
        .macro STEPS name, where
        CASE steps_\name, \where, step
        nop
        addq $1, %rax
        pushq %rax
        popq %rcx
        jmp 1f
        ud2
1:      call 2f
        jmp 3f
2:      ret
3:      pushfq
        andl $~0x100, (%rsp)
        popfq
        nop
        END
        .endm
        STEPS r0, K64
        STEPS r3, U64
        CASE steps_c32, U32, step
        nop
        addl $1, %eax
        pushfl
        andl $~0x100, (%esp)
        popfl
        nop
        END
        CASE step_over_int_r3, U64, step
        int $0x80
        nop
        pushfq
        andl $~0x100, (%rsp)
        popfq
        END
        CASE step_over_int3_r0, K64, step
        int3
        nop
        pushfq
        andl $~0x100, (%rsp)
        popfq
        END
        CASE step_set_by_popf_r3, U64, keep_going
        pushfq
        orl $0x100, (%rsp)
        popfq
        nop
        pushfq
        andl $~0x100, (%rsp)
        popfq
        nop
        END
        CASE step_set_by_iret_r0, K64, keep_going
        movq %rsp, %rcx
        pushq $KD
        pushq %rcx
        pushq $0x102
        pushq $K64
        leaq 1f(%rip), %rax
        pushq %rax
        iretq
1:      nop
        nop
        pushfq
        andl $~0x100, (%rsp)
        popfq
        END
        CASE step_over_mov_ss_r0, K64, step
        movl $KD, %ecx
        movl %ecx, %ss
        nop
        nop
        pushfq
        andl $~0x100, (%rsp)
        popfq
        END
        CASE step_branch_not_taken_r3, U64, step
        xorl %eax, %eax
        jnz 1f
        jz 1f
        ud2
1:      loop 2f
        ud2
2:      pushfq
        andl $~0x100, (%rsp)
        popfq
        END

/* DR7: enable bits L0-L3 (0, 2, 4, 6) and G0-G3; conditions and lengths from bit 16 on. */
        .macro WATCH name, address, dr7
        PREPARE \name
        movq $1, go_on
        movq $\address, %rax
        movq %rax, %dr1
        movl $\dr7, %eax
        movq %rax, %dr7
        ret
        .endm
        WATCH write_1, USER_RW + 5, 0x00100404
        WATCH write_2, USER_RW + 4, 0x00500404
        WATCH write_4, USER_RW + 4, 0x00D00404
        WATCH write_8, USER_RW + 8, 0x00900404
        WATCH access_4, USER_RW + 4, 0x00F00404
        WATCH write_global, USER_RW + 4, 0x00D00408
        WATCH disabled, USER_RW + 4, 0x00D00400
        .macro WATCHED name, prepare, code
        CASE \name\()_r3, U64, \prepare
        movl $USER_RW, %ebx
        \code
        nop
        END
        CASE \name\()_r0, K64, \prepare
        movl $USER_RW, %ebx
        \code
        nop
        END
        .endm
        WATCHED watch_write_hit, write_1, "movb %al, 5(%rbx)"
        WATCHED watch_write_neighbour, write_1, "movb %al, 4(%rbx); movb %al, 6(%rbx)"
        WATCHED watch_write_wider_access, write_1, "movq %rax, (%rbx)"
        WATCHED watch_write_word, write_2, "movb %al, 5(%rbx)"
        WATCHED watch_write_is_not_read, write_4, "movl 4(%rbx), %eax"
        WATCHED watch_write_4, write_4, "movb %al, 7(%rbx)"
        WATCHED watch_write_8, write_8, "movb %al, 15(%rbx)"
        WATCHED watch_access_read, access_4, "movl 4(%rbx), %eax"
        WATCHED watch_access_write, access_4, "movl %eax, 4(%rbx)"
        WATCHED watch_global, write_global, "movl %eax, 4(%rbx)"
        WATCHED watch_disabled, disabled, "movl %eax, 4(%rbx)"
        CASE watch_push_r3, U64, access_4
        movl $(USER_RW + 12), %esp
        pushq %rax
        nop
        END

        .macro BREAK name, where
        PREPARE prepare_\name
        movq $broken_\name, %rax
        movq %rax, %dr0
        movl $0x402, %eax
        movq %rax, %dr7
        ret
        CASE \name, \where, prepare_\name
        nop
        nop
broken_\name: movl $1, %eax
        END
        .endm
        BREAK breakpoint_r0, K64
        BREAK breakpoint_r3, U64
        CASE breakpoint_resumed_with_rf_r3, U64, prepare_rf
broken_rf: movl $1, %eax
        movl $2, %eax
        END
        PREPARE prepare_rf
        movq $broken_rf, %rax
        movq %rax, %dr0
        movl $0x402, %eax
        movq %rax, %dr7
        movq $0x10002, flags
        ret

        CASE dr4_is_dr6_r0, K64
        movq %dr4, %rax
        movq %dr6, %rbx
        movq %dr5, %rcx
        movq %dr7, %rdx
        END
        PREPARE debugging_extensions
        movq %cr4, %rax
        orl $8, %eax
        movq %rax, %cr4
        ret
        CASE ud_dr4_with_de_r0, K64, debugging_extensions
        movq %dr4, %rax
        END
        CASE ud_write_dr5_with_de_r0, K64, debugging_extensions
        movq %rax, %dr5
        END
        CASE gp_dr7_upper_half_r0, K64
        movabsq $0x100000400, %rax
        movq %rax, %dr7
        END
        CASE gp_dr6_upper_half_r0, K64
        movabsq $0x1FFFF0FF0, %rax
        movq %rax, %dr6
        END
        CASE dr_reads_back_r0, K64
        movabsq $0x123456789ABC, %rax
        movq %rax, %dr2
        movq %dr2, %rbx
        movq $-1, %rcx
        movl %ecx, %ecx
        xorl %eax, %eax
        movq %rax, %dr6
        movq %dr6, %rcx
        movq %rax, %dr7
        movq %dr7, %rdx
        END
        CASE int1_by_cd_has_no_dr6_r3, U64, open_1
        int $1
        END
        PREPARE open_1
        movb $0xEE, idt + 16 + 5
        ret
