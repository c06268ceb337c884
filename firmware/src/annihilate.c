/* Self-annihilation, A1 to A4; dormant.S does A5 to A7, where there is no stack left for C. */
#include "kernel.h"

/* The last completed step, after which a fault in annihilation continues: the block accepts cause and steps once. */
static u32 reached;

static const char *const causes[] = {
    "", "SHRED_SELF", "COMPLETED", "GUEST_FAULT", "PAYLOAD_REJECTED", "ATTESTATION_REFUSED", "KERNEL_FAULT", "TAMPER",
};
static const char *const steps[] = {"", "A1\n", "A2\n", "A3\n", "A4\n"};

static void done(u32 step)
{
    store32(ENCLAVE + ENCLAVE_STEP, step);
    if (options.engine != ENGINE_COPROCESSOR)
        print(steps[step]);
    reached = step;
}

void annihilate(u32 cause, u32 detail)
{
    __asm__ volatile("cli");
    store32(ENCLAVE + ENCLAVE_DETAIL, detail);
    store32(ENCLAVE + ENCLAVE_CAUSE, cause);
    tell(causes[cause], detail);
    if (reached < 1) {
        timer_stop();
        done(1);
    }
    if (reached < 2) {
        vmm(VMM_DESTROY, 0, 0);
        write_cr3(PML4_DORMANT);        /* without user pages and without the heap */
        done(2);
    }
    if (reached < 3) {
        scrub(HEAP_BASE, HEAP_SIZE);
        scrub(GUEST_STACK_BASE, GUEST_STACK_SIZE);
        scrub_resident();
        scrub(STAGING_BASE, STAGING_SIZE);
        scrub(ARENA_BASE, ARENA_SIZE);
        done(3);
    }
    if (reached < 4) {
        cap_tpm();
        done(4);
    }
    fall_dormant(options.engine != ENGINE_COPROCESSOR);
}

/* Scrubbed RAM is not zero: annihilate. During annihilation, report it and continue. */
void scrub_failed(void)
{
    if (!reached)
        annihilate(CAUSE_KERNEL_FAULT, DETAIL_SCRUB_FAILED);
    store32(ENCLAVE + ENCLAVE_DETAIL, DETAIL_SCRUB_FAILED);
    tell("SCRUB_FAILED", reached);
}

/* Annihilate unless a phase has reached its target state. */
void check(int reached)
{
    if (!reached)
        annihilate(CAUSE_KERNEL_FAULT, DETAIL_CHECK_FAILED);
}
