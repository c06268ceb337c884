/* Interrupt entry points, and the transitions to and from ring 3 (SDM volume 3, 6.14).

   No handler lets data of the kernel reach ring 3: all registers except the result are zeroed, and the unused part of
   the stack is scrubbed before every IRETQ. */
#include "layout.h"
#include "frames.h"

        .macro  zero_vector_registers
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        pxor    %xmm\n, %xmm\n
        .endr
        .endm

        .macro  zero_x87
        fninit                          /* drops a pending exception of the guest */
        .rept   8
        fldz
        .endr
        fninit
        .endm

/* The processor enters with the flags of ring 3, except IF and TF: string instructions would run backwards with DF
   set, and SMAP has no effect while AC is set. */
        .macro  known_flags
        push_plain $2                   /* bit 1 always reads as 1 */
        popfq
        .cfi_adjust_cfa_offset -8
        .endm

/* Load the table registers again: a fault may have changed what they hold, which shows only when it is used. LTR takes
   only a task that is not busy. Clobbers RCX. */
        .macro  load_tables
        lgdt    gdt_pointer(%rip)
        lidt    idt_pointer(%rip)
        movb    $TASK_AVAILABLE, gdt + TASK_STATE + 5(%rip)
        movl    $TASK_STATE, %ecx
        ltr     %cx
        .endm

/* Scrub [base, end), by a channel of the engine if there is one. Clobbers RAX, RCX, RDI. */
        .macro  scrub_stack base, end, channel
        cmpb    $0, scrub_engine_present(%rip)
        jne     1f
        movl    $\base, %edi
        movl    $(\end - \base) / 8, %ecx
        xorl    %eax, %eax
        rep stosq
        jmp     2f
1:      movl    $(SCRUB + SCRUB_CHANNEL + 16 * \channel + 8), %ecx
        movl    $SCRUB_FILL, (%rcx)
2:
        .endm

        handlers_entry

        .text
        .code64

/* INT 80h from ring 3, on the call stack. The guest's registers are not preserved: the gate needs none of them. */
        .globl  host_call_entry
host_call_entry:
        frame_interrupted 0
        known_flags
        push_plain $0                   /* alignment; overwrites the remains of known_flags */
        movq    %rdi, %rsi
        movq    %rax, %rdi
        call    host_call
        movq    %rax, %rbx
        .cfi_undefined rbx
        scrub_stack CALL_STACK_BASE, CALL_STACK_BASE + CALL_STACK_SIZE - CALL_FRAME, CHANNEL_CALL
        movq    %rbx, %rax
        xorl    %ebx, %ebx
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        zero_vector_registers
        zero_x87
        jmp     return_to_guest
        .cfi_endproc

/* Timer and external interrupts, on their own stack, with the vector pushed. Registers of ring 3 are preserved. */
irq_entry:
        frame_interrupted 8
        known_flags
        .irp    register, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
        push_saved \register
        .endr
        movq    72(%rsp), %rdi
        call    irq
        scrub_stack IRQ_STACK_BASE, IRQ_STACK_BASE + IRQ_STACK_SIZE - IRQ_FRAME, CHANNEL_IRQ
        .irp    register, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
        movq    (%rsp), %\register
        .cfi_same_value \register
        movq    $0, (%rsp)
        leaq    8(%rsp), %rsp
        .cfi_adjust_cfa_offset -8
        .endr
        movq    $0, (%rsp)
        leaq    8(%rsp), %rsp
        .cfi_adjust_cfa_offset -8
        iretq
        .cfi_endproc

/* Exceptions end the enclave, so the registers need not be preserved. */
exception_entry:
        frame_interrupted 16
        known_flags
        movq    %rsp, %rdi              /* struct trap_frame */
        andq    $-16, %rsp              /* by 8: the processor has aligned the frame, and 7 words are on it */
        .cfi_adjust_cfa_offset 8
        call    exception

/* Debuggers look here for the frame of exception_entry, to which exception() would return, if it did. So RSP decides:
   24 bytes more are on other stacks than the last one: rsp + 40; rsp + 0, const4u, lt, lit24, mul, plus. */
