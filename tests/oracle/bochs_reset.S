/* The ROM that Bochs starts: from the reset vector to 32-bit protected mode (SDM volume 3, 10.1.4 and 10.9.1); then it
   copies what our boot loader has made of RAM, and goes on at the image's entry. bochs.py fills in `start`. */
        .code16
        .text
rom:    cli
        lgdtl %cs:(gdt_pointer - rom)
        movl %cr0, %eax
        orl $1, %eax
        movl %eax, %cr0
        ljmpl $8, $protected
        .code32
protected:
        movl $16, %eax
        .irp segment, ds, es, ss, fs, gs
        movl %eax, %\segment
        .endr
        cld
        movl start, %ebx
copy:   movl (%ebx), %esi               /* source, destination, bytes */
        movl 4(%ebx), %edi
        movl 8(%ebx), %ecx
        jecxz done
        shrl $2, %ecx
        rep movsl
        addl $12, %ebx
        jmp copy
done:   movl start + 4, %eax
        movl start + 8, %ebx
        jmpl *start + 12

        .balign 8
gdt:    .quad 0
        .quad 0x00CF9B000000FFFF
        .quad 0x00CF93000000FFFF
gdt_pointer:
        .short gdt_pointer - gdt - 1
        .long gdt
        .globl start
start:  .long 0, 0, 0, 0                /* the table of what to copy; EAX, EBX, EIP */

        .org 0xFFF0
        .code16
        .globl _start
_start: ljmp $0xF000, $0                /* the ROM is at F0000H, too */
        .org 0x10000
