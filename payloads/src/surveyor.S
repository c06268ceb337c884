/* surveyor: looks for data that others have left, and leaves as much as it can itself.
   Expected: each cycle emits the status word, then 0, because nothing was found; COMPLETED. */
#include "flat.h"
#define SECRET          0x5EC2E75EC2E75EC2
#define DEFAULT_MXCSR   0x1F80
#define OWN_MXCSR       0x3F80          /* rounds down */
#define USER_DATA       0x1B

        .irp    register, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        orq     %\register, %rax        /* collect nonzero bits in RAX */
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movq    %xmm\n, %rcx
        orq     %rcx, %rax
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        movq    %mm\n, %rcx
        orq     %rcx, %rax
        .endr
        .irp    segment, ds, es, fs, gs
        movl    %\segment, %ecx
        orq     %rcx, %rax
        .endr
        stmxcsr -8(%rsp)
        movl    -8(%rsp), %ecx
        xorl    $DEFAULT_MXCSR, %ecx
        orq     %rcx, %rax
        movl    $0, -8(%rsp)

        movabsq $SECRET, %rdx
        leaq    -0x4000(%rsp), %rcx     /* the whole stack */
1:      orq     (%rcx), %rax
        movq    %rdx, (%rcx)
        addq    $8, %rcx
        cmpq    %rsp, %rcx
        jne     1b
        movl    $HEAP, %ecx             /* one word in each page of the heap */
2:      orq     (%rcx), %rax
        movq    %rdx, (%rcx)
        addq    $0x1008, %rcx
        cmpq    $(HEAP + HEAP_SIZE), %rcx
        jb      2b
        movq    %rax, HEAP + 8          /* a host call zeroes registers */
        aether  GET_STATUS
        emit    %eax
        movq    HEAP + 8, %rax
        movq    %rax, %rdi
        shrq    $32, %rdi
        orl     %eax, %edi
        aether  EMIT_SIGNAL

        movl    $OWN_MXCSR, -8(%rsp)
        ldmxcsr -8(%rsp)
        movl    $USER_DATA, %eax
        .irp    segment, ds, es, fs, gs
        movl    %eax, %\segment
        .endr
        movabsq $SECRET, %rbx
        movq    %rbx, %xmm7
        movq    %rbx, %mm3
        movq    %rbx, %r15
        aether  RETURNED
        ud2
