/* runner: computes for longer than a time slice without a host call, with a secret in every register.
   Expected: emits the number of rounds, 20000, then 0 if no register was changed from outside; COMPLETED. */
#include "flat.h"
#define ROUNDS          20000

        .irp    register, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        movabsq $0x5EC2E75EC2E75EC2, %\register
        .endr
        movq    %rdx, %xmm5
        xorl    %ebx, %ebx
        movl    $ROUNDS, %ecx
1:      incl    %ebx
        nop
        addq    $1, HEAP
        decl    %ecx
        jnz     1b
        movq    %xmm5, %rax
        .irp    register, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        xorq    %rdx, %rax
        xorq    %\register, %rax
        .endr
        xorq    %rdx, %rax
        orl     %ecx, %eax
        movl    %eax, HEAP + 8
        cmpl    HEAP, %ebx
        setne   HEAP + 12
        emit    %ebx
        movl    HEAP + 8, %edi
        orl     HEAP + 12, %edi
        aether  EMIT_SIGNAL
        aether  RETURNED
        ud2
