/* Entry from the Multiboot2 loader: 32-bit protected mode, paging off (Multiboot2 specification 3.3).

   The first four instructions load the tables of early.S, for an NMI may come at once. Then the kernel moves boot information and modules, which the loader may have put anywhere, to their regions, and
   zeroes the originals (free_ram.S does the rest). Then it enters long mode (SDM volume 3, 9.8.5). */
#include "layout.h"
#include "frames.h"

#define HEADER_MAGIC    0xE85250D6
#define TAG_END         0
#define TAG_MODULE      3
#define CR0_SET         0x80010023      /* PG, WP, NE, MP, PE */
#define CR4_SET         0x00000620      /* OSXMMEXCPT, OSFXSR, PAE */
#define EFER            0xC0000080
#define EFER_SET        0x00000900      /* NXE, LME */

        .section .multiboot, "a", @progbits
        .balign 8
header: .long   HEADER_MAGIC, 0, header_end - header, -(HEADER_MAGIC + (header_end - header))
        .balign 8
        .short  1, 0                    /* information request: command line, modules, memory map */
        .long   20, 1, 3, 6
        .balign 8
        .short  6, 0                    /* modules on page boundaries */
        .long   8
        .balign 8
        .short  0, 0
        .long   8
header_end:

/* Set bit `control` of ESI if CPUID's register has bit `feature`. Clobbers EAX. */
        .macro  offered register, feature, control
        movl    \register, %eax
        andl    $(1 << \feature), %eax
        shll    $(\control - \feature), %eax
        orl     %eax, %esi
        .endm

        .text
        .code32
        .globl  _start
        .type   _start, @function
_start: frame_first
        movl    $(KERNEL_STACK_BASE + KERNEL_STACK_SIZE), %esp
        lgdt    boot_gdt_pointer        /* the loader's GDT may be gone */
        ljmp    $BOOT_CODE, $1f
1:      lidt    boot_idt_pointer
        movl    $KERNEL_DATA, %ecx
        movl    %ecx, %ss               /* IRETQ loads it again */
        cli
        cld
        cmpl    $MULTIBOOT2_MAGIC, %eax
        movl    $not_multiboot2, %esi
        jne     refuse
        movl    (%ebx), %ecx            /* total size of the boot information */
        movl    $too_much_information, %esi
        cmpl    $BOOT_INFORMATION_SIZE, %ecx
        ja      refuse
        movl    %ebx, %esi
        movl    $boot_information, %edi
        call    move

        /* Move all modules to the staging area, in order, on cache-line boundaries. */
        movl    $STAGING_BASE, %edi
        movl    $boot_information + 8, %ebx
next:   movl    (%ebx), %eax
        cmpl    $TAG_END, %eax
        je      staged
        cmpl    $TAG_MODULE, %eax
        jne     skip
        movl    payload_count, %edx
        movl    $too_many_modules, %esi
        cmpl    $MODULES_MAX, %edx
        jae     refuse
        movl    12(%ebx), %ecx
        subl    8(%ebx), %ecx
        leal    (%edi,%ecx), %ebp
        cmpl    $(STAGING_BASE + STAGING_SIZE), %ebp
        ja      refuse
        movl    8(%ebx), %esi
        movl    %edi, payloads(,%edx,8)
        movl    %ecx, payloads + 4(,%edx,8)
        incl    payload_count
        call    move
        addl    $63, %edi
        andl    $-64, %edi
skip:   movl    4(%ebx), %eax
        addl    $7, %eax
        andl    $-8, %eax
        addl    %eax, %ebx
        jmp     next

        .globl  staged, stop
staged: cmpl    $SCRUB_PRESENT, SCRUB + SCRUB_ID
        je      clean                   /* the enclave's own node: RAM is zero at reset; the loader left nothing */
        call    zero_free_ram
clean:  call    protections
        orl     $CR4_SET, %eax
        movl    %eax, %cr4
        movl    $PML4_ACTIVE, %eax
        movl    %eax, %cr3
        movl    $EFER, %ecx
        movl    $EFER_SET, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $CR0_SET, %eax
        movl    %eax, %cr0
        ljmp    $KERNEL_CODE, $long_mode
        .cfi_endproc

