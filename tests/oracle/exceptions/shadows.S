/* Where an interrupt that is due is taken: IF, the shadows of STI and MOV SS, HLT, faults. */
#include "common.inc"
#include "timer.inc"

/* IF is 0 at the deadline. */
        .macro LATE name, code
        CASE \name\()_r0, K64, timer_masked_by_if
        ARM 64
        nop
        nop
        nop
        nop
        \code
        nop
        nop
        END
        .endm
        LATE sti_delays_by_one_instruction, "sti; nop"
        LATE sti_then_cli_lets_none_in, "sti; cli"
        LATE sti_then_hlt, "sti; hlt"
        LATE popf_does_not_delay, "pushfq; orl $0x200, (%rsp); popfq"
        LATE mov_ss_delays, "movl $KD, %ecx; pushfq; orl $0x200, (%rsp); popfq; movl %ecx, %ss"
        LATE stays_pending_without_if, "nop"
        LATE iretq_does_not_delay, "movq %rsp, %rdx; pushq $KD; pushq %rdx; pushq $0x202; pushq $K64; leaq 1f(%rip), %rcx; pushq %rcx; iretq; 1: nop"
        LATE sti_before_iretq, "movq %rsp, %rdx; pushq $KD; pushq %rdx; pushq $0x202; pushq $K64; leaq 1f(%rip), %rcx; pushq %rcx; sti; iretq; 1: nop"
        LATE sti_before_a_fault, "sti; ud2"
        LATE sti_before_int, "sti; int $0x80"
        CASE mov_ss_in_time_r0, K64, timer
        movl $KD, %ecx
        ARM 1
        movl %ecx, %ss
        nop
        nop
        nop
        END
        CASE mov_ss_at_deadline_r0, K64, timer
        movl $KD, %ecx
        ARM 33
        movl %ecx, %ss
        nop
        nop
        nop
        END

        CASE hlt_wakes_r0, K64, timer_and_return
        ARM 100000
        hlt
        nop
        END
        CASE hlt_with_the_deadline_past_r0, K64, timer_masked_by_if
        ARM 10
        nop
        nop
        sti
        hlt
        nop
        END
        CASE timer_is_exact_after_hlt_r0, K64, timer_and_return
        ARM 12345
        hlt
        movq $0, go_on
        ARM 333
        SLED
        END
        CASE interrupt_before_a_fault_r0, K64, timer_and_end
        ARM 33
        nop
        nop
        ud2
        END
        CASE fault_before_an_interrupt_r0, K64, timer_and_end
        ARM 64
        nop
        nop
        ud2
        END
        PREPARE timer_and_end
        jmp timer
