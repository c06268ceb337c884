/* Runs the programs of a module one after another and stores the state each ends in.

   A program runs in ring 0 or 3 and ends by any exception or interrupt: INT 0x80 behind its code, a fault, or the APIC
   timer. Every gate takes IST1, so that a ring-0 program may do with its stack what it likes. While programs run
   nothing but their own pages is mapped below 4 GiB; the runner is where all of RAM is mapped, at HIGH. It is linked
   low and addresses everything by RIP, so it runs at both places. Names of fields: layout.inc. */
#include "layout.inc"

#define P 1
#define W 2
#define U 4
#define PCD 0x10
#define PS 0x80
#define NX_HIGH 0x80000000
#define CR4_VALUE 0x620                 /* OSXMMEXCPT, OSFXSR, PAE */
#define CR0_VALUE 0x80010033            /* PG, WP, NE, ET, MP, PE */
#define K64 0x08
#define KD 0x10
#define UD 0x1B
#define U64 0x23
#define TSS 0x28

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
        movl %ebx, information
        movl $(pdpt_boot + (P | W)), pml4
        movl $(pdpt_high + (P | W)), pml4 + 8 * 384
        movl $(pd_high + (P | W)), pdpt_boot
        movl $(pd_high + (P | W)), pdpt_high
        movl $(pd_apic + (P | W)), pdpt_high + 8 * 3
        movl $(0xFEE00000 + (P | W | PCD | PS)), pd_apic + 8 * 503
        xorl %ecx, %ecx
1:      movl %ecx, %eax
        shll $21, %eax
        orl $(P | W | PS), %eax
        movl %eax, pd_high(, %ecx, 8)
        incl %ecx
        cmpl $32, %ecx
        jne 1b
        movl $(pd_low + (P | W | U)), pdpt_low
        movl $(pt_low + (P | W | U)), pd_low + 8 * 2
        .macro PAGE address, frame, flags, high
        movl $\frame, pt_low + 8 * ((\address >> 12) & 511)
        orl $(\flags), pt_low + 8 * ((\address >> 12) & 511)
        movl $\high, pt_low + 8 * ((\address >> 12) & 511) + 4
        .endm
        PAGE CODE, code_page, P | U, 0
        PAGE DATA, data_page, P | W | U, NX_HIGH
        PAGE STACK, stack_page, P | W | U, NX_HIGH
        PAGE CONSTANT, constant_page, P | U, NX_HIGH
        PAGE SUPERVISOR, constant_page, P, NX_HIGH
        movl $CR4_VALUE, %eax
        movl %eax, %cr4
        movl $pml4, %eax
        movl %eax, %cr3
        movl $0xC0000080, %ecx
        rdmsr
        orl $0x900, %eax                /* EFER: LME, NXE */
        wrmsr
        movl $CR0_VALUE, %eax
        movl %eax, %cr0
        lgdt boot_gdt_pointer
        ljmp $K64, $start64

        .code64
        .type start64, @function
start64:
        movabsq $(start_high + HIGH), %rax
        jmpq *%rax
        .type start_high, @function
start_high:
        movabsq $HIGH, %r15
        movl $KD, %eax
        movl %eax, %ss
        leaq kernel_stack(%rip), %rsp
        /* The module, before anything is stored outside the image; then what programs may see replaces low memory. */
        movl information(%rip), %ebx
        addq %r15, %rbx
        movl (%rbx), %ecx
        addq %rbx, %rcx
        addq $8, %rbx
1:      cmpl $3, (%rbx)                 /* Multiboot2 tag: module */
        je 2f
        movl 4(%rbx), %eax
        addl $7, %eax
        andl $-8, %eax
        addq %rax, %rbx
        cmpq %rcx, %rbx
        jb 1b
        jmp finish
2:      movl 8(%rbx), %esi
        movl 12(%rbx), %ecx
        subl %esi, %ecx
        addq %r15, %rsi
        leaq INPUT(%r15), %rdi
        rep movsb
        leaq pml4(%rip), %rax
        movl $(pdpt_low + (P | W | U)), (%rax)
        movq %cr3, %rax
        movq %rax, %cr3
        leaq stubs(%rip), %rax          /* 256 interrupt gates on IST1; only INT3, INTO and END from ring 3 */
        leaq idt(%rip), %rdi
        xorl %ecx, %ecx