spurious_entry:
        .cfi_escape 0x0F, 13, 0x77, FRAME_SIZE, 0x77, 0, 0x0C
        .cfi_escape IRQ_STACK_BASE & 0xFF, IRQ_STACK_BASE >> 8 & 0xFF, IRQ_STACK_BASE >> 16 & 0xFF, IRQ_STACK_BASE >> 24
        .cfi_escape 0x2D, 0x48, 0x1E, 0x22
        iretq
        .cfi_endproc

/* void enter_guest(u64 rip, u64 rsp): enter ring 3 with all registers zero. leave_guest() makes it return. */
        .globl  enter_guest
        .type   enter_guest, @function
enter_guest:
        .cfi_startproc
        .irp    register, rbx, rbp, r12, r13, r14, r15
        push_saved \register
        .endr
        movq    %rsp, kernel_rsp(%rip)
        push_plain $USER_DATA
        push_plain %rsi
        push_plain $0x202               /* IF */
        push_plain $USER_CODE
        push_plain %rdi
        zero_vector_registers
        zero_x87
        load_tables
        xorl    %eax, %eax
        xorl    %ebx, %ebx
        .cfi_endproc
/* RAX is the result; RBX is already zero. */
return_to_guest:
        frame_interrupted 0
        .irp    register, rbp, r12, r13, r14, r15
        .cfi_undefined \register
        .endr
        .irp    register, ecx, edx, esi, edi, ebp, r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d
        xorl    %\register, %\register
        .endr
        iretq
        .cfi_endproc

/* void leave_guest(void): drop the guest's frame and return from enter_guest(). */
        .globl  leave_guest
        .type   leave_guest, @function
leave_guest:
        .cfi_startproc
        movq    kernel_rsp(%rip), %rsp
        .cfi_def_cfa_offset 56          /* as left by enter_guest() */
        .set    offset, -56
        .irp    register, r15, r14, r13, r12, rbp, rbx
        .cfi_offset \register, offset
        .set    offset, offset + 8
        .endr
        movq    $0, kernel_rsp(%rip)
        .irp    register, r15, r14, r13, r12, rbp, rbx
        pop_saved \register
        .endr
        .irp    register, eax, ecx, edx, esi, edi, r8d, r9d, r10d, r11d
        xorl    %\register, %\register
        .endr
        zero_vector_registers
        zero_x87
        ret
        .cfi_endproc

/* void scrub_unused_stack(void): scrub the kernel's stack below the caller's frame: what earlier calls left there. */
        .globl  scrub_unused_stack
        .type   scrub_unused_stack, @function
scrub_unused_stack:
        .cfi_startproc
        leaq    -KERNEL_STACK_BASE(%rsp), %rcx
        cmpb    $0, scrub_engine_present(%rip)
        jne     1f
        movl    $KERNEL_STACK_BASE, %edi
        shrl    $3, %ecx
        xorl    %eax, %eax
        rep stosq
        ret
1:      movl    $(SCRUB + SCRUB_CHANNEL + 16 * CHANNEL_ANY), %eax
        movl    $KERNEL_STACK_BASE, (%rax)
        movl    %ecx, 4(%rax)
        movl    $SCRUB_FILL, 8(%rax)
        ret
        .cfi_endproc

/* void idle(void): sleep until an interrupt has been handled. STI takes effect after HLT has begun. */
        .globl  idle
        .type   idle, @function
idle:   .cfi_startproc
        sti
        hlt
        cli
        ret
        .cfi_endproc

/* A 16-byte stub per vector: push an error code if the processor did not, and the vector. */
        .balign 16
        .globl  interrupt_stubs
interrupt_stubs:
        frame_interrupted 0
        .set    vector, 0
        .rept   VECTORS
        .balign 16
        .cfi_def_cfa_offset FRAME_SIZE
        .if     vector == VECTOR_HOST_CALL
        jmp     host_call_entry
        .elseif vector == VECTOR_SPURIOUS
        jmp     spurious_entry
        .elseif vector >= 32
        push_plain $vector
        jmp     irq_entry
        .else
        .if     vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
        .cfi_def_cfa_offset FRAME_SIZE + 8
        .else
        push_plain $0
        .endif
        push_plain $vector
        jmp     exception_entry
        .endif
        .set    vector, vector + 1
        .endr
        .cfi_endproc

        .section .rodata, "a", @progbits
        .balign 8
        .globl  idt_pointer
idt_pointer:
        .short  16 * VECTORS - 1
        .quad   idt

        .bss
        .balign 8
kernel_rsp:
        .skip   8
