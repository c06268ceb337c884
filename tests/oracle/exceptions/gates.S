/* INT n through every kind of gate: DPL, presence, type, code segment, interrupt stack table, IF. */
#include "common.inc"

/* One change of the gate of vector 0x80 (which ring 3 may use), then INT 0x80 in both rings. */
        .macro GATE_CASE name, code
        PREPARE prepare_\name
        \code
        ret
        CASE int_80_\name\()_r0, K64, prepare_\name
        int $0x80
        END
        CASE int_80_\name\()_r3, U64, prepare_\name
        int $0x80
        END
        .endm
        .macro GATE_SELECTOR name, selector
        GATE_CASE \name, "movw $\selector, idt + 16 * 0x80 + 2"
        .endm
        .macro GATE_ACCESS name, access
        GATE_CASE \name, "movb $\access, idt + 16 * 0x80 + 5"
        .endm

        GATE_ACCESS interrupt_gate, 0xEE
        GATE_ACCESS trap_gate, 0xEF
        GATE_ACCESS dpl_0, 0x8E
        GATE_ACCESS dpl_1, 0xAE
        GATE_ACCESS dpl_2, 0xCE
        GATE_ACCESS absent, 0x6E
        GATE_ACCESS absent_dpl_0, 0x0E
        GATE_ACCESS task_gate, 0xE5
        GATE_ACCESS gate_286, 0xE6
        GATE_ACCESS trap_gate_286, 0xE7
        GATE_ACCESS call_gate, 0xEC
        GATE_ACCESS type_0, 0xE0
        GATE_ACCESS segment_type, 0xFE
        GATE_ACCESS zero, 0

        GATE_SELECTOR selector_null, 0
        GATE_SELECTOR selector_null_rpl_3, 3
        GATE_SELECTOR selector_rpl_3, (K64 + 3)
        GATE_SELECTOR selector_beyond_table, 0x1000
        GATE_SELECTOR selector_data, KD
        GATE_SELECTOR selector_32_bit_code, K32
        GATE_SELECTOR selector_16_bit_code, CODE16
        GATE_SELECTOR selector_long_and_default, LONG_AND_DEFAULT
        GATE_SELECTOR selector_absent, ABSENT_CODE
        GATE_SELECTOR selector_tss, TSS
        GATE_SELECTOR selector_execute_only, EXECUTE_ONLY
        GATE_SELECTOR selector_ldt, LDT_CODE
        GATE_SELECTOR selector_ldt_data, LDT_DATA
        GATE_SELECTOR selector_ldt_beyond, 0x84
        GATE_CASE ist_2, "movb $2, idt + 16 * 0x80 + 4"
        GATE_CASE ist_7, "movb $7, idt + 16 * 0x80 + 4"
        GATE_CASE ist_absent_page, "movb $2, idt + 16 * 0x80 + 4; movq $(ABSENT + 0x100), TSS_BASE + 44"
        GATE_CASE ist_read_only_page, "movb $2, idt + 16 * 0x80 + 4; movq $(KERNEL_RO + 0x100), TSS_BASE + 44"
        GATE_CASE ist_user_page, "movb $2, idt + 16 * 0x80 + 4; movq $(USER_RW + 0x100), TSS_BASE + 44"
        GATE_CASE ist_half_on_absent_page, "movb $2, idt + 16 * 0x80 + 4; movq $(USER_STACK_LOW + 0x10), TSS_BASE + 44"
        GATE_CASE ist_is_aligned, "movb $2, idt + 16 * 0x80 + 4; movq $(USER_RW + 0x10B), TSS_BASE + 44"
        GATE_CASE rsp0_is_aligned, "movq $(USER_RW + 0x107), TSS_BASE + 4"
        GATE_CASE rsp0_absent_page, "movq $(ABSENT + 0x100), TSS_BASE + 4; movb $1, idt + 16 * 14 + 4"
        GATE_CASE handler_not_executable, "movw $USER_RW, idt + 16 * 0x80; movw $(USER_RW >> 16), idt + 16 * 0x80 + 6"
        GATE_CASE handler_absent, "movw $ABSENT, idt + 16 * 0x80; movw $(ABSENT >> 16), idt + 16 * 0x80 + 6"
        GATE_CASE ist_beyond_tss_limit, "call short_tss; movb $5, idt + 16 * 0x80 + 4"
        .type short_tss, @function
short_tss:
        movw $0x27, gdt + OTHER_TSS
        movl $OTHER_TSS, %eax
        ltr %ax
        ret

