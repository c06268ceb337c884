/* Interrupts and exceptions before prot_entry() has loaded the kernel's own IDT.

   An NMI is remembered, and prot_entry() annihilates as soon as it can. A fault ends what the boot was about: straight to
   prot_entry(), which annihilates. A second one means that this does not work either, and the processor halts.

   One table serves two modes. Protected mode takes vector n from the 8 bytes at 8 n, long mode from the 16 bytes at 16 n.
   Where these are the same bytes, long mode gets an NMI and the faults that any other gate leads to. The descriptors have
   their accessed bits set, so that the processor writes nothing here: it is measured. */
#include "layout.h"
#include "frames.h"

/* A gate has its handler's address in two pieces, which only constants can be: so the handlers are at a known place. */
        .macro  gate_32 handler
        .short  (\handler - early) + (EARLY_CODE & 0xFFFF), BOOT_CODE, 0x8E00, EARLY_CODE >> 16
        .endm
        .macro  gate_64 handler
        .short  (\handler - early) + (EARLY_CODE & 0xFFFF), KERNEL_CODE, 0x8E00, EARLY_CODE >> 16
        .quad   0
        .endm

        .section .early, "ax", @progbits
        .code32
early:
nmi_32: frame_first
        movb    $1, early_nmi
        iret
        .cfi_endproc

fault_32:
        frame_first
        movl    $(KERNEL_STACK_BASE + KERNEL_STACK_SIZE), %esp
        btsl    $0, early_fault
        jc      stop
        jmp     staged
        .cfi_endproc

        .code64
nmi_64: frame_first
        movb    $1, early_nmi
        iretq
        .cfi_endproc

fault_64:
        frame_first
        movl    $(KERNEL_STACK_BASE + KERNEL_STACK_SIZE), %esp
        btsl    $0, early_fault
        jc      stop
        jmp     long_mode
        .cfi_endproc

        .section .rodata, "a", @progbits
        .balign 16
boot_gdt:
        .quad   0
        .quad   0x00AF9B000000FFFF      /* KERNEL_CODE */
        .quad   0x00CF93000000FFFF      /* KERNEL_DATA */
        .quad   0x00CF9B000000FFFF      /* BOOT_CODE: 32-bit, ring 0 */
boot_gdt_end:
boot_idt:                               /* protected mode: long mode */
        gate_32 fault_32                /* #DE */
        gate_32 fault_32                /* #DB */
        gate_32 nmi_32
        gate_32 fault_32                /* #BP */
        gate_64 nmi_64                  /* only INTO and BOUND raise #OF and #BR: NMI */
        .rept   8
        gate_32 fault_32                /* #UD, #NM, #DF, 9, #TS, #NP, #SS, #GP */
        .endr
        .quad   0, 0                    /* there is no #PF without paging */
        gate_64 fault_64                /* #DF */
        gate_32 fault_32                /* #MC */
        .quad   0
        .rept   5
        gate_64 fault_64                /* #TS, #NP, #SS, #GP, #PF */
        .endr
        .quad   0, 0, 0, 0, 0, 0
        gate_64 fault_64                /* #MC */
boot_idt_end:
        .globl  boot_gdt_pointer, boot_idt_pointer
        .balign 8
boot_gdt_pointer:
        .short  boot_gdt_end - boot_gdt - 1
        .long   boot_gdt
        .balign 8
boot_idt_pointer:
        .short  boot_idt_end - boot_idt - 1
        .long   boot_idt

        .bss
        .globl  early_nmi, early_fault
        .balign 4
early_fault:
        .skip   4
early_nmi:
        .skip   1
