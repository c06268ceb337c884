/* quitter: fills its registers and requests its own destruction.
   Expected: emits 1; SHRED_SELF. */
#include "flat.h"
        emit    $1
        movabsq $0x5EC2E75EC2E75EC2, %rbx
        movq    %rbx, %xmm0
        movq    %rbx, %mm0
        movq    %rbx, -8(%rsp)
        aether  SHRED_SELF
        ud2
