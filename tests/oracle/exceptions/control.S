/* Control registers and MSRs that may be written and read back. (QEMU refuses hardly anything: docs/oracle.md.) */
#include "common.inc"

        .macro WRITE register, name, value
        CASE \register\()_\name\()_r0, K64
        movabsq $(\value), %rax
        movq %rax, %\register
        END
        .endm
        WRITE cr0, as_it_is, 0x80010033
        WRITE cr4, as_it_is, 0x620
        WRITE cr8, fifteen, 15
        CASE cr0_reads_et_r0, K64
        movq %cr0, %rax
        movl $0x80010023, %ebx          /* without ET, which is always 1 */
        movq %rbx, %cr0
        movq %cr0, %rcx
        END
        CASE lmsw_cannot_clear_pe_r0, K64
        movl $0x32, %eax
        lmsw %ax
        smsw %rbx
        END
        CASE cr2_is_writable_r0, K64
        movabsq $0x123456789ABCDEF0, %rax
        movq %rax, %cr2
        movq %cr2, %rbx
        END

        .macro MSR_WRITE name, number, high, low
        CASE wrmsr_\name\()_r0, K64
        movl $\number, %ecx
        movl $\low, %eax
        movl $\high, %edx
        wrmsr
        END
        .endm
        MSR_WRITE efer_as_it_is, 0xC0000080, 0, 0xD01
        CASE rdmsr_efer_r0, K64
        movl $0xC0000080, %ecx
        rdmsr
        END
        CASE rdmsr_apic_base_r0, K64
        movl $0x1B, %ecx
        rdmsr
        END
        CASE rdmsr_star_r0, K64
        movl $0xC0000081, %ecx
        rdmsr
        END
        CASE fs_base_r0, K64
        movl $0xC0000100, %ecx
        movl $0x89ABCDE0, %eax
        movl $0x00000123, %edx
        wrmsr
        xorl %eax, %eax
        xorl %edx, %edx
        rdmsr
        END
        CASE fs_base_is_used_r0, K64
        movl $0xC0000100, %ecx
        movl $ABSENT, %eax
        xorl %edx, %edx
        wrmsr
        movb %fs:0x123, %al
        END
        CASE fs_base_is_loaded_with_selector_r0, K64
        movl $0xC0000100, %ecx
        movl $ABSENT, %eax
        xorl %edx, %edx
        wrmsr
        movl $UD, %eax
        movl %eax, %fs
        rdmsr
        END
        CASE xsetbv_without_osxsave_r0, K64
        xorl %ecx, %ecx
        xsetbv
        END
