/* The 8259 pair and the 8254: interrupts through LINT0. */
#include "common.inc"

        .macro OUT port, value
        movb $\value, %al
        outb %al, $\port
        .endm
        PREPARE irq0
        movq $FLAG_IF, flags
        movb $0xFE, %al
        outb %al, $0x21
        ret
        PREPARE irq0_and_return
        movq $1, go_on
        jmp irq0
        .macro COUNT mode, count
        OUT 0x43, (0x30 | (\mode << 1))
        OUT 0x40, (\count & 0xFF)
        OUT 0x40, (\count >> 8)
        .endm
        .macro SLED
        .rept 12
        addq %rbx, %rax
        movq %rax, -8(%rsp)
        incq %rcx
        nop
        .endr
        .endm
        .irp count, 1, 2, 3, 5, 7, 9, 11, 13
        CASE mode_0_count_\count\()_r0, K64, irq0
        COUNT 0, \count
        .rept 8
        SLED
        .endr
        END
        .endr
        CASE mode_0_fires_once_r0, K64, irq0_and_return
        COUNT 0, 20
        movl $5000, %ecx
1:      loop 1b
        END
/* Mode 2 may begin with an edge of its own: it is forgotten by initialising the 8259 anew. */
        .macro FORGET_EDGE
        OUT 0x20, 0x11
        OUT 0x21, 0x20
        OUT 0x21, 4
        OUT 0x21, 1
        OUT 0x21, 0xFE
        .endm
        CASE mode_2_is_periodic_r0, K64, irq0_and_return
        cli
        COUNT 2, 1000
        FORGET_EDGE
        sti
        movl $80000, %ecx
1:      loop 1b
        OUT 0x43, 0x30
        END
        CASE hlt_until_8254_r0, K64, irq0_and_return
        COUNT 0, 1000
        hlt
        nop
        END
        CASE masked_by_8259_r0, K64, irq0
        OUT 0x21, 0xFF
        COUNT 0, 10
        movl $1000, %ecx
1:      loop 1b
        END
        CASE unmasked_later_r0, K64, irq0
        OUT 0x21, 0xFF
        COUNT 0, 10
        movl $1000, %ecx
1:      loop 1b
        OUT 0x21, 0xFE
        nop
        nop
        END
        CASE masked_by_lint0_r0, K64, irq0
        movl $0x10700, LAPIC + 0x350
        COUNT 0, 10
        movl $1000, %ecx
1:      loop 1b
        movl $0x700, LAPIC + 0x350
        nop
        nop
        END
        CASE waits_for_if_r0, K64, irq0
        cli
        COUNT 0, 10
        movl $1000, %ecx
1:      loop 1b
        sti
        nop
        nop
        END
        CASE in_ring_3_r3, U64, counting
        movl $5000, %ecx
1:      loop 1b
        END
        PREPARE counting
        call irq0
        COUNT 0, 100
        ret
        CASE request_and_service_registers_r0, K64, irq0
        cli
        COUNT 0, 5
        movl $500, %ecx
1:      loop 1b
        xorl %eax, %eax
        OUT 0x20, 0x0A
        inb $0x20, %al
        movl %eax, %ebx
        OUT 0x20, 0x0B
        inb $0x20, %al
        movl %eax, %edx
        inb $0x21, %al
        END
        CASE latched_count_r0, K64
        COUNT 2, 0x1234
        movl $100, %ecx
1:      loop 1b
        xorl %eax, %eax
        OUT 0x43, 0
        inb $0x40, %al
        movl %eax, %ebx
        inb $0x40, %al
        movl %eax, %edx
        OUT 0x43, 0x30
        END
        CASE mask_register_r0, K64
        xorl %eax, %eax
        OUT 0x21, 0xA5
        xorl %eax, %eax
        inb $0x21, %al
        movl %eax, %ebx
        inb $0xA1, %al
        END
