/* What CR0.WP, SMEP, SMAP and INVLPG change about paging, and which access of an instruction faults. */
#include "common.inc"

        .macro SET_CR4 name, bit
        PREPARE \name
        movq %cr4, %rax
        orl $(1 << \bit), %eax
        movq %rax, %cr4
        ret
        .endm
        SET_CR4 smep, 20
        SET_CR4 smap, 21
        PREPARE no_write_protect
        movq %cr0, %rax
        andl $~0x10000, %eax
        movq %rax, %cr0
        ret
        PREPARE smap_with_ac
        call smap
        movq $0x40002, flags
        ret

        CASE wp_off_write_kernel_ro_r0, K64, no_write_protect
        movl $KERNEL_RO, %ebx
        movb %al, 2(%rbx)
        END
        CASE wp_off_write_user_ro_r0, K64, no_write_protect
        movl $USER_RO, %ebx
        movb %al, 2(%rbx)
        END
        CASE wp_off_write_user_ro_r3, U64, no_write_protect
        movl $USER_RO, %ebx
        movb %al, 2(%rbx)
        END
        CASE wp_off_write_kernel_ro_r3, U64, no_write_protect
        movl $KERNEL_RO, %ebx
        movb %al, 2(%rbx)
        END

        CASE smep_fetch_user_rx_r0, K64, smep
        movl $USER_RX, %ebx
        call *%rbx
        END
        CASE smep_fetch_user_rwx_r0, K64, smep
        movl $USER_RWX, %ebx
        call *%rbx
        END
        CASE smep_fetch_kernel_x_r0, K64, smep
        movl $KERNEL_X, %ebx
        call *%rbx
        END
        CASE smep_fetch_user_rx_r3, U64, smep
        movl $USER_RX, %ebx
        call *%rbx
        END
        CASE smep_read_user_rw_r0, K64, smep
        movb USER_RW, %al
        END
        CASE smep_fetch_absent_r0, K64, smep
        movl $ABSENT, %ebx
        call *%rbx
        END
        CASE smap_read_user_rw_r0, K64, smap
        movb USER_RW + 1, %al
        END
        CASE smap_write_user_rw_r0, K64, smap
        movb %al, USER_RW + 2
        END
        CASE smap_read_user_ro_r0, K64, smap
        movb USER_RO + 1, %al
        END
        CASE smap_read_kernel_rw_r0, K64, smap
        movb KERNEL_RW + 1, %al
        END
        CASE smap_read_user_rw_r3, U64, smap
        movb USER_RW + 1, %al
        END
        CASE smap_with_ac_read_user_rw_r0, K64, smap_with_ac
        movb USER_RW + 1, %al
        END
        CASE smap_with_ac_write_user_rw_r0, K64, smap_with_ac
        movb %al, USER_RW + 2
        END
        CASE smap_stac_clac_r0, K64, smap
        stac
        movb USER_RW + 1, %al
        clac
        movb USER_RW + 1, %al
        END
        CASE smap_push_r0, K64, smap
        movl $(USER_RW + 0x100), %esp
        pushq %rax
        END
        CASE ud_stac_r3, U64, smap
        stac
        END
        CASE ud_clac_r3, U64, smap
        clac
        END

        CASE invlpg_after_change_r3, U64, revoke
        movb USER_RW + 1, %al
        END
        PREPARE revoke
        movb USER_RW + 1, %al           /* into the TLB */
        andl $~1, pt3
        invlpg USER_RW
        ret
        CASE present_again_needs_no_invlpg_r3, U64, grant
        movb ABSENT + 1, %al
        END
        PREPARE grant
        movl $(ABSENT | 7), pt3 + 8 * 4
        ret
        CASE write_permission_after_invlpg_r3, U64, writable
        movb %al, USER_RO + 1
        END
        PREPARE writable
        movb USER_RO, %al
        orl $2, pt3 + 8 * 1
        invlpg USER_RO
        ret
        CASE cr3_write_flushes_r0, K64, revoke_by_cr3
        movb USER_RW + 1, %al
        END
        PREPARE revoke_by_cr3
        movb USER_RW + 1, %al
        andl $~1, pt3
        movq %cr3, %rax
        movq %rax, %cr3
        ret
        CASE accessed_and_dirty_r0, K64
        movl pt3 + 8 * 10, %eax
        movb USER_STACK_LOW, %bl
        movl pt3 + 8 * 10, %ecx
        movb %bl, USER_STACK_LOW
        movl pt3 + 8 * 10, %edx
        movl $0, %ebx
        END

        CASE read_across_pages_r3, U64
        movl $(KERNEL_RW - 3), %ebx     /* USER_RO, then a supervisor page */
        movl (%rbx), %eax
        END
        CASE write_across_pages_r3, U64
        movl $(ABSENT - 3), %ebx        /* KERNEL_RO, then nothing */
        movl %eax, (%rbx)
        END
        CASE write_across_pages_second_absent_r0, K64
        movl $(ABSENT + 0xFFD), %ebx
        movl %eax, (%rbx)
        END
        CASE fetch_across_pages_r3, U64
        movl $(USER_RX + 0xFFF), %ebx   /* a zero byte, then a supervisor page: add needs a second byte */
        jmp *%rbx
        END
        CASE read_modify_write_of_read_only_r3, U64
        incl USER_RO
        END
        CASE xchg_with_read_only_r3, U64
        xchgl %eax, USER_RO
        END
        CASE cmpxchg_with_read_only_r3, U64
        lock cmpxchgl %ecx, USER_RO
        END
        CASE push_to_absent_r3, U64
        movl $USER_STACK_LOW, %esp
        pushq %rax
        END
        CASE call_with_absent_stack_r3, U64
        movl $USER_STACK_LOW, %esp
        call 1f
