/* Entry from the Multiboot2 loader: 32-bit protected mode, paging off (Multiboot2 specification 3.3).

   First the kernel takes custody of what the loader left lying about: boot information and modules are copied to
   where they belong, and the originals are zeroed. Then long mode (SDM volume 3, 9.8.5). */
#include "layout.h"

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
        .short  1, 0                    /* information request: command line, modules */
        .long   16, 1, 3
        .balign 8
        .short  6, 0                    /* modules on page boundaries */
        .long   8
        .balign 8
        .short  0, 0
        .long   8
header_end:

        .text
        .code32
        .globl  _start
        .type   _start, @function
_start: cli
        cld
        movl    $(KERNEL_STACK_BASE + KERNEL_STACK_SIZE), %esp
        cmpl    $MULTIBOOT2_MAGIC, %eax
        movb    $0xE1, %al              /* POST codes E1-E3: not started by a Multiboot2 loader, too much to stage */
        jne     refuse
        movl    (%ebx), %ecx            /* total size of the boot information */
        movb    $0xE2, %al
        cmpl    $BOOT_INFORMATION_SIZE, %ecx
        ja      refuse
        movl    %ebx, %esi
        movl    $boot_information, %edi
        call    move

        /* Each module goes to the staging area, one behind the other on cache-line boundaries. */
        movl    $STAGING_BASE, %edi
        movl    $boot_information + 8, %ebx
next:   movl    (%ebx), %eax
        cmpl    $TAG_END, %eax
        je      staged
        cmpl    $TAG_MODULE, %eax
        jne     skip
        movl    payload_count, %edx
        movb    $0xE3, %al
        cmpl    $PAYLOADS_MAX, %edx
        jae     refuse
        movl    8(%ebx), %esi
        movl    12(%ebx), %ecx
        subl    %esi, %ecx
        leal    (%edi,%ecx), %ebp
        cmpl    $(STAGING_BASE + STAGING_SIZE), %ebp
        ja      refuse
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

staged: movl    $CR4_SET, %eax
        movl    %eax, %cr4
        movl    $PML4_ACTIVE, %eax
        movl    %eax, %cr3
        movl    $EFER, %ecx
        movl    $EFER_SET, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $CR0_SET, %eax
        movl    %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $KERNEL_CODE, $long_mode

/* Move ECX bytes from ESI to EDI and zero the source. EDI ends behind the copy; EBX and EDI's tail are kept. */
move:   pushl   %ecx
        pushl   %esi
        movl    %ecx, %edx
        shrl    $2, %ecx
        rep movsl
        movl    %edx, %ecx
        andl    $3, %ecx
        rep movsb
        movl    %edi, %ebp
        popl    %edi
        popl    %edx
        xorl    %eax, %eax
        movl    %edx, %ecx
        shrl    $2, %ecx
        rep stosl
        movl    %edx, %ecx
        andl    $3, %ecx
        rep stosb
        movl    %ebp, %edi
        ret

refuse: outb    %al, $POST_PORT
1:      hlt
        jmp     1b

        .code64
long_mode:
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
        .skip   8 * PAYLOADS_MAX
payload_count:
        .skip   4
