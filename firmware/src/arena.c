/* The host arena: bump allocation, no deallocation. At the end of a cycle the whole arena is scrubbed and reset.
   An allocation that does not fit is a kernel fault; the pointer never wraps. */
#include "kernel.h"

#define ALIGNMENT 16

static u32 used, limit;

void arena_init(u32 size)
{
    used = 0;
    limit = size;
}

void *arena_allocate(u32 size)
{
    u32 free = limit - used;

    if (size > free || free - size < (-size & (ALIGNMENT - 1)))
        annihilate(CAUSE_KERNEL_FAULT, DETAIL_ARENA_EXHAUSTED);
    u32 base = ARENA_BASE + used;
    used += (size + ALIGNMENT - 1) & -ALIGNMENT;
    store32(ENCLAVE + ENCLAVE_ARENA_SIZE, size);
    store32(ENCLAVE + ENCLAVE_ARENA_BASE, base);
    return (void *)(u64)base;
}

/* Return what is not allocated yet, and set its size. */
u8 *arena_rest(u32 *size)
{
    *size = limit - used;
    return (u8 *)(u64)(ARENA_BASE + used);
}

void clear_arena(void)
{
    scrub(ARENA_BASE, ARENA_SIZE);
    arena_init(options.arena_bytes);
}