/* Move ECX bytes from ESI to EDI and zero the source. EDI ends after the copy; EBX is kept. */
move:   frame_32
        pushl   %ecx
        .cfi_adjust_cfa_offset 4
        pushl   %esi
        .cfi_adjust_cfa_offset 4
        movl    %ecx, %edx
        shrl    $2, %ecx
        rep movsl
        movl    %edx, %ecx
        andl    $3, %ecx
        rep movsb
        movl    %edi, %ebp
        popl    %edi
        .cfi_adjust_cfa_offset -4
        popl    %edx
        .cfi_adjust_cfa_offset -4
        xorl    %eax, %eax
        movl    %edx, %ecx
        shrl    $2, %ecx
        rep stosl
        movl    %edx, %ecx
        andl    $3, %ecx
        rep stosb
        movl    %ebp, %edi
        ret
        .cfi_endproc

/* Return in EAX, as CR4 bits, the processor's support for UMIP, SMEP and SMAP (CPUID leaf 7; SDM volume 3, 2.5).
   Preserves only ESP. */
protections:
        frame_32
        xorl    %esi, %esi
        xorl    %eax, %eax
        cpuid
        cmpl    $CPUID_FEATURES, %eax   /* the highest leaf */
        jb      1f
        movl    $CPUID_FEATURES, %eax
        xorl    %ecx, %ecx
        cpuid
        offered %ecx, CPUID_UMIP, CR4_UMIP
        offered %ebx, CPUID_SMEP, CR4_SMEP
        offered %ebx, CPUID_SMAP, CR4_SMAP
1:      movl    %esi, %eax
        ret
        .cfi_endproc

/* Stop the boot. ESI points to a POST code and the message for the serial line. */
        .globl  refuse
refuse: frame_first
        lodsb
        outb    %al, $POST_PORT
1:      movw    $COM1_LINE_STATUS, %dx
        inb     %dx, %al
        testb   $TRANSMITTER_EMPTY, %al
        jz      1b
        movw    $COM1, %dx
        lodsb
        testb   %al, %al
        jz      2f
        outb    %al, %dx
        jmp     1b
2:
stop:   hlt
        jmp     stop
        .cfi_endproc

        .code64
        .globl  long_mode
long_mode:
        frame_first
        lgdt    gdt_pointer
        movl    $KERNEL_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        xorl    %eax, %eax
        movl    %eax, %fs
        movl    %eax, %gs
        movq    $(KERNEL_STACK_BASE + KERNEL_STACK_SIZE), %rsp
        xorl    %ebp, %ebp
        call    kernel_main
1:      hlt                             /* kernel_main does not return */
        jmp     1b
        .cfi_endproc

        .section .rodata, "a", @progbits
        .globl  beyond_4_gib, no_memory_map, not_zero
not_multiboot2:
        .ascii  "\341not started by a Multiboot2 loader\n\0"
too_much_information:
        .ascii  "\342the boot information is too large\n\0"
too_many_modules:
        .ascii  "\343the modules are too many or too large\n\0"
no_memory_map:
        .ascii  "\344the loader gave no memory map\n\0"
beyond_4_gib:
        .ascii  "\345there is RAM beyond 4 GiB, which would not be scrubbed\n\0"
not_zero:
        .ascii  "\346RAM that was zeroed is not zero\n\0"

        .data
        .balign 16
        .globl  gdt, gdt_pointer
gdt:    .quad   0
        .quad   0x00AF9B000000FFFF      /* KERNEL_CODE: 64-bit, ring 0 */
        .quad   0x00CF93000000FFFF      /* KERNEL_DATA */
        .quad   0x00CFF3000000FFFF      /* USER_DATA */
        .quad   0x00AFFB000000FFFF      /* USER_CODE: 64-bit, ring 3 */
        .quad   0, 0                    /* TASK_STATE, filled in by prot_entry() */
gdt_end:

        .section .rodata
        .balign 8
gdt_pointer:
        .short  gdt_end - gdt - 1
        .quad   gdt

        .bss
        .balign 16
        .globl  boot_information, payloads, payload_count
boot_information:
        .skip   BOOT_INFORMATION_SIZE
payloads:
        .skip   8 * MODULES_MAX
payload_count:
        .skip   4
