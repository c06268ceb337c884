/* The ring-3 gate: the only code page of the guest.

   UD2 at `gate` is the coprocessor's instruction: in its place the guest engine runs the guest, with the result of
   the last host call in RAX. It returns the guest's request in RCX, and this code executes it: a host call is INT 80h,
   a trap is the exception that the same error raises in native code. Without a coprocessor UD2 is #UD. */
#include "layout.h"
#include "frames.h"

        .section .gate, "ax", @progbits
        .code64
        .balign 16
call:   frame_first                     /* code in ring 3 has no caller there */
        int     $VECTOR_HOST_CALL       /* RAX number, RDI argument; returns to the gate */
        .globl  gate
gate:   ud2
        jrcxz   call
        decl    %ecx
        jrcxz   read
        decl    %ecx
        jrcxz   write
        decl    %ecx
        jrcxz   illegal
        xorl    %ecx, %ecx
        divl    %ecx                    /* #DE */
illegal:
        ud2
read:   movb    (%rdi), %al             /* #PF; if the guard page is mapped, #UD */
        ud2
write:  movb    %al, (%rdi)
        ud2
        .cfi_endproc