1:      nop
        END
        CASE pop_from_absent_r3, U64
        movl $ABSENT, %esp
        popq %rax
        END
        CASE ret_to_not_executable_r3, U64
        movl $USER_RW, %eax
        pushq %rax
        ret
        END
        CASE movs_destination_absent_r3, U64
        movl $USER_RW, %esi
        movl $ABSENT, %edi
        movsb
        END
        CASE rep_movs_faults_in_the_middle_r3, U64
        movl $USER_RW, %esi
        movl $(USER_RW + 0xFFC), %edi   /* 4 bytes of USER_RW, then USER_RO */
        movl $10, %ecx
        rep movsb
        END
        CASE rep_stos_faults_in_the_middle_r0, K64
        movl $(KERNEL_RW + 0xFF0), %edi
        movl $4, %ecx
        movl $0x55, %eax
        rep stosq
        END
        CASE rep_lods_with_zero_count_r3, U64
        xorl %ecx, %ecx
        movl $ABSENT, %esi
        rep lodsb
        END
        CASE cmps_second_operand_absent_r3, U64
        movl $USER_RW, %esi
        movl $ABSENT, %edi
        cmpsb
        END
        CASE null_pointer_r0, K64
        movb 0x10, %al
        END
        CASE null_pointer_r3, U64
        xorl %ebx, %ebx
        movb %al, (%rbx)
        END
        CASE jump_to_null_r3, U64
        xorl %ebx, %ebx
        jmp *%rbx
        END
        CASE jump_to_null_r0, K64
        xorl %ebx, %ebx
        jmp *%rbx
        END
        CASE highest_address_r3, U64
        movq $-1, %rbx
        movb (%rbx), %al
        END
        CASE wraps_to_null_page_r3, U64
        movq $-2, %rbx
        movl (%rbx), %eax
        END
        CASE kernel_text_write_r0, K64
        movb $0, case_kernel_text_write_r0
        END
        CASE kernel_text_read_r3, U64
        movb case_kernel_text_write_r0, %al
        END
        CASE user_text_write_r3, U64
        movb $0, case_user_text_write_r3
        END
        CASE int3_by_itself_after_page_fault_r3, U64, resume_at_int3
        movb ABSENT, %al
resumed: int3
        PREPARE resume_at_int3
        movq $resumed, resume
        ret
