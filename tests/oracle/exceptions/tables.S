/* The tables each case starts from. The runner copies them, so that no case meets what another one changed. */
#include "common.inc"

        .macro SYSTEM base, limit, access
        .quad (\limit) | ((\base) << 16) | ((\access) << 40)
        .quad 0
        .endm

        .macro GATE selector, access
        .quad (GATE_TARGET & 0xFFFF) | ((\selector) << 16) | ((\access) << 40) | ((GATE_TARGET >> 16) << 48)
        .quad 0
        .endm

        .data
        .balign 16
        .globl gdt_original, ldt_original, tss_original, pattern64, pattern32
gdt_original:
        .quad 0
        .quad 0x00CF9B000000FFFF        /* K32 */
        .quad 0x00AF9B000000FFFF        /* K64 */
        .quad 0x00CF93000000FFFF        /* KD */
        .quad 0x00CFFB000000FFFF        /* U32 */
        .quad 0x00CFF3000000FFFF        /* UD */
        .quad 0x00AFFB000000FFFF        /* U64 */
        SYSTEM TSS_BASE, TSS_LIMIT, 0x89
        SYSTEM LDT_BASE, 0x1F, 0x82
        .quad 0x00CF13000000FFFF        /* ABSENT_DATA */
        .quad 0x00AF1B000000FFFF        /* ABSENT_CODE */
        .quad 0x00CF91000000FFFF        /* READ_ONLY */
        .quad 0x00AF99000000FFFF        /* EXECUTE_ONLY */
        .quad 0x00AF9F000000FFFF        /* CONFORMING */
        .quad 0x00CF73000000FFFF        /* ABSENT_USER_DATA */
        .quad 0x00AF7B000000FFFF        /* ABSENT_USER_CODE */
        .quad 0x008F9B000000FFFF        /* CODE16 */
        .quad 0x00EF9B000000FFFF        /* LONG_AND_DEFAULT */
        .quad 0x00CFF1000000FFFF        /* READ_ONLY_USER */
        GATE K64, 0xEC                  /* CALL_GATE */
        GATE K64, 0x8C                  /* CALL_GATE_KERNEL */
        SYSTEM OTHER_TSS_BASE, 0x67, 0x89
        SYSTEM OTHER_TSS_BASE, 0x67, 0x09       /* ABSENT_TSS */
        SYSTEM OTHER_TSS_BASE, 0x67, 0x8B       /* BUSY_TSS */
        SYSTEM LDT_BASE, 0x1F, 0x02     /* ABSENT_LDT */
        SYSTEM 0, 0xFFFF, 0x80          /* NO_TYPE */
        .quad 0x00AFFF000000FFFF        /* CONFORMING_USER */
        GATE K64, 0x6C                  /* ABSENT_GATE */
        GATE KD, 0xEC                   /* GATE_TO_DATA */
        .ifne (. - gdt_original) - GDT_SIZE
        .error "GDT_SIZE does not fit the table"
        .endif
ldt_original:
        .quad 0
        .quad 0x00CFF3000000FFFF        /* LDT_DATA */
        .quad 0x00AF9B000000FFFF        /* LDT_CODE */
        .quad 0x00CF73000000FFFF        /* LDT_ABSENT */
tss_original:
        .long 0
        .quad kernel_stack, 0, 0, 0     /* RSP0 to RSP2 */
        .set i, 1
        .rept 7
        .quad ist_stacks + 4096 * i
        .set i, i + 1
        .endr
        .quad 0
        .short 0, 104
        /* Ports 0x80, 0x81 and 0x3F8 to 0x3FF are allowed, no other. */
        .fill 0x80 / 8, 1, 0xFF
        .byte 0xFC
        .fill 0x3F8 / 8 - 0x80 / 8 - 1, 1, 0xFF
        .byte 0
        .byte 0xFF
        .ifne (. - tss_original) - (TSS_LIMIT + 1)
        .error "TSS_LIMIT does not fit the table"
        .endif

/* What the general registers hold when a case begins: RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8 to R15. */
        .balign 8
pattern64:
        .set i, 1
        .rept 15
        .quad 0x1111111111111111 * i
        .set i, i + 1
        .endr
pattern32:
        .set i, 1
        .rept 15
        .quad 0x11111111 * i
        .set i, i + 1
        .endr

        .bss
        .balign 4096
        .globl gdt, idt, idt_original, pt3_original, ist_stacks, kernel_stack, case_stack, runner_stack
gdt:    .skip GDT_SIZE
        .balign 4096
idt:    .skip 4096
idt_original: .skip 4096
pt3_original: .skip 4096
ist_stacks: .skip 7 * 4096 + 4096
kernel_stack_low: .skip 4096
kernel_stack: .skip 4096
case_stack: .skip 4096
runner_stack:

        .section .udata, "aw", @progbits
        .balign 4096
        .globl user_stack, user_data
user_data: .skip 4096
user_stack_low: .skip 4096
user_stack: .skip 64
