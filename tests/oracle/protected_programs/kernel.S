/* Runs the programs of a module one after another, each as a task of its own in protected mode without paging, and
   stores the state each ends in.

   A program begins by a task switch, which loads all its registers from a TSS, and ends by any exception or interrupt:
   each vector has a task gate, so that the TSS gets all registers back whatever the program did to its stack (SDM
   volume 3, 8.3). Everything that a program may change is put back before the next one. Names: layout.inc. */
#include "layout.inc"

        .section .multiboot, "a", @progbits
        .balign 8
header: .long 0xE85250D6, 0, header_end - header, -(0xE85250D6 + header_end - header)
        .short 0, 0
        .long 8
header_end:

        .text
        .code32
        .globl _start
        .type _start, @function
_start: cli
        cld
        movl $kernel_stack, %esp
        movl (%ebx), %ecx               /* the module, before anything is stored outside the image */
        addl %ebx, %ecx
        addl $8, %ebx
1:      cmpl $3, (%ebx)                 /* Multiboot2 tag: module */
        je 2f
        movl 4(%ebx), %eax
        addl $7, %eax
        andl $-8, %eax
        addl %eax, %ebx
        cmpl %ecx, %ebx
        jb 1b
        jmp finish
2:      movl 8(%ebx), %esi
        movl 12(%ebx), %ecx
        subl %esi, %ecx
        movl $INPUT, %edi
        rep movsb
        movb $0xFF, %al                 /* mask the 8259 pair */
        outb %al, $0x21
        outb %al, $0xA1

        /* The bases of the descriptors that have one of ours, and the handlers' task states. */
        movl $bases, %esi
3:      lodsl
        testl %eax, %eax
        jz 4f
        movl %eax, %edi
        lodsl
        call set_base
        jmp 3b
4:      movl $handlers_original, %ebx
        movl $handlers, %ebp
        movl $stubs, %edx
        movl $(gdt_original + HANDLERS), %edi
        movl $HANDLER_COUNT, %ecx
5:      movl $0x67, (%edi)
        movl $0x8900, 4(%edi)
        movl %ebp, %eax
        call set_base
        movl %edx, 32(%ebx)             /* EIP */
        movl $2, 36(%ebx)               /* EFLAGS */
        movl $handler_stack, 56(%ebx)   /* ESP */
        movl $KERNEL_CODE, 76(%ebx)     /* CS; ES, SS, DS, FS, GS */
        .irp offset, 72, 80, 84, 88, 92
        movl $KERNEL_DATA, \offset(%ebx)
        .endr
        movl $0x680000, 100(%ebx)
        addl $TASK_SIZE, %ebx
        addl $TASK_SIZE, %ebp
        addl $16, %edx
        addl $8, %edi
        loop 5b
        movl $idt, %edi                 /* a task gate for each of their vectors */
        movl $(HANDLERS << 16), %eax
        movl $(HANDLER_COUNT - 1), %ecx
6:      movl %eax, (%edi)
        movl $0x8500, 4(%edi)
        addl $(8 << 16), %eax
        addl $8, %edi
        loop 6b
        movl %eax, idt + 8 * VECTOR_END
        .irp vector, 3, 4, VECTOR_END   /* INT3, INTO, the end */
        movl $0xE500, idt + 8 * \vector + 4
        .endr
        movl $(INPUT + HEADER_SIZE + 2 * PAGE_SIZE), record
        movl $OUTPUT, state

        .type next_program, @function
next_program:
        movl done, %eax
        cmpl INPUT, %eax
        jae finish
        movl record, %ebx
        .macro COPY from, to, size
        movl $\from, %esi
        movl $\to, %edi
        movl $(\size / 4), %ecx
        rep movsl
        .endm
        COPY gdt_original, gdt, GDT_SIZE
        COPY ldt_original, ldt, LDT_SIZE
        COPY handlers_original, handlers, TASK_SIZE * HANDLER_COUNT
        COPY other_original, other, TASK_SIZE
        COPY other16_original, other16, 44
        COPY INPUT + HEADER_SIZE, DATA, PAGE_SIZE
        COPY INPUT + HEADER_SIZE + PAGE_SIZE, STACK, PAGE_SIZE
        .macro PATCH from, to, size
        leal \from(%ebx), %esi
        movl $(\to), %edi
        movl $(\size / 4), %ecx
        rep movsl
        .endm
        PATCH RECORD_DATA, DATA + OPERANDS, PATCH_SIZE
        PATCH RECORD_STACK, STACK + FRAME, PATCH_SIZE
        PATCH RECORD_TASK, program, TASK_SIZE
        movl $CODE, %edi
        movl $0xCCCCCCCC, %eax
        movl $(PAGE_SIZE / 4), %ecx
        rep stosl
        movl $CODE, %edi
        leal RECORD_CODE(%ebx), %esi
        movl RECORD_LENGTH(%ebx), %ecx
        rep movsb
        movw $(0xCD | VECTOR_END << 8), (%edi)
        lgdt gdt_pointer
        lidt idt_pointer
        movl $0x400, %eax               /* first DR7, whose GD forbids the rest */
        movl %eax, %db7
        movl $0xFFFF0FF0, %eax
        movl %eax, %db6
        movl $KERNEL_DATA, %eax
        .irp segment, ds, es, ss, fs, gs
        movl %eax, %\segment
        .endr
        xorl %eax, %eax
        movl %eax, %cr2
        movl %eax, %cr3
        movl %eax, %cr4
        .irp number, 0, 1, 2, 3
        movl %eax, %db\number
        .endr
        lldt %ax
        ljmp $KERNEL_CODE, $1f
