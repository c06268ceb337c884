/* stray: writes the last byte of its heap, then the byte after it.
   Expected: emits 2; GUEST_FAULT, #PF. */
#include "flat.h"
        emit    $2
        movb    $0x5A, HEAP + HEAP_SIZE - 1
        movb    $0x5A, HEAP + HEAP_SIZE
        ud2
