/* Each of these ends in a third fault, so each needs a run of its own. */
#include "common.inc"

        CASE df_gate_absent_r0, K64, no_df
        movl $USER_STACK_LOW, %esp
        pushq %rax
        CASE df_gate_absent_r3, U64, no_df_no_pf
        movb ABSENT, %al
        PREPARE no_df_no_pf
        movb $0x0E, idt + 16 * 14 + 5
        PREPARE no_df
        movb $0x0E, idt + 16 * 8 + 5
        ret
        CASE idt_limit_zero_int_r0, K64, empty_idt
        int $0x80
        CASE idt_limit_zero_int3_r3, U64, empty_idt
        int3
        CASE idt_limit_zero_page_fault_r3, U64, empty_idt
        movb ABSENT, %al
        PREPARE empty_idt
        movw $0, USER_RW + 0x200
        movq $idt, USER_RW + 0x202
        lidt USER_RW + 0x200
        ret
        CASE idt_page_absent_r0, K64, absent_idt
        ud2
        CASE idt_page_absent_r3, U64, absent_idt
        int $0x80
        PREPARE absent_idt
        movw $0xFFF, USER_RW + 0x200
        movq $ABSENT, USER_RW + 0x202
        lidt USER_RW + 0x200
        ret
        CASE df_stack_absent_r0, K64, absent_ist1
        movl $USER_STACK_LOW, %esp
        pushq %rax
        CASE df_stack_absent_r3, U64, absent_ist1_and_rsp0
        movb ABSENT, %al
        PREPARE absent_ist1_and_rsp0
        movq $(ABSENT + 0x100), TSS_BASE + 4
        PREPARE absent_ist1
        movq $(ABSENT + 0x100), TSS_BASE + 36
        ret
        CASE df_code_segment_bad_r0, K64, df_in_data
        movl $USER_STACK_LOW, %esp
        pushq %rax
        PREPARE df_in_data
        movw $KD, idt + 16 * 8 + 2
        ret
        CASE gdt_empty_int_r0, K64, empty_gdt
        lgdt USER_RW + 0x200
        int $0x80
        CASE gdt_empty_int3_r3, U64, last_gdt
        int3
        PREPARE empty_gdt
        movw $0, USER_RW + 0x200
        movq $gdt, USER_RW + 0x202
        ret
        PREPARE last_gdt                /* the runner's IRETQ needs the user's segments; the handlers' are gone */
        movq $0, gdt + K64
        ret
        CASE tss_too_short_r3, U64, tiny_tss
        int3
        PREPARE tiny_tss                /* no RSP0, no IST1 */
        movw $3, gdt + OTHER_TSS
        movl $OTHER_TSS, %eax
        ltr %ax
        ret
