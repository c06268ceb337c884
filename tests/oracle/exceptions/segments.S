/* Segment registers, LLDT, LTR and far jumps, with every kind of descriptor that may be refused. */
#include "common.inc"

        .macro LOAD name, register, selector
        CASE \register\()_\name\()_r0, K64
        movl $\selector, %ecx
        movl %ecx, %\register
        END
        .endm
        .macro LOAD_USER name, register, selector
        CASE \register\()_\name\()_r3, U64
        movl $\selector, %ecx
        movl %ecx, %\register
        END
        .endm
        .irp register, ds, fs
        LOAD null, \register, 0
        LOAD null_rpl_3, \register, 3
        LOAD kernel_data, \register, KD
        LOAD kernel_data_rpl_3, \register, (KD + 3)
        LOAD user_data, \register, UD
        LOAD readable_code, \register, K64
        LOAD execute_only, \register, EXECUTE_ONLY
        LOAD read_only, \register, READ_ONLY
        LOAD absent, \register, ABSENT_DATA
        LOAD beyond_table, \register, 0x1008
        LOAD tss, \register, TSS
        LOAD call_gate, \register, CALL_GATE
        LOAD ldt_data, \register, LDT_DATA
        LOAD ldt_absent, \register, LDT_ABSENT
        LOAD ldt_beyond, \register, 0x27
        LOAD conforming_rpl_3, \register, (CONFORMING + 3)
        LOAD_USER null, \register, 0
        LOAD_USER kernel_data, \register, KD
        LOAD_USER kernel_data_rpl_3, \register, (KD + 3)
        LOAD_USER user_data_rpl_0, \register, (UD - 3)
        LOAD_USER user_code, \register, U64
        LOAD_USER conforming_code_of_ring_0, \register, CONFORMING
        LOAD_USER absent, \register, ABSENT_USER_DATA
        LOAD_USER beyond_table, \register, 0xFFFB
        LOAD_USER ldt_data, \register, LDT_DATA
        LOAD_USER ldt_absent, \register, LDT_ABSENT
        .endr
        LOAD null, ss, 0
        LOAD kernel_data, ss, KD
        LOAD kernel_data_rpl_3, ss, (KD + 3)
        LOAD user_data, ss, UD
        LOAD code, ss, K64
        LOAD read_only, ss, READ_ONLY
        LOAD absent, ss, ABSENT_DATA
        LOAD beyond_table, ss, 0x1008
        LOAD tss, ss, TSS
        LOAD_USER null, ss, 0
        LOAD_USER null_rpl_3, ss, 3
        LOAD_USER user_data, ss, UD
        LOAD_USER user_data_rpl_0, ss, (UD - 3)
        LOAD_USER kernel_data, ss, KD
        LOAD_USER absent, ss, ABSENT_USER_DATA
        LOAD_USER read_only, ss, READ_ONLY_USER
        LOAD_USER ldt_data, ss, LDT_DATA
        LOAD_USER ldt_absent, ss, LDT_ABSENT

        CASE pop_fs_absent_r3, U64
        pushq $ABSENT_USER_DATA
        popq %fs
        END
        CASE pop_gs_user_data_r3, U64
        pushq $UD
        popq %gs
        END
        CASE lfs_absent_r3, U64
        leaq user_data, %rbx
        movl $0x1234, (%rbx)
        movw $ABSENT_USER_DATA, 4(%rbx)
        lfsl (%rbx), %eax
        END
        CASE lss_kernel_data_r3, U64
        leaq user_data, %rbx
        movl $0x1234, (%rbx)
        movw $KD, 4(%rbx)
        lssl (%rbx), %eax
        END
        CASE gdt_page_absent_r0, K64, gdt_at_end_of_page
        movl $ABSENT_DATA, %ecx
        movl %ecx, %ds
        END
        PREPARE gdt_at_end_of_page      /* descriptors up to U64 are on a page, the rest would be on an absent one */
        movl $gdt, %esi
        movl $(USER_STACK_LOW + 0x1000 - TSS), %edi
        movw $0xFFF, USER_RW + 0x200
        movq %rdi, USER_RW + 0x202
        movl $TSS, %ecx
        rep movsb
        lgdt USER_RW + 0x200
        ret

        .macro SYSTEM instruction, name, selector
        CASE \instruction\()_\name\()_r0, K64
        movl $\selector, %ecx
        \instruction %cx
        END
        .endm
        SYSTEM lldt, ldt, LDT
        SYSTEM lldt, null, 0
        SYSTEM lldt, tss, TSS
        SYSTEM lldt, data, KD
        SYSTEM lldt, absent, ABSENT_LDT
        SYSTEM lldt, in_ldt, LDT_DATA
        SYSTEM lldt, beyond_table, 0x1008
        SYSTEM lldt, no_type, NO_TYPE
        SYSTEM ltr, available, OTHER_TSS
        SYSTEM ltr, busy, BUSY_TSS
        SYSTEM ltr, already_loaded, TSS
        SYSTEM ltr, absent, ABSENT_TSS
        SYSTEM ltr, ldt, LDT
        SYSTEM ltr, code, K64
        SYSTEM ltr, in_ldt, LDT_DATA
        SYSTEM ltr, beyond_table, 0x1008
        SYSTEM ltr, no_type, NO_TYPE
        CASE ltr_marks_busy_r0, K64
        movl gdt + OTHER_TSS + 4, %eax
        movl $OTHER_TSS, %ecx
        ltr %cx
        movl gdt + OTHER_TSS + 4, %ebx
        END
        CASE load_marks_accessed_r0, K64
        movl $READ_ONLY, %ecx
        movl gdt + READ_ONLY + 4, %eax
        andl $~0x100, gdt + READ_ONLY + 4
        movl %ecx, %es
        movl gdt + READ_ONLY + 4, %ebx
        END

