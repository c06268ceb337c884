/* The APIC timer lands on an exact instruction, and time goes on by 32 ns an instruction. */
#include "common.inc"
#include "timer.inc"

        .macro SWEEP count
        CASE one_shot_\count\()_r0, K64, timer
        ARM \count
        SLED
        END
        .endm
        .irp count, 1, 2, 31, 32, 33, 63, 64, 65, 95, 96, 100, 127, 128, 129, 159, 160, 200, 255, 256, 257, 300, 333, 400
        SWEEP \count
        .endr
        .irp count, 500, 511, 512, 600, 700, 800, 900, 1000, 1100, 1200, 1248, 1279, 1280, 1281
        SWEEP \count
        .endr

/* Armed before ring 3 is entered: the deadline falls into the runner's way there, or into ring 3. */
        .macro SWEEP_USER count
        PREPARE armed_\count
        call timer
        ARM \count
        ret
        CASE armed_before_ring_3_\count, U64, armed_\count
        SLED
        END
        .endm
        .irp count, 1, 32, 64, 128, 256, 512, 900, 1000, 1024, 1100, 1150, 1200, 1210, 1220, 1230, 1240, 1250, 1260, 1270
        SWEEP_USER \count
        .endr
        .irp count, 1280, 1290, 1300, 1400, 1500, 1600, 1700, 1800, 1900, 2000, 2100, 2200
        SWEEP_USER \count
        .endr

        .macro DIVIDED name, encoded, count
        CASE divided_by_\name\()_r0, K64, timer
        movl $\encoded, LAPIC_DIVIDE
        ARM \count
        SLED
        END
        .endm
        DIVIDED 2, 0, 100
        DIVIDED 4, 1, 100
        DIVIDED 8, 2, 50
        DIVIDED 16, 3, 30
        DIVIDED 32, 8, 20
        DIVIDED 64, 9, 10
        DIVIDED 128, 10, 5
        DIVIDED 1, 11, 500

        CASE loop_is_interrupted_r0, K64, timer
        ARM 3000
        movl $1000, %ecx
1:      addq $1, %rax
        loop 1b
        END
        CASE jump_to_itself_r0, K64, timer
        ARM 10000
1:      jmp 1b
        CASE handler_returns_into_loop_r0, K64, timer_and_return
        ARM 5000
        movl $400, %ecx
1:      addq $1, %rax
        loop 1b
        END
        CASE periodic_r0, K64, timer_and_return
        orl $0x20000, LAPIC_LVT_TIMER
        ARM 400000
        movl $40000, %ecx
1:      addq $1, %rax
        loop 1b
        END
        CASE periodic_is_stopped_by_zero_r0, K64, timer_and_return
        orl $0x20000, LAPIC_LVT_TIMER
        ARM 2000
        movl $30, %ecx
1:      loop 1b
        ARM 0
        movl $200, %ecx
1:      loop 1b
        END
        CASE one_shot_fires_once_r0, K64, timer_and_return
        ARM 1000
        movl $1000, %ecx
1:      loop 1b
        END
        CASE masked_timer_does_not_fire_r0, K64, timer
        movl $(0x10000 | VECTOR_TIMER), LAPIC_LVT_TIMER
        ARM 100
        movl $20, %ecx
1:      loop 1b
        END
        CASE disarmed_in_time_r0, K64, timer
        ARM 1000
        nop
        ARM 0
        movl $60, %ecx
1:      loop 1b
        END
        CASE rearmed_counts_anew_r0, K64, timer
        ARM 300
        nop
        nop
        ARM 400
        SLED
        END

/* The time stamp counter goes on from power-on, which is not the same on both machines: only differences are shown. */
        .macro TSC_START
        rdtsc
        movl %eax, USER_RW
        xorl %eax, %eax
        xorl %edx, %edx
        .endm
        .macro TSC_END
        rdtsc
        subl USER_RW, %eax
        movl $0, %edx
        .endm
        CASE time_goes_on_while_halted_r0, K64, timer_and_return
        TSC_START
        ARM 100001
        hlt
        TSC_END
        END
        CASE hlt_twice_r0, K64, timer_and_return
        TSC_START
        ARM 10000
        hlt
        ARM 10001
        hlt
        TSC_END
        END
        CASE tsc_counts_instructions_r0, K64
        TSC_START
        .rept 20
        nop
        .endr
        TSC_END
        END
        CASE tsc_in_rep_r0, K64
        TSC_START
        movl $USER_RW + 8, %edi
        movl $100, %ecx
        rep stosb
        TSC_END
        END
        CASE tsc_in_rep_of_zero_r0, K64
        TSC_START
        xorl %ecx, %ecx
        rep stosb
        TSC_END
        END
        CASE tsc_in_page_fault_r0, K64, tsc_resume
        TSC_START
        movb ABSENT, %cl
tsc_resumed:
        TSC_END
        END
        PREPARE tsc_resume
        movq $tsc_resumed, resume
        ret
        CASE tsc_in_int_r0, K64, tsc_in_int
        TSC_START
        int $0x80
        TSC_END
        END
        PREPARE tsc_in_int
        movq $1, go_on
        ret
        CASE rep_is_interrupted_r0, K64, timer
        movl $USER_RW, %edi
        movl $200, %ecx
        ARM 1000
        rep stosb
        END
        CASE rep_is_interrupted_and_goes_on_r0, K64, timer_and_return
        movl $USER_RW, %edi
        movl $200, %ecx
        ARM 1000
        rep stosb
        END
        CASE current_count_r0, K64, timer_masked_by_if
        ARM 1000
        movl LAPIC + 0x390, %eax
        nop
        nop
        movl LAPIC + 0x390, %ebx
        .rept 20
        nop
        .endr
        movl LAPIC + 0x390, %ecx
        .rept 20
        nop
        .endr
        movl LAPIC + 0x390, %edx
        END
        CASE current_count_divided_r0, K64, timer_masked_by_if
        movl $3, LAPIC_DIVIDE
        ARM 1000
        nop
        movl LAPIC + 0x390, %ebx
        nop
        nop
        movl LAPIC + 0x390, %ecx
        movl LAPIC + 0x380, %edx
        END
        CASE timer_in_c32, U32, armed_1400
        .rept 60
        incl %eax
        .endr
        END
