/* SYSCALL and SYSRET: selectors, masked flags, and what they refuse. STAR, LSTAR and FMASK are the runner's. */
#include "common.inc"

        CASE syscall_r3, U64
        syscall
        END
        CASE syscall_r0, K64
        syscall
        END
        CASE syscall_masks_all_r3, U64, mask_all
        syscall
        END
        PREPARE mask_all
        movq $0x243ED7, flags
        movl $0xC0000084, %ecx
        movl $-1, %eax
        xorl %edx, %edx
        wrmsr
        ret
        CASE syscall_target_not_executable_r3, U64, bad_target
        syscall
        END
        PREPARE bad_target
        movl $0xC0000082, %ecx
        movl $KERNEL_RW, %eax
        xorl %edx, %edx
        wrmsr
        ret
        CASE syscall_and_back_r3, U64, target_returns
        syscall
        movl $1, %eax
        END
        PREPARE target_returns
        movl $0xC0000082, %ecx
        leaq returning_target, %rax
        xorl %edx, %edx
        wrmsr
        movq $0x240202, flags
        ret
        .type returning_target, @function
returning_target:
        movl %cs, %ebx
        movl %ss, %edx
        sysretq
        CASE sysretq_r0, K64
        leaq user_after, %rcx
        movl $0x3CD7, %r11d
        sysretq
        CASE sysretl_r0, K64
        leaq user_after_32, %rcx
        movl $0x2, %r11d
        sysretl
        .section .utext, "ax", @progbits
user_after: movl %cs, %eax
        movl %ss, %ebx
        END
        .code32
user_after_32: movl %cs, %eax
        movl %ss, %ebx
        END
        CASE gp_sysret_in_ring_3_r3, U64
        sysretq
        END
        CASE sysret_to_kernel_page_r0, K64
        leaq case_syscall_r0, %rcx
        movl $2, %r11d
        sysretq
        CASE gp_sysenter_without_cs_r3, U64
        sysenter
        END
        CASE gp_sysenter_without_cs_r0, K64
        sysenter
        END
        CASE sysenter_r3, U64, sysenter_target
        sysenter
        END
        CASE sysenter_c32, U32, sysenter_target
        sysenter
        END
        PREPARE sysenter_target
        xorl %edx, %edx
        movl $0x174, %ecx
        movl $K64, %eax                 /* SS is the next one */
        wrmsr
        movl $0x175, %ecx
        movl $(USER_RW + 0x800), %eax
        wrmsr
        movl $0x176, %ecx
        leaq syscall_target, %rax
        wrmsr
        movq $0x202, flags
        ret
        CASE gp_sysexit_r3, U64
        sysexitl
        END
        CASE gp_sysexit_without_cs_r0, K64
        sysexitl
        END
        CASE swapgs_r0, K64
        movl $0xC0000102, %ecx
        movl $0x1234, %eax
        xorl %edx, %edx
        wrmsr
        swapgs
        movl $0xC0000101, %ecx
        rdmsr
        END
