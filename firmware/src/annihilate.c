/* Self-annihilation, A1 to A4; dormant.S does A5 to A7, when there is no stack left to run C on. */
#include "kernel.h"

static void step(u32 number)
{
    store32(ENCLAVE + ENCLAVE_STEP, number);
}

/* A fault on the way down must not begin the way anew. */
static int begun;

void annihilate(u32 cause, u32 detail)
{
    __asm__ volatile("cli");
    if (!begun) {
        begun = 1;
        store32(ENCLAVE + ENCLAVE_DETAIL, detail);
        store32(ENCLAVE + ENCLAVE_CAUSE, cause);
        timer_stop();
        step(1);
        vmm(VMM_DESTROY, 0, 0);
        write_cr3(PML4_DORMANT);        /* no user page, no heap */
        step(2);
        scrub(HEAP_BASE, HEAP_SIZE);
        scrub(GUEST_STACK_BASE, GUEST_STACK_SIZE);
        scrub(STAGING_BASE, STAGING_SIZE);
        scrub(ARENA_BASE, ARENA_SIZE);
        step(3);
        step(4);                        /* there is no TPM to cap */
    }
    fall_dormant();
}

/* A phase that has not reached its target state does not end. */
void check(int reached)
{
    if (!reached)
        annihilate(CAUSE_KERNEL_FAULT, DETAIL_CHECK_FAILED);
}
