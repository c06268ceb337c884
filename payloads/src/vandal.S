/* vandal: overwrites its own measured code.
   Expected: emits 5; GUEST_FAULT, #PF. */
#include "flat.h"
        emit    $5
        movb    $0x90, _start(%rip)
        ud2