/* Far jumps and calls through memory: the offset is a place of the case's own. */
        .macro FAR name, instruction, where, selector
        CASE \instruction\()_\name, \where
        movl $USER_RW, %ebx
        movl $far_target_\where, (%rbx)
        movw $(\selector), 4(%rbx)
        \instruction *(%rbx)
        END
        .endm
        .text
far_target_K64:
        movl %cs, %eax
        END
        .section .utext, "ax", @progbits
far_target_U64:
        movl %cs, %eax
        END
        .irp instruction, ljmpl, lcalll
        FAR same_segment_r0, \instruction, K64, K64
        FAR null_r0, \instruction, K64, 0
        FAR data_r0, \instruction, K64, KD
        FAR absent_r0, \instruction, K64, ABSENT_CODE
        FAR user_code_r0, \instruction, K64, U64
        FAR conforming_r0, \instruction, K64, CONFORMING
        FAR conforming_of_ring_3_r0, \instruction, K64, CONFORMING_USER
        FAR tss_r0, \instruction, K64, OTHER_TSS
        FAR ldt_descriptor_r0, \instruction, K64, LDT
        FAR in_ldt_r0, \instruction, K64, LDT_CODE
        FAR beyond_table_r0, \instruction, K64, 0x1008
        FAR call_gate_r0, \instruction, K64, (CALL_GATE - 3)
        FAR absent_gate_r0, \instruction, K64, (ABSENT_GATE - 3)
        FAR gate_to_data_r0, \instruction, K64, (GATE_TO_DATA - 3)
        FAR same_segment_r3, \instruction, U64, U64
        FAR kernel_code_r3, \instruction, U64, K64
        FAR kernel_code_rpl_3_r3, \instruction, U64, (K64 + 3)
        FAR conforming_r3, \instruction, U64, CONFORMING
        FAR absent_r3, \instruction, U64, ABSENT_USER_CODE
        FAR call_gate_r3, \instruction, U64, CALL_GATE
        FAR kernel_call_gate_r3, \instruction, U64, CALL_GATE_KERNEL
        FAR absent_gate_r3, \instruction, U64, ABSENT_GATE
        FAR gate_to_data_r3, \instruction, U64, GATE_TO_DATA
        .endr
