/* Phase 04, EXEC_LOOP: attest, run a fresh guest, scrub, sleep, wake. Only the cycle counter is kept between cycles. */
#include "kernel.h"

#define CYCLE_BEGINS 0
#define CYCLE_ENDS   1

/* The kernel's record of the running guest. It is in the arena, which is scrubbed after the cycle. */
struct guest { u32 payload, cycle, memory_size, reserved; };
_Static_assert(sizeof(struct guest) == GUEST_RECORD, "the resident VMM's tables follow it");

static u32 cycle;
static u32 wake_reason;     /* the status bit of the wake that began the cycle */
static int sleeps, guest_runs;

/* The interrupt handlers call these. A late interrupt, whose reason is gone, changes nothing. */
void next_slice(void)
{
    if (guest_runs)
        timer_arm(options.quantum_ns, VECTOR_QUANTUM);
}

void wake(u32 reason)
{
    if (!sleeps)
        return;
    sleeps = 0;
    wake_reason = reason;
    store32(ENCLAVE + ENCLAVE_WAKE, reason == STATUS_TIMER_WAKE ? 1 : 2);
}

static void sleep(void)
{
    sleeps = 1;
    timer_arm(options.wake_ns, VECTOR_WAKE);
    store32(ENCLAVE + ENCLAVE_WAKE, 0);
    while (*(volatile int *)&sleeps)
        idle();
    timer_stop();
    scrub(IRQ_STACK_BASE, IRQ_STACK_SIZE);  /* the frame of the interrupt that woke the kernel */
}

/* The TPM's responses are scrubbed before the guest runs. */
static void attest(void)
{
    status &= ~STATUS_ATTESTED;
    if (options.attestation == ATTESTATION_OFF)
        return;
    if (attested(cycle))
        status |= STATUS_ATTESTED;
    else if (options.attestation == ATTESTATION_REQUIRE)
        annihilate(CAUSE_ATTESTATION_REFUSED, DETAIL_REFUSED);
    clear_arena();
}

static void update_status(void)
{
    status &= ~(STATUS_TIMER_WAKE | STATUS_EXTERNAL_WAKE | STATUS_FIRST_CYCLE | STATUS_SIGNAL_READY);
    status |= cycle ? wake_reason : STATUS_FIRST_CYCLE;
    status |= (load32(ENCLAVE + ENCLAVE_UPLINK_COMMIT) == 1) * STATUS_SIGNAL_READY;     /* in the same time either way */
    store32(ENCLAVE + ENCLAVE_STATUS, status);
}

static void run_guest(void)
{
    struct guest *guest = arena_allocate(sizeof *guest);

    guest->payload = cycle % payload_count;
    guest->cycle = cycle;
    if (vmm(VMM_INSTANTIATE, guest->payload, cycle) != VMM_ACCEPTED)
        annihilate(CAUSE_PAYLOAD_REJECTED, DETAIL_NONE);
    guest->memory_size = vmm_value();
    check(guest->memory_size <= HEAP_SIZE);
    guest_runs = 1;
    timer_arm(options.quantum_ns, VECTOR_QUANTUM);
    if (cycle == 0)
        phase_completed(PHASE_EXEC_LOOP, STATUS_ACTIVE);
    update_status();
    if (options.engine == ENGINE_RESIDENT)
        resident_run();
    else
        enter_guest(options.engine == ENGINE_NATIVE ? STAGING_BASE : (u64)gate, GUEST_STACK_BASE + GUEST_STACK_SIZE);
    guest_runs = 0;
    timer_stop();
}

/* A context switch: anything left by the guest or its host calls is scrubbed before anything else runs. */
static void scrub_cycle(void)
{
    vmm(VMM_DESTROY, 0, 0);
    scrub(HEAP_BASE, HEAP_SIZE);
    scrub(GUEST_STACK_BASE, GUEST_STACK_SIZE);
    scrub_resident();
    clear_arena();
    scrub(CALL_STACK_BASE, CALL_STACK_SIZE);
    scrub(IRQ_STACK_BASE, IRQ_STACK_SIZE);
}

void exec_loop(void)
{
    phase_entered(PHASE_EXEC_LOOP);
    timer_init();
    attest_init();
    for (;;) {
        store32(ENCLAVE + ENCLAVE_CYCLE, cycle << 8 | CYCLE_BEGINS);
        tell("CYCLE", cycle);
        attest();
        run_guest();
        scrub_cycle();
        store32(ENCLAVE + ENCLAVE_CYCLE, cycle << 8 | CYCLE_ENDS);
        if (++cycle == options.cycles)
            annihilate(CAUSE_COMPLETED, DETAIL_NONE);
        sleep();
    }
}