1:      movl $RUNNER, %eax
        ltr %ax
        movl $0x11, %eax                /* PE, ET; the task switch sets TS */
        movl %eax, %cr0
        ljmp $PROGRAM, $0
        jmp next_program                /* the handler comes back to here */

        .globl finish
finish: cli
        hlt
        jmp finish

/* Base EAX into the descriptor at EDI. */
        .type set_base, @function
set_base:
        pushl %eax
        movw %ax, 2(%edi)
        shrl $16, %eax
        movb %al, 4(%edi)
        movb %ah, 7(%edi)
        popl %eax
        ret

/* In a handler's task. Its stack holds the vector's number among the handlers, and below that an error code for some. */
        .type ended, @function
ended:  cld
        popl %ebx
        movl state, %edi
        cmpl $(HANDLER_COUNT - 1), %ebx
        movl %ebx, %eax
        jne 1f
        movl $VECTOR_END, %eax
1:      movl %eax, STATE_VECTOR(%edi)
        movl $-1, %eax
        cmpl $handler_stack, %esp
        je 2f
        popl %eax
2:      movl %eax, STATE_ERROR(%edi)
        imull $TASK_SIZE, %ebx, %eax
        movzwl handlers(%eax), %eax
        movl %eax, STATE_INTERRUPTED(%edi)
        .set place, STATE_CONTROL
        .irp register, cr0, cr2, cr3, cr4
        movl %\register, %eax
        movl %eax, place(%edi)
        .set place, place + 4
        .endr
        clts
        sgdt STATE_GDTR(%edi)
        sidt STATE_GDTR + 8(%edi)
        movl %edi, %ebx
        .macro STORE from, place, size
        movl $(\from), %esi
        leal \place(%ebx), %edi
        movl $(\size / 4), %ecx
        rep movsl
        .endm
        STORE program, STATE_TASK, TASK_SIZE
        STORE other, STATE_OTHER, TASK_SIZE
        STORE other16, STATE_OTHER_16, 44
        STORE ldt, STATE_LDT, LDT_SIZE
        STORE gdt, STATE_GDT, GDT_SIZE
        STORE DATA, STATE_DATA, SHOWN
        STORE STACK + SHOWN_STACK, STATE_STACK, SHOWN
        addl $STATE_SIZE, state
        incl done
        movl record, %eax
        movl RECORD_SIZE(%eax), %ecx
        addl %ecx, %eax
        movl %eax, record
        lgdt gdt_pointer
        ljmp $RUNNER, $0

        .balign 16
stubs:  .set number, 0
        .rept HANDLER_COUNT
        .balign 16
        pushl $number
        jmp ended
        .set number, number + 1
        .endr

        .data
        .balign 8
        .macro SEGMENT base, access, flags=0x40
        .short 0xFFF, \base & 0xFFFF
        .byte \base >> 16, \access, \flags, 0
        .endm
        .macro GATE selector, offset, access, parameters
        .short \offset, \selector
        .byte \parameters, \access
        .short 0
        .endm
        .macro SYSTEM limit, access
        .short \limit, 0
        .byte 0, \access, 0, 0
        .endm
