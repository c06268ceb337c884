/* The local APIC: priorities, self-IPIs, EOI, the error register; and the NMI. */
#include "common.inc"

        .set SELF, 0x40000              /* destination shorthand of the ICR */
        .macro SEND vector
        movl $(SELF | \vector), LAPIC_ICR
        .endm
        PREPARE enabled
        movq $FLAG_IF, flags
        ret
        PREPARE enabled_and_return
        movq $FLAG_IF, flags
        movq $1, go_on
        ret
        PREPARE returning
        movq $1, go_on
        ret
        PREPARE nesting
        movq $FLAG_IF, flags
        movq $1, go_on
        movq $1, nest
        ret
        PREPARE no_end_of_interrupt
        movq $FLAG_IF, flags
        movq $1, go_on
        movq $1, keep_in_service
        ret
        .macro QUIET
        nop
        nop
        .endm

        CASE self_ipi_r0, K64, enabled
        SEND 0x50
        QUIET
        END
        CASE self_ipi_waits_for_if_r0, K64, returning
        SEND 0x50
        QUIET
        sti
        QUIET
        END
        CASE two_ipis_higher_first_r0, K64, returning
        SEND 0x50
        SEND 0x61
        sti
        QUIET
        QUIET
        END
        CASE two_ipis_of_one_class_r0, K64, returning
        SEND 0x51
        SEND 0x5E
        SEND 0x50
        sti
        QUIET
        QUIET
        END
        CASE same_ipi_twice_is_one_r0, K64, returning
        SEND 0x50
        SEND 0x50
        sti
        QUIET
        QUIET
        END
        CASE tpr_holds_back_r0, K64, enabled_and_return
        movl $0x50, LAPIC_TPR
        SEND 0x5F
        QUIET
        SEND 0x60
        QUIET
        movl $0x4F, LAPIC_TPR
        QUIET
        END
        CASE cr8_is_tpr_r0, K64, enabled_and_return
        movl $6, %eax
        movq %rax, %cr8
        movl LAPIC_TPR, %ebx
        SEND 0x6F
        QUIET
        movl $0x25, LAPIC_TPR
        QUIET
        movq %cr8, %rax
        END
        CASE cr8_lowered_lets_in_r0, K64, enabled_and_return
        movl $15, %eax
        movq %rax, %cr8
        SEND 0x91
        QUIET
        xorl %eax, %eax
        movq %rax, %cr8
        QUIET
        END
        CASE processor_priority_r0, K64
        movl LAPIC + 0xA0, %eax
        movl $0x35, LAPIC_TPR
        movl LAPIC + 0xA0, %ebx
        END
        CASE higher_nests_r0, K64, nesting_with_higher
        SEND 0x50
        QUIET
        END
        PREPARE nesting_with_higher
        SEND 0x91
        movl $0x90, LAPIC_TPR
        movl $0x41, LAPIC_TPR
        cli
        jmp nesting
        CASE lower_waits_for_eoi_r0, K64, no_end_of_interrupt
        SEND 0x60
        QUIET
        SEND 0x50
        QUIET
        movl LAPIC + 0xA0, %eax         /* PPR: the class in service */
        movl LAPIC + 0x130, %ebx        /* ISR, vectors 0x60 to 0x7F */
        movl LAPIC + 0x220, %ecx        /* IRR, vectors 0x40 to 0x5F */
        movl $0, LAPIC_EOI
        QUIET
        movl LAPIC + 0x120, %edx
        END
        CASE higher_interrupts_what_is_in_service_r0, K64, no_end_of_interrupt
        SEND 0x60
        QUIET
        SEND 0x70
        QUIET
        movl LAPIC + 0x130, %ebx
        movl $0, LAPIC_EOI
        movl LAPIC + 0x130, %ecx
        END
        CASE same_class_waits_r0, K64, no_end_of_interrupt
        SEND 0x60
        QUIET
        SEND 0x6F
        QUIET
        movl $0, LAPIC_EOI
        QUIET
        END
        CASE eoi_without_service_r0, K64, enabled
        movl $0, LAPIC_EOI
        QUIET
        END
        CASE request_register_r0, K64
        SEND 0x50
        SEND 0xA3
        movl LAPIC + 0x220, %eax
        movl LAPIC + 0x250, %ebx
        movl LAPIC + 0x120, %ecx
        END
        CASE ipi_in_ring_3_r3, U64, sent_in_ring_0
        QUIET
        END
        PREPARE sent_in_ring_0
        SEND 0x77
        jmp enabled
        CASE timer_vector_and_ipi_r0, K64, returning
        movl $0x45, LAPIC_LVT_TIMER
        movl $10, LAPIC_COUNT
        SEND 0x47
        QUIET
        sti
        QUIET
        QUIET
        END
        CASE ipi_by_destination_r0, K64, enabled
        movl $0, LAPIC + 0x310
        movl $0x50, LAPIC_ICR
        QUIET
        END
        CASE ipi_to_all_including_self_r0, K64, enabled
        movl $0x80050, LAPIC_ICR
        QUIET
        END
        CASE ipi_to_others_is_lost_r0, K64, enabled
        movl $0xC0050, LAPIC_ICR
        QUIET
        END
        CASE registers_r0, K64
        movl LAPIC + 0x20, %eax
        movl LAPIC + 0xF0, %ebx
        movl LAPIC + 0x320, %ecx
        movl LAPIC + 0x3E0, %edx
        movl LAPIC + 0x350, %esi
        movl LAPIC + 0x360, %edi
        END
        CASE spurious_vector_is_kept_r0, K64
        movl $0x1EF, LAPIC + 0xF0
        movl LAPIC + 0xF0, %eax
        movl $0x1FF, LAPIC + 0xF0
        END

/* NMI, by the ICR; interrupts need not be enabled. A second one waits for IRET. */
        .set NMI, 0x4400
        CASE nmi_r0, K64
        movl $NMI, LAPIC_ICR
        QUIET
        END
        CASE nmi_and_on_r0, K64, returning
        movl $NMI, LAPIC_ICR
        QUIET
        movl $NMI, LAPIC_ICR
        QUIET
        END
        CASE nmi_waits_for_iret_r0, K64, own_nmi_handler
        movl $NMI, LAPIC_ICR
        QUIET
        END
        PREPARE own_nmi_handler
        leaq nmi_handler, %rax
        movw %ax, idt + 16 * 2
        shrq $16, %rax
        movw %ax, idt + 16 * 2 + 6
        movl $0, nmi_count
        ret
        .type nmi_handler, @function
nmi_handler:
        incl nmi_count
        cmpl $3, nmi_count
        jae 1f
        movl $NMI, LAPIC_ICR
        nop
        nop
        addl $0x100, %eax
1:      iretq
        CASE nmi_before_interrupt_r0, K64, returning
        SEND 0x50
        movl $NMI, LAPIC_ICR
        sti
        QUIET
        QUIET
        END
        CASE nmi_is_not_held_back_by_tpr_r0, K64
        movl $0xFF, LAPIC_TPR
        movl $NMI, LAPIC_ICR
        QUIET
        END

        .bss
nmi_count: .skip 4
