/* Phase 02, MEM_MAP: the guest's memory, the arena and the interrupt stacks are zeroed and verified. */
#include "kernel.h"

/* All writable memory, except the kernel's data and stack, which are in use, and the staged payloads. */
static const struct payload ranges[] = {
    {HEAP_BASE, HEAP_SIZE}, {GUEST_STACK_BASE, GUEST_STACK_SIZE}, {ARENA_BASE, ARENA_SIZE},
    {CALL_STACK_BASE, CALL_STACK_SIZE}, {FAULT_STACK_BASE, FAULT_STACK_SIZE}, {NMI_STACK_BASE, NMI_STACK_SIZE},
    {CHECK_STACK_BASE, CHECK_STACK_SIZE}, {IRQ_STACK_BASE, IRQ_STACK_SIZE},
};

void mem_map(void)
{
    u32 count = sizeof ranges / sizeof ranges[0];

    phase_entered(PHASE_MEM_MAP);
    for (u32 i = 0; i < count; i++)
        scrub(ranges[i].base, ranges[i].length);
    scrub_resident();
    arena_init(options.arena_bytes);
    for (u32 i = 0; i < count; i++)
        check(is_zero(ranges[i].base, ranges[i].length));
    phase_completed(PHASE_MEM_MAP, STATUS_MEM_SANITIZED);
}
