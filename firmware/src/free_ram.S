/* Zeroes all RAM that is not in use yet, after a foreign boot loader: its remains would outlive the enclave.

   This is all RAM of the Multiboot2 memory map, except for the image with its stacks and the staged payloads, which
   the kernel scrubs later. Paging is still off, so RAM beyond 4 GiB cannot be reached, and the boot is refused. Tables
   of the loader and the BIOS are zeroed too: nothing returns to them. */
#include "layout.h"
#include "frames.h"

#define TAG_END             0
#define TAG_MEMORY_MAP      6
#define ENTRY_BASE          0
#define ENTRY_LENGTH        8
#define ENTRY_TYPE          16
#define TYPE_AVAILABLE      1

/* Zero the intersection of [EDX, EBP) and [from, to). */
        .macro  zero_within from, to
        movl    $(\from), %edi
        cmpl    %edx, %edi
        jae     1f
        movl    %edx, %edi
1:      movl    $(\to), %ecx
        cmpl    %ebp, %ecx
        jbe     2f
        movl    %ebp, %ecx
2:      subl    %edi, %ecx
        jbe     3f
        call    zero
3:
        .endm

        .text
        .code32
        .globl  zero_free_ram
        .type   zero_free_ram, @function
zero_free_ram:
        frame_32
        movl    $boot_information + 8, %ebx
1:      movl    (%ebx), %eax
        movl    $no_memory_map, %esi
        cmpl    $TAG_END, %eax
        je      refuse
        cmpl    $TAG_MEMORY_MAP, %eax
        je      2f
        movl    4(%ebx), %eax
        addl    $7, %eax
        andl    $-8, %eax
        addl    %eax, %ebx
        jmp     1b

2:      movl    %ebx, %eax              /* the tag */
        movl    $inspect, %esi
        call    each_range
        movl    $zero_range, %esi
        jmp     each_range
        .cfi_endproc

/* Call ESI for each available range of the memory map tag at EAX, with EBX at its entry. */
each_range:
        frame_32
        leal    16(%eax), %ebx
1:      movl    4(%eax), %ecx
        addl    %eax, %ecx              /* end of the tag */
        cmpl    %ecx, %ebx
        jae     3f
        cmpl    $TYPE_AVAILABLE, ENTRY_TYPE(%ebx)
        jne     2f
        pushl   %eax
        .cfi_adjust_cfa_offset 4
        pushl   %esi
        .cfi_adjust_cfa_offset 4
        call    *%esi
        popl    %esi
        .cfi_adjust_cfa_offset -4
        popl    %eax
        .cfi_adjust_cfa_offset -4
2:      addl    8(%eax), %ebx           /* size of an entry */
        jmp     1b
3:      ret
        .cfi_endproc

/* Refuse unreachable RAM, before anything is zeroed. */
inspect:
        frame_32
        movl    ENTRY_LENGTH(%ebx), %ebp
        addl    ENTRY_BASE(%ebx), %ebp
        movl    ENTRY_LENGTH + 4(%ebx), %eax
        adcl    ENTRY_BASE + 4(%ebx), %eax
        movl    $beyond_4_gib, %esi
        jnz     refuse
        ret
        .cfi_endproc

zero_range:
        frame_32
        movl    ENTRY_BASE(%ebx), %edx
        movl    ENTRY_LENGTH(%ebx), %ebp
        addl    %edx, %ebp
        zero_within 0, TEXT_BASE
        zero_within GUEST_STACK_BASE + GUEST_STACK_SIZE, STAGING_BASE
        zero_within STAGING_BASE + STAGING_SIZE, 0xFFFFFFFF
        ret
        .cfi_endproc

/* Zero ECX bytes from EDI, and verify them. */
zero:   frame_32
        pushl   %ecx
        .cfi_adjust_cfa_offset 4
        pushl   %edi
        .cfi_adjust_cfa_offset 4
        xorl    %eax, %eax
        movl    %ecx, %esi
        shrl    $2, %ecx
        rep stosl
        movl    %esi, %ecx
        andl    $3, %ecx
        rep stosb
        popl    %edi
        .cfi_adjust_cfa_offset -4
        popl    %ecx
        .cfi_adjust_cfa_offset -4
        shrl    $2, %ecx
        repe scasl
        jne     1f
        movl    %esi, %ecx
        andl    $3, %ecx
        repe scasb
        jne     1f
        ret
1:      movl    $not_zero, %esi
        jmp     refuse
        .cfi_endproc
