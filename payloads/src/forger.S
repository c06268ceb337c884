/* forger: imitates the timer, with an INT through a gate that ring 3 may not use.
   Expected: emits 4; GUEST_FAULT, #GP. */
#include "flat.h"
        emit    $4
        int     $0x22
        ud2