3:      movq %rax, %rdx
        movw %dx, (%rdi)
        movw $K64, 2(%rdi)
        movw $0x8E01, 4(%rdi)
        shrq $16, %rdx
        movw %dx, 6(%rdi)
        shrq $16, %rdx
        movl %edx, 8(%rdi)
        addq $16, %rax
        addq $16, %rdi
        incl %ecx
        cmpl $256, %ecx
        jne 3b
        .irp vector, 3, 4, VECTOR_END
        movb $0xEE, idt + 16 * \vector + 5(%rip)
        .endr
        leaq tss(%rip), %rax            /* base of the TSS descriptor */
        movw %ax, gdt_original + TSS + 2(%rip)
        shrq $16, %rax
        movb %al, gdt_original + TSS + 4(%rip)
        movb %ah, gdt_original + TSS + 7(%rip)
        shrq $16, %rax
        movl %eax, gdt_original + TSS + 8(%rip)
        call copy_gdt
        leaq kernel_stack(%rip), %rax
        movq %rax, tss + 4(%rip)
        leaq ist_stack(%rip), %rax
        movq %rax, tss + 36(%rip)
        .irp pointer, gdt, idt
        leaq \pointer(%rip), %rax
        movq %rax, \pointer\()_pointer + 2(%rip)
        l\pointer \pointer\()_pointer(%rip)
        .endr
        xorl %eax, %eax
        lldt %ax
        movl $TSS, %eax
        ltr %ax
        movb $0x8B, gdt_original + TSS + 5(%rip)        /* busy from now on */
        movb $0xFF, %al                 /* mask the 8259 pair */
        outb %al, $0x21
        outb %al, $0xA1
        movabsq $LAPIC, %rbx
        movl $0x1FF, 0xF0(%rbx)         /* SVR: enabled, spurious vector 0xFF */
        movl $0xB, 0x3E0(%rbx)          /* divide by 1 */
        movl $VECTOR_TIMER, 0x320(%rbx) /* LVT timer: one-shot */
        leaq INPUT(%r15), %rbx
        movl 4(%rbx), %eax
        shll $9, %eax
        leaq HEADER_SIZE(%rbx, %rax), %rsi
        movq %rsi, pool(%rip)
        leaq POOL_SIZE(%rsi), %rax
        movq %rax, record(%rip)
        leaq constant_page(%rip), %rdi
        movl $512, %ecx
        rep movsq
        leaq OUTPUT(%r15), %rax
        movq %rax, state(%rip)

        .type next_program, @function
next_program:
        leaq kernel_stack(%rip), %rsp
        movabsq $(INPUT + HIGH), %rsi
        movl done(%rip), %eax
        cmpl (%rsi), %eax
        jae finish
        movq record(%rip), %rbx
        call copy_gdt
        leaq code_page(%rip), %rdi
        movl $0xCCCCCCCC, %eax
        movl $1024, %ecx
        rep stosl
        leaq code_page(%rip), %rdi
        leaq RECORD_CODE(%rbx), %rsi
        movl RECORD_LENGTH(%rbx), %ecx
        rep movsb
        movw $(0xCD | VECTOR_END << 8), (%rdi)
        movl RECORD_POOL(%rbx), %esi
        addq pool(%rip), %rsi
        leaq data_page(%rip), %rdi
        movl $512, %ecx
        rep movsq
        leaq stack_page(%rip), %rdi
        movl $512, %ecx
        rep movsq
        movl RECORD_FX(%rbx), %eax
        shll $9, %eax
        movabsq $(INPUT + HEADER_SIZE + HIGH), %rsi
        fxrstor (%rsi, %rax)
        xorl %eax, %eax
        movq %rax, %cr2
        movl $CR0_VALUE, %eax
        movq %rax, %cr0
        movl $UD, %eax
        .irp segment, ds, es, fs, gs
        movl %eax, %\segment
        .endr
        .macro MSR number, value
        movl $\number, %ecx
        movl \value, %eax
        movl 4 + \value, %edx
        wrmsr
        .endm
        MSR 0xC0000100, RECORD_FS_BASE(%rbx)
        MSR 0xC0000101, RECORD_GS_BASE(%rbx)
        MSR 0xC0000102, RECORD_FS_BASE(%rbx)
        movl $UD, %eax
        movl $U64, %ecx
        cmpl $0, RECORD_RING(%rbx)
        jne 1f
        movl $KD, %eax
        movl $K64, %ecx
