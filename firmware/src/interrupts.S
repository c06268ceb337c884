/* Interrupt entry points, and the transitions to and from ring 3 (SDM volume 3, 6.14).

   No handler lets data of the kernel reach ring 3: all registers except the result are zeroed, and the unused part of
   the stack is scrubbed before every IRETQ. */
#include "layout.h"

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
        pushq   $2                      /* bit 1 always reads as 1 */
        popfq
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

        .text
        .code64

/* INT 80h from ring 3, on the call stack. The guest's registers are not preserved: the gate needs none of them. */
        .globl  host_call_entry
host_call_entry:
        known_flags
        pushq   $0                      /* alignment; overwrites what known_flags left there */
        movq    %rdi, %rsi
        movq    %rax, %rdi
        call    host_call
        movq    %rax, %rbx
        scrub_stack CALL_STACK_BASE, CALL_STACK_BASE + CALL_STACK_SIZE - CALL_FRAME, CHANNEL_CALL
        movq    %rbx, %rax
        xorl    %ebx, %ebx
        addq    $8, %rsp
        zero_vector_registers
        zero_x87
        jmp     return_to_guest

/* Timer and external interrupts, on their own stack, with the vector pushed. Registers of ring 3 are preserved. */
irq_entry:
        known_flags
        .irp    register, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
        pushq   %\register
        .endr
        movq    72(%rsp), %rdi
        call    irq
        scrub_stack IRQ_STACK_BASE, IRQ_STACK_BASE + IRQ_STACK_SIZE - IRQ_FRAME, CHANNEL_IRQ
        .irp    register, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
        movq    (%rsp), %\register
        movq    $0, (%rsp)
        leaq    8(%rsp), %rsp
        .endr
        movq    $0, (%rsp)
        leaq    8(%rsp), %rsp
        iretq

/* Exceptions end the enclave, so the registers need not be preserved. */
exception_entry:
        known_flags
        movq    %rsp, %rdi              /* struct trap_frame */
        andq    $-16, %rsp
        call    exception

spurious_entry:
        iretq

/* void enter_guest(u64 rip, u64 rsp): enter ring 3 with all registers zero. leave_guest() makes it return. */
        .globl  enter_guest
        .type   enter_guest, @function
enter_guest:
        .irp    register, rbx, rbp, r12, r13, r14, r15
        pushq   %\register
        .endr
        movq    %rsp, kernel_rsp(%rip)
        pushq   $USER_DATA
        pushq   %rsi
        pushq   $0x202                  /* IF */
        pushq   $USER_CODE
        pushq   %rdi
        zero_vector_registers
        zero_x87
        xorl    %eax, %eax
        xorl    %ebx, %ebx
/* RAX is the result; RBX is already zero. */
return_to_guest:
        .irp    register, ecx, edx, esi, edi, ebp, r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d
        xorl    %\register, %\register
        .endr
        iretq

/* void leave_guest(void): drop the guest's frame and return from enter_guest(). */
        .globl  leave_guest
        .type   leave_guest, @function
leave_guest:
        movq    kernel_rsp(%rip), %rsp
        movq    $0, kernel_rsp(%rip)
        .irp    register, r15, r14, r13, r12, rbp, rbx
        popq    %\register
        .endr
        .irp    register, eax, ecx, edx, esi, edi, r8d, r9d, r10d, r11d
        xorl    %\register, %\register
        .endr
        zero_vector_registers
        zero_x87
        ret

/* void idle(void): sleep until an interrupt has been handled. STI takes effect after HLT has begun. */
        .globl  idle
        .type   idle, @function
idle:   sti
        hlt
        cli
        ret

/* A stub of 16 bytes for each vector: push an error code if the processor did not, and the vector. */
        .balign 16
        .globl  interrupt_stubs
interrupt_stubs:
        .set    vector, 0
        .rept   256
        .balign 16
        .if     vector == VECTOR_HOST_CALL
        jmp     host_call_entry
        .elseif vector == VECTOR_SPURIOUS
        jmp     spurious_entry
        .elseif vector >= 32
        pushq   $vector
        jmp     irq_entry
        .else
        .if     vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
        .else
        pushq   $0
        .endif
        pushq   $vector
        jmp     exception_entry
        .endif
        .set    vector, vector + 1
        .endr

        .bss
        .balign 8
kernel_rsp:
        .skip   8