gdt_original:
        .quad 0
        .quad 0x00CF9B000000FFFF        /* KERNEL_CODE */
        .quad 0x00CF93000000FFFF        /* KERNEL_DATA */
        SEGMENT CODE, 0x9B              /* CODE_0, DATA_0, STACK_0 */
        SEGMENT DATA, 0x93
        SEGMENT STACK, 0x93
        SEGMENT CODE, 0x9B, 0           /* CODE16_0, DATA16_0, STACK16_0 */
        SEGMENT DATA, 0x93, 0
        SEGMENT STACK, 0x93, 0
        SEGMENT CODE, 0xBB              /* CODE_1, STACK_1 */
        SEGMENT STACK, 0xB3
        SEGMENT CODE, 0xFB              /* CODE_3, DATA_3, STACK_3 */
        SEGMENT DATA, 0xF3
        SEGMENT STACK, 0xF3
        SEGMENT CODE, 0xFB, 0           /* CODE16_3, DATA16_3, STACK16_3 */
        SEGMENT DATA, 0xF3, 0
        SEGMENT STACK, 0xF3, 0
        SEGMENT CODE, 0x9F              /* CONFORMING */
        .short 0x7F, DATA & 0xFFFF      /* EXPAND_DOWN_3 */
        .byte DATA >> 16, 0xF7, 0x40, 0
        .short 0x13F, DATA & 0xFFFF     /* SHORT_3 */
        .byte DATA >> 16, 0xF2, 0x40, 0
        SEGMENT DATA, 0x73              /* ABSENT_3 */
        SEGMENT DATA, 0xF0              /* READ_ONLY_3 */
        SEGMENT CODE, 0xF8              /* EXECUTE_ONLY_3 */
        SEGMENT CODE, 0x7B              /* ABSENT_CODE */
        SEGMENT DATA, 0xD3              /* DATA_2 */
        GATE CODE_0, TARGET, 0xEC, 2    /* GATE_INWARD, GATE_SAME, GATE16_INWARD, GATE_ABSENT, GATE_CONFORMING, GATE_CLOSED */
        GATE CODE_3, TARGET, 0xEC, 0
        GATE CODE_0, TARGET, 0xE4, 1
        GATE CODE_0, TARGET, 0x6C, 0
        GATE CONFORMING, TARGET, 0xEC, 0
        GATE CODE_0, TARGET, 0x8C, 0
        GATE OTHER, 0, 0xE5, 0          /* TASK_GATE */
        SYSTEM 0x67, 0xE9               /* OTHER, OTHER_16 */
        SYSTEM 0x2B, 0xE1
        SYSTEM 0x67, 0x69               /* TASK_ABSENT, TASK_SHORT, TASK_BUSY */
        SYSTEM 0x66, 0xE9
        SYSTEM 0x67, 0xEB
        SYSTEM LDT_SIZE - 1, 0x82       /* LDT */
        GATE CODE_0, TARGET, 0xEE, 0    /* INTERRUPT_GATE */
        SYSTEM 0x67, 0x89               /* RUNNER, PROGRAM */
        SYSTEM 0x67, 0x89
        .skip GDT_SIZE - (. - gdt_original)
ldt_original:                           /* 07, 0F, 17, 1F: null, data, code and stack of ring 3 */
        .quad 0
        SEGMENT DATA, 0xF3
        SEGMENT CODE, 0xFB
        SEGMENT STACK, 0xF3
        .skip LDT_SIZE - (. - ldt_original)
        .macro BASE selector, base
        .long gdt_original + \selector, \base
        .endm
bases:  BASE OTHER, other
        BASE OTHER_16, other16
        BASE TASK_ABSENT, other
        BASE TASK_SHORT, other
        BASE TASK_BUSY, other
        BASE LDT, ldt
        BASE RUNNER, runner
        BASE PROGRAM, program
        .long 0
other_original:                         /* a task of ring 0 that comes to an INT3 at once */
        .long 0, 0x900, STACK_0, 0, 0, 0, 0, 0, TARGET, 0x2
        .long 0xA0A0A0A0, 0xC1C1C1C1, 0xD2D2D2D2, 0xB3B3B3B3, 0x800, 0xB5B5B5B5, 0x51515151, 0xD1D1D1D1
        .long DATA_0, CODE_0, STACK_0, DATA_0, 0, 0, LDT, 0x680000
other16_original:
        .short 0, 0x900, STACK_0, 0, 0, 0, 0, TARGET, 0x2
        .short 0xA0A0, 0xC1C1, 0xD2D2, 0xB3B3, 0x800, 0xB5B5, 0x5151, 0xD1D1
        .short DATA_0, CODE16_0, STACK16_0, DATA_0, LDT
        .balign 8
gdt_pointer: .short GDT_SIZE - 1
        .long gdt
        .balign 8
idt_pointer: .short 8 * VECTOR_END + 7
        .long idt
        .balign 8
        .globl done
done:   .long 0
record: .long 0
state:  .long 0

        .bss
        .balign 4096
idt:    .skip 4096
gdt:    .skip GDT_SIZE
ldt:    .skip LDT_SIZE
        .balign 128
runner: .skip 128
program: .skip 128
other:  .skip 128
other16: .skip 128
handlers: .skip TASK_SIZE * HANDLER_COUNT
handlers_original: .skip TASK_SIZE * HANDLER_COUNT
        .balign 4096
        .skip 4096
kernel_stack:
        .skip 4096
handler_stack:
