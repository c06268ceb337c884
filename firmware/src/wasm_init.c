/* Phase 03, WASM_INIT: trust anchors and payloads are measured, then the signatures of each payload are verified, and
   it is compiled. Any refusal causes annihilation. */
#include "kernel.h"

static const char *const names[PAYLOADS_MAX] = {
    "payload 0", "payload 1", "payload 2", "payload 3", "payload 4", "payload 5", "payload 6", "payload 7",
};

/* If payloads are signed, the last module has the trust anchors. */
static void trust_anchors(void)
{
    if (options.engine == ENGINE_NATIVE)
        return;
    struct payload anchors = payloads[--payload_count];
    measure_range(PCR_ANCHORS, anchors.base, anchors.length, "trust anchors");
    if (vmm(VMM_TRUST, anchors.base, anchors.length) != VMM_ACCEPTED)
        annihilate(CAUSE_KERNEL_FAULT, DETAIL_NO_ANCHORS);
}

void wasm_init(void)
{
    phase_entered(PHASE_WASM_INIT);
    if (!payload_count)
        annihilate(CAUSE_PAYLOAD_REJECTED, DETAIL_NO_PAYLOAD);
    if (!vmm_answers())
        annihilate(CAUSE_KERNEL_FAULT, DETAIL_NO_VMM);
    trust_anchors();
    if (!payload_count || payload_count > PAYLOADS_MAX)
        annihilate(CAUSE_PAYLOAD_REJECTED, DETAIL_NO_PAYLOAD);
    for (u32 i = 0; i < payload_count; i++) {
        measure_range(PCR_PAYLOADS, payloads[i].base, payloads[i].length, names[i]);
        if (vmm(VMM_VERIFY, payloads[i].base, payloads[i].length) != VMM_ACCEPTED)
            annihilate(CAUSE_PAYLOAD_REJECTED, DETAIL_NONE);
        if (vmm(VMM_COMPILE, i, 0) != VMM_ACCEPTED)
            annihilate(CAUSE_PAYLOAD_REJECTED, DETAIL_NONE);
    }
    phase_completed(PHASE_WASM_INIT, STATUS_PAYLOAD_VERIFIED);
}
