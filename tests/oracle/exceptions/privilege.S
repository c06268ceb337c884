/* What ring 3 may not do: privileged instructions, port I/O by IOPL and bitmap, IF and IOPL by POPF; and UMIP. */
#include "common.inc"

        .macro USER name, code
        CASE \name\()_r3, U64
        \code
        END
        .endm
        USER gp_cli, cli
        USER gp_sti, sti
        USER gp_hlt, hlt
        USER gp_clts, clts
        USER gp_invd, invd
        USER gp_wbinvd, wbinvd
        USER gp_read_cr0, "movq %cr0, %rax"
        USER gp_read_cr2, "movq %cr2, %rax"
        USER gp_read_cr3, "movq %cr3, %rax"
        USER gp_read_cr4, "movq %cr4, %rax"
        USER gp_read_cr8, "movq %cr8, %rax"
        USER gp_write_cr0, "movq %rax, %cr0"
        USER gp_write_cr3, "movq %rax, %cr3"
        USER gp_write_cr4, "movq %rax, %cr4"
        USER gp_write_cr8, "movq %rax, %cr8"
        USER gp_read_dr0, "movq %dr0, %rax"
        USER gp_read_dr7, "movq %dr7, %rax"
        USER gp_write_dr7, "movq %rax, %dr7"
        USER gp_rdmsr, "movl $0xC0000080, %ecx; rdmsr"
        USER gp_wrmsr, "movl $0xC0000080, %ecx; wrmsr"
        USER gp_swapgs, swapgs
        USER gp_lgdt, "leaq user_data, %rbx; lgdt (%rbx)"
        USER gp_lidt, "leaq user_data, %rbx; lidt (%rbx)"
        USER gp_lldt, "movl $0x48, %ecx; lldt %cx"
        USER gp_ltr, "movl $0x38, %ecx; ltr %cx"
        USER gp_lmsw, "lmsw %ax"
        USER gp_invlpg, "movl $0x600000, %ebx; invlpg (%rbx)"
        USER gp_sysret, sysretq
        USER gp_in_al_port, "inb $0x60, %al"
        USER gp_out_al_port, "outb %al, $0x60"
        USER gp_in_dx, "movl $0x60, %edx; inb %dx, %al"
        USER gp_inw_second_port_forbidden, "movl $0x81, %edx; inw %dx, %ax"
        USER gp_outl_forbidden, "movl $0x80, %edx; outl %eax, %dx"
        USER gp_insb, "movl $0x60, %edx; movl $0x600000, %edi; insb"
        USER gp_outsb, "movl $0x60, %edx; movl $0x600000, %esi; outsb"
        USER gp_port_beyond_bitmap, "movl $0x400, %edx; inb %dx, %al"
        USER gp_port_ffff, "movl $0xFFFF, %edx; inb %dx, %al"
        USER allowed_port, "movl $0x80, %edx; outb %al, %dx"
        USER allowed_port_immediate, "outb %al, $0x81"
        USER allowed_word, "movl $0x80, %edx; outw %ax, %dx"
        USER allowed_read, "movl $0x3FF, %edx; movb $0x5A, %al; outb %al, %dx; xorl %eax, %eax; inb %dx, %al"
        USER cpuid_is_allowed, "xorl %eax, %eax; cpuid; xorl %eax, %eax; xorl %ebx, %ebx; xorl %ecx, %ecx; xorl %edx, %edx"
        USER smsw, "xorl %eax, %eax; smsw %ax"
        USER str, "xorl %eax, %eax; str %ax"
        USER sldt, "xorl %eax, %eax; sldt %ax"
        USER lar_of_kernel_segment, "movl $0x10, %ecx; lar %ecx, %eax"
        USER lar_of_user_segment, "movl $0x2B, %ecx; lar %ecx, %eax"
        USER lsl_of_user_segment, "movl $0x2B, %ecx; lsl %ecx, %eax"
        USER verr_of_kernel_segment, "movl $0x18, %ecx; verr %cx"
        USER verw_of_user_segment, "movl $0x2B, %ecx; verw %cx"
        USER verw_of_read_only_segment, "movl $0xA3, %ecx; verw %cx"

        .macro PRIVILEGED name, code
        CASE \name\()_r0, K64
        \code
        END
        .endm
        PRIVILEGED cli_is_allowed, cli
        PRIVILEGED bitmap_is_not_asked, "movl $0x61, %edx; outb %al, $0x81"
        PRIVILEGED lar_of_system_segment, "movl $0x38, %ecx; lar %ecx, %eax"
        PRIVILEGED lar_of_null, "xorl %ecx, %ecx; lar %ecx, %eax"
        PRIVILEGED lsl_beyond_table, "movl $0x1008, %ecx; lsl %ecx, %eax"

        .macro FLAGS name, value
        PREPARE \name
        movq $\value, flags
        ret
        .endm
        FLAGS iopl3, 0x3002
        FLAGS iopl2, 0x2002
        FLAGS iopl3_if, 0x3202
        CASE iopl3_cli_r3, U64, iopl3_if
        cli
        END
        CASE iopl3_sti_r3, U64, iopl3
        sti
        END
        CASE iopl3_port_r3, U64, iopl3
        movb $0x42, %al
        outb %al, $0x82
        END
        CASE iopl2_port_r3, U64, iopl2
        outb %al, $0x82
        END
        CASE iopl2_cli_r3, U64, iopl2
        cli
        END
        CASE iopl3_popf_sets_if_not_iopl_r3, U64, iopl3
        pushq $0x2202
        popfq
        END
        CASE iopl3_popf_clears_if_r3, U64, iopl3_if
        pushq $0x0002
        popfq
        END
        CASE popf_changes_neither_r3, U64
        pushq $0x3202
        popfq
        END
        CASE popf_changes_both_r0, K64
        pushq $0x3202
        popfq
        END
        CASE popf_user_flags_r3, U64
        pushq $0x244CD7                 /* ID, AC, NT, OF, DF, arithmetic */
        popfq
        cld
        END
        CASE popfw_keeps_upper_r0, K64
        pushfq
        pushw $0x0CD7
        popfw
        cld
        END
        CASE iopl3_hlt_is_still_privileged_r3, U64, iopl3
        hlt
        END
        CASE iopl3_wrmsr_is_still_privileged_r3, U64, iopl3
        wrmsr
        END
        CASE iopl3_cli_c32, U32, iopl3_if
        cli
        END
        CASE gp_cli_c32, U32
        cli
        END
        CASE gp_in_c32, U32
        inb $0x60, %al
        END

        PREPARE no_bitmap
        movw $0xFFFF, TSS_BASE + 102
        ret
        PREPARE bitmap_cut_short
        movw $(TSS_LIMIT - 15), TSS_BASE + 102  /* ports 0x78 and above: beyond the limit with the second byte */
        ret
        PREPARE bitmap_at_limit
        movw $(TSS_LIMIT - 17), TSS_BASE + 102
        movb $0, TSS_BASE + TSS_LIMIT - 1
        ret
        CASE no_bitmap_r3, U64, no_bitmap
        outb %al, $0x80
        END
        CASE bitmap_ends_before_second_byte_r3, U64, bitmap_cut_short
        outb %al, $0x80
        END
        CASE bitmap_last_byte_r3, U64, bitmap_at_limit
        outb %al, $0x82
        END

        PREPARE umip
        movq %cr4, %rax
        orl $0x800, %eax
        movq %rax, %cr4
        ret
        .macro UMIP name, code
        CASE umip_\name\()_r3, U64, umip
        leaq user_data, %rbx
        \code
        END
        CASE umip_\name\()_r0, K64, umip
        leaq user_data, %rbx
        \code
        END
        .endm
        UMIP sgdt, "sgdt (%rbx)"
        UMIP sidt, "sidt (%rbx)"
        UMIP sldt, "xorl %eax, %eax; sldt %ax"
        UMIP str, "xorl %eax, %eax; str %ax"
        UMIP smsw, "xorl %eax, %eax; smsw %ax"

        PREPARE no_user_tsc
        movq %cr4, %rax
        orl $4, %eax
        movq %rax, %cr4
        ret
        CASE tsd_rdtsc_r3, U64, no_user_tsc
        rdtsc
        END
        CASE tsd_rdtscp_r3, U64, no_user_tsc
        rdtscp
        END
        CASE tsd_rdtsc_r0, K64, no_user_tsc
        rdtsc
        xorl %eax, %eax
        xorl %edx, %edx
        END
        CASE gp_rdpmc_r3, U64
        xorl %ecx, %ecx
        rdpmc
        END
        CASE ud_rdfsbase_without_fsgsbase_r3, U64
        rdfsbase %rax
        END
        PREPARE fsgsbase
        movq %cr4, %rax
        orl $0x10000, %eax
        movq %rax, %cr4
        ret
        CASE wrfsbase_r3, U64, fsgsbase
        movl $0x1234, %eax
        wrfsbase %rax
        rdfsbase %rbx
        END
