/* Zeroes memory and verifies it: by the scrub engine if there is one, else by string instructions. */
#include "kernel.h"

u8 scrub_engine_present;

static void channel(u32 number, u32 base, u32 size)
{
    store32(SCRUB + SCRUB_CHANNEL + 16 * number, base);
    store32(SCRUB + SCRUB_CHANNEL + 16 * number + 4, size);
}

static void command(u32 base, u32 size, u32 go)
{
    channel(CHANNEL_ANY, base, size);
    store32(SCRUB + SCRUB_CHANNEL + 16 * CHANNEL_ANY + 8, go);
}

/* The two ranges scrubbed on every return to ring 3 have their own channels. */
void scrub_init(void)
{
    scrub_engine_present = load32(SCRUB + SCRUB_ID) == SCRUB_PRESENT;
    if (scrub_engine_present) {
        channel(CHANNEL_CALL, CALL_STACK_BASE, CALL_STACK_SIZE - CALL_FRAME);
        channel(CHANNEL_IRQ, IRQ_STACK_BASE, IRQ_STACK_SIZE - IRQ_FRAME);
    }
}

/* The dormant tables map the heap at another address. The engine uses physical addresses. */
static u64 seen_at(u32 base)
{
    return read_cr3() == PML4_DORMANT && base == HEAP_BASE ? HEAP_WINDOW : base;
}

void scrub(u32 base, u32 size)
{
    if (scrub_engine_present) {
        command(base, size, SCRUB_FILL);
        if (load32(SCRUB + SCRUB_STATUS) & SCRUB_FAILED)
            scrub_failed();
        return;
    }
    u64 at = seen_at(base), words = size / 8;
    user_pages_open();
    __asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(0ull) : "memory");
    user_pages_close();
    if (!is_zero(base, size))
        scrub_failed();
}

int is_zero(u32 base, u32 size)
{
    if (scrub_engine_present) {
        command(base, size, SCRUB_VERIFY);
        return !(load32(SCRUB + SCRUB_STATUS) & SCRUB_FAILED);
    }
    u64 at = seen_at(base), words = size / 8;
    int zero;
    user_pages_open();
    __asm__ volatile("repe scasq" : "+D"(at), "+c"(words), "=@ccz"(zero) : "a"(0ull) : "memory");
    user_pages_close();
    return zero;
}
