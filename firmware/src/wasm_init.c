/* Phase 03, WASM_INIT: every payload's signatures are verified, then it is compiled. One refusal is the end. */
#include "kernel.h"

void wasm_init(void)
{
    phase_entered(PHASE_WASM_INIT);
    if (!payload_count)
        annihilate(CAUSE_PAYLOAD_REJECTED, DETAIL_NO_PAYLOAD);
    if (!vmm_answers())
        annihilate(CAUSE_KERNEL_FAULT, DETAIL_NO_VMM);
    for (u32 i = 0; i < payload_count; i++) {
        if (vmm(VMM_VERIFY, payloads[i].base, payloads[i].length) != VMM_ACCEPTED)
            annihilate(CAUSE_PAYLOAD_REJECTED, DETAIL_NONE);
        if (vmm(VMM_COMPILE, i, 0) != VMM_ACCEPTED)
            annihilate(CAUSE_PAYLOAD_REJECTED, DETAIL_NONE);
    }
    phase_completed(PHASE_WASM_INIT, STATUS_PAYLOAD_VERIFIED);
}