1:      pushq %rax
        pushq RECORD_REGISTERS + 8 * 4(%rbx)
        pushq RECORD_RFLAGS(%rbx)
        pushq %rcx
        pushq $CODE
        movl RECORD_TIMER(%rbx), %eax
        movabsq $LAPIC, %rdx
        /* From here to the program are 16 instructions: TIMER_LEAD in layout.py. */
        movl %eax, 0x380(%rdx)
        .set i, 15
        .irp register, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp
        movq RECORD_REGISTERS + 8 * i(%rbx), %\register
        .set i, i - 1
        .endr
        movq RECORD_REGISTERS + 8 * 2(%rbx), %rdx
        movq RECORD_REGISTERS + 8 * 1(%rbx), %rcx
        movq RECORD_REGISTERS + 8 * 0(%rbx), %rax
        movq RECORD_REGISTERS + 8 * 3(%rbx), %rbx
        iretq

finish: cli
        hlt
        jmp finish

        .type copy_gdt, @function
copy_gdt:
        leaq gdt_original(%rip), %rsi
        leaq gdt(%rip), %rdi
        movl $(GDT_SIZE / 8), %ecx
        rep movsq
        ret

/* The stack holds the vector, an error code for some, RIP, CS, RFLAGS, RSP, SS. */
        .type ended, @function
ended:  cmpb $0, draining(%rip)
        jne drained
        movq %rax, saved(%rip)
        movabsq $LAPIC, %rax
        movl 0x390(%rax), %eax
        movl %eax, time_left(%rip)
        movabsq $LAPIC, %rax
        movl $0, 0x380(%rax)
        movq saved(%rip), %rax
        pushq %rdi
        cld
        movq state(%rip), %rdi
        .set i, 0
        .irp register, rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
        movq %\register, STATE_REGISTERS + 8 * i(%rdi)
        .set i, i + 1
        .endr
        popq %rax
        movq %rax, STATE_REGISTERS + 8 * 7(%rdi)
        movq %rdi, %rbx
        popq %rbp
        movq %rbp, STATE_VECTOR(%rbx)
        movq $-1, %rax
        leaq ist_stack - 40(%rip), %rcx
        cmpq %rcx, %rsp
        je 1f
        popq %rax
1:      movq %rax, STATE_ERROR(%rbx)
        .set i, 0
        .rept 5
        popq STATE_RIP + 8 * i(%rbx)
        .set i, i + 1
        .endr
        movq STATE_RIP + 8 * 3(%rbx), %rax
        movq %rax, STATE_REGISTERS + 8 * 4(%rbx)
        movq %cr2, %rax
        movq %rax, STATE_CR2(%rbx)
        movq %cr0, %rax
        movq %rax, STATE_CR0(%rbx)
        movl time_left(%rip), %eax
        movq %rax, STATE_TIMER(%rbx)
        .set i, 0
        .irp segment, ds, es, fs, gs
        movw %\segment, STATE_SELECTORS + 2 * i(%rbx)
        .set i, i + 1
        .endr
        .macro READ_MSR number, place
        movl $\number, %ecx
        rdmsr
        movl %eax, \place(%rbx)
        movl %edx, \place + 4(%rbx)
        .endm
        READ_MSR 0xC0000100, STATE_FS_BASE
        READ_MSR 0xC0000101, STATE_GS_BASE
        READ_MSR 0xC0000102, STATE_KERNEL_GS_BASE
        .macro STORE source, place, size
        leaq \source(%rip), %rsi
        leaq \place(%rbx), %rdi
        movl $(\size / 8), %ecx
        rep movsq
        .endm
        STORE gdt, STATE_GDT, GDT_SIZE
        clts
        fxsave STATE_FX(%rbx)
        STORE data_page, STATE_DATA, 4096
        STORE stack_page, STATE_STACK, 4096
        /* The timer's interrupt is over, or must not wait for the next program. */
        movabsq $LAPIC, %rdx
        cmpl $VECTOR_TIMER, %ebp
        jne 2f
        movl $0, 0xB0(%rdx)