/* A conforming handler runs in the ring it was called from, on the stack it was called on. */
        PREPARE conforming_user_handler
        movw $CONFORMING, idt + 16 * 0x80 + 2
        leaq user_handler, %rax
        movw %ax, idt + 16 * 0x80
        shrq $16, %rax
        movw %ax, idt + 16 * 0x80 + 6
        ret
        CASE int_80_conforming_handler_r3, U64, conforming_user_handler
        subq $12, %rsp
        int $0x80
        END
        .section .utext, "ax", @progbits
user_handler:
        movl %cs, %eax
        movq (%rsp), %rbx
        movq 24(%rsp), %rcx
        END
        CASE int_80_conforming_handler_r0, K64, conforming_user_handler
        int $0x80
        END
        PREPARE conforming_user_segment
        call conforming_user_handler
        movw $CONFORMING_USER, idt + 16 * 0x80 + 2
        ret
        CASE int_80_conforming_segment_of_ring_3_r3, U64, conforming_user_segment
        int $0x80
        END
        CASE int_80_conforming_segment_of_ring_3_r0, K64, conforming_user_segment
        int $0x80
        END
        PREPARE user_segment
        call conforming_user_handler
        movw $U64, idt + 16 * 0x80 + 2
        ret
        CASE int_80_handler_in_ring_3_r3, U64, user_segment
        int $0x80
        END
        CASE int_80_handler_in_ring_3_r0, K64, user_segment
        int $0x80
        END

        .macro ALL_FLAGS name, gate
        PREPARE prepare_\name
        movb $\gate, idt + 16 * 0x80 + 5
        movq $0x247ED7, flags           /* ID, AC, NT, IOPL 3, OF, DF, IF, arithmetic */
        ret
        CASE int_80_\name\()_r3, U64, prepare_\name
        int $0x80
        END
        CASE int_80_\name\()_r0, K64, prepare_\name
        int $0x80
        END
        CASE int_80_\name\()_c32, U32, prepare_\name
        int $0x80
        END
        .endm
        ALL_FLAGS interrupt_gate_flags, 0xEE
        ALL_FLAGS trap_gate_flags, 0xEF

        CASE int_80_misaligned_stack_r0, K64
        subq $11, %rsp
        int $0x80
        END
        CASE int_80_misaligned_stack_r3, U64
        subq $11, %rsp
        int $0x80
        END
        CASE int_80_c32, U32
        int $0x80
        END
        CASE int_80_kernel_c32, K32
        int $0x80
        END
        CASE int_81_dpl_0_c32, U32
        int $0x81
        END
        CASE int_80_prefixed_r3, U64
        .byte 0x66, 0x48, 0xCD, 0x80
        END

        PREPARE short_idt
        movw $(16 * 0x60 - 1), USER_RW + 0x200
        movq $idt, USER_RW + 0x202
        lidt USER_RW + 0x200
        movw $K64, idt                  /* END's gate is out of reach: the case ends by its exception */
        ret
        CASE int_60_beyond_idt_limit_r0, K64, short_idt
        int $0x60
        CASE int_60_beyond_idt_limit_r3, U64, short_idt
        int $0x60
        CASE int_ff_beyond_idt_limit_r0, K64, short_idt
        int $0xFF
        CASE int_5f_within_idt_limit_r0, K64, short_idt
        int $0x5F

/* Vectors with an error code, asked for by software: none is pushed, and the handler, which expects one, shows it. */
        .macro OPEN vector
        PREPARE open_\vector
        movb $0xEE, idt + 16 * \vector + 5
        ret
        CASE soft_\vector\()_has_no_error_code_r3, U64, open_\vector
        int $\vector
        END
        CASE soft_\vector\()_has_no_error_code_r0, K64
        int $\vector
        END
        CASE int_\vector\()_dpl_0_r3, U64
        int $\vector
        END
        .endm
        .irp vector, 8, 10, 11, 12, 13, 14, 17
        OPEN \vector
        .endr
        .irp vector, 0, 1, 2, 5, 6, 7, 16, 18, 19, 20, 30, 32, 255
        CASE soft_\vector\()_r0, K64
        int $\vector
        END
        .endr
        CASE soft_14_before_an_absent_page_r3, U64, open_14_at_the_end
        movl $(USER_RX + 0xFFE), %eax
        jmp *%rax
        PREPARE open_14_at_the_end
        call open_14
        movq %cr0, %rax
        andl $~0x10000, %eax
        movq %rax, %cr0
        movw $0x0ECD, USER_RX + 0xFFE
        movq $0, pt3 + 8 * ((KERNEL_X >> 12) & 511)
        invlpg KERNEL_X
        ret
