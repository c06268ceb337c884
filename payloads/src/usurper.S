/* usurper: tries to replace the page tables.
   Expected: emits 3; GUEST_FAULT, #GP. */
#include "flat.h"
        emit    $3
        movl    $HEAP, %eax
        movq    %rax, %cr3
        ud2