2:      btl $(VECTOR_TIMER & 31), 0x200 + (VECTOR_TIMER / 32 * 16)(%rdx)
        jnc 3f
        movb $1, draining(%rip)
        sti
        nop
        nop
        cli
        movb $0, draining(%rip)
3:      addq $STATE_SIZE, state(%rip)
        incl done(%rip)
        movq record(%rip), %rbx
        movl RECORD_SIZE(%rbx), %eax
        addq %rax, record(%rip)
        jmp next_program
drained:
        pushq %rdx
        movabsq $LAPIC, %rdx
        movl $0, 0xB0(%rdx)
        popq %rdx
        addq $8, %rsp
        iretq

        .balign 16
stubs:  .set vector, 0
        .rept 256
        .balign 16
        pushq $vector
        jmp ended
        .set vector, vector + 1
        .endr

        .data
        .balign 16
gdt_original:
        .quad 0
        .quad 0x00AF9B000000FFFF        /* 08 kernel code */
        .quad 0x00CF93000000FFFF        /* 10 kernel data */
        .quad 0x00CFF3000000FFFF        /* 18 user data */
        .quad 0x00AFFB000000FFFF        /* 20 user code */
        .quad 0x0000890000000000 + TSS_LIMIT    /* 28 task */
        .quad 0
        .quad 0x00CF73000000FFFF        /* 38 user data, absent */
        .quad 0x00CFF1000000FFFF        /* 40 user data, read only */
        .quad 0x00AFF9000000FFFF        /* 48 user code, execute only */
        .quad 0x00AF9F000000FFFF        /* 50 conforming code */
        .quad 0x00CFF2000000FFFF        /* 58 user data, not yet accessed */
        .quad 0x0040F70000041234        /* 60 user data, expand down, byte granular */
        .quad 0x0041F30000000ABC        /* 68 user data, byte granular */
        .quad 0x00CFFB000000FFFF        /* 70 user 32-bit code */
        .quad 0x0000EC0000080000        /* 78 call gate to nowhere */
        .quad 0x00000000FFFF8000
        .quad 0x00008200000000FF        /* 88 LDT */
        .quad 0
        .quad 0x0000850000080000        /* 98 task gate, no such thing in long mode */
        .quad 0x00CFF3000000FFFF        /* A0 user data */
        .quad 0
        .ifne (. - gdt_original) - GDT_SIZE
        .error "GDT_SIZE does not fit the table"
        .endif
        .balign 8
tss:    .fill 102, 1, 0
        .short 104
        .fill 0x80 / 8, 1, 0xFF         /* ports 0x80 and 0xE0 to 0xE7 are open to ring 3 */
        .byte 0xFE
        .fill 0xE0 / 8 - 0x80 / 8 - 1, 1, 0xFF
        .byte 0x00
        .byte 0xFF
TSS_LIMIT = . - tss - 1
        .balign 8
boot_gdt_pointer: .short GDT_SIZE - 1
        .quad gdt_original
gdt_pointer: .short GDT_SIZE - 1
        .quad 0
idt_pointer: .short 4095
        .quad 0
        .balign 8
information: .long 0
done:   .long 0
time_left: .long 0
draining: .long 0
pool:   .quad 0
record: .quad 0
state:  .quad 0
saved:  .quad 0
        .globl done

        .bss
        .balign 4096
        .irp table, pml4, pdpt_boot, pdpt_high, pd_high, pd_apic, pdpt_low, pd_low, pt_low
\table: .skip 4096
        .endr
        .irp page, code_page, data_page, stack_page, constant_page, idt
\page:  .skip 4096
        .endr
gdt:    .skip GDT_SIZE
        .balign 4096
        .skip 4096
kernel_stack:
        .skip 4096
ist_stack:
