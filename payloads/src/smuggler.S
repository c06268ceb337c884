/* smuggler: writes code that was never measured into its heap and jumps there.
   Expected: emits 6; GUEST_FAULT, #PF. */
#include "flat.h"
        emit    $6
        movl    $HEAP, %eax
        movw    $0x0B0F, (%rax)         /* UD2 */
        jmp     *%rax
