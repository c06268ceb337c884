/* The resident VMM's own assembly, in ring 3: how the interpreter begins, and how it calls the kernel. It has no memory
   of the kernel, and no way into it but INT 80h. */
#include "layout.h"
#include "frames.h"

        .section .vmm, "ax", @progbits
        .code64
/* Entered with RSP at the top of the guest stack and every other register zero. The guest's tables are at a fixed
   address. After _start, the guest asks to end; it is not continued. */
        .globl  vmm_entry
vmm_entry:
        frame_first
        movl    $(ARENA_BASE + GUEST_RECORD), %edi
        call    run
        movl    $CALL_RETURNED, %eax
        xorl    %edi, %edi
        int     $VECTOR_HOST_CALL
        ud2
        .cfi_endproc

/* u64 ask_host(u64 number, u64 argument): the kernel returns with all registers zero but RAX and RSP. */
        .globl  ask_host
        .type   ask_host, @function
ask_host:
        .cfi_startproc
        .irp    register, rbx, rbp, r12, r13, r14, r15
        push_saved \register
        .endr
        movq    %rdi, %rax
        movq    %rsi, %rdi
        int     $VECTOR_HOST_CALL
        .irp    register, r15, r14, r13, r12, rbp, rbx
        pop_saved \register
        .endr
        ret
        .cfi_endproc
