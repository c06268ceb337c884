/* smuggler: writes unmeasured code into its heap and jumps to it.
   Expected: emits 6; GUEST_FAULT, #PF. */
#include "flat.h"
        emit    $6
        movl    $HEAP, %eax
        movw    $0x0B0F, (%rax)         /* UD2 */
        jmp     *%rax
