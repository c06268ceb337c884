/* guest=native: the guest is one flat x86-64 binary, and the kernel does for it what AetherHost does for WebAssembly.

   The binary stays in the staging area, to which boot.S moved it, and is executed there: it is linked to run at
   STAGING_BASE, and entered at its first byte with RSP at the top of the guest stack and all other registers zero. Its
   heap is zero. It calls the kernel as the gate does. The NATIVE tables make the staging area read-only and
   executable before it is measured, so the code that was measured is the code that runs. */
#include "kernel.h"

#define LINE 64

/* Check that the future executable pages hold only the payload that was asked for. */
static u32 verify(void)
{
    u32 used = (payloads[0].length + LINE - 1) & -LINE;
    u8 measured[32] __attribute__((aligned(8)));

    if (payload_count != 1)
        annihilate(CAUSE_PAYLOAD_REJECTED, DETAIL_NOT_ALONE);
    if (used < STAGING_SIZE)
        scrub(STAGING_BASE + used, STAGING_SIZE - used);
    write_cr3(PML4_NATIVE);
    check(tables_are_sound(PML4_NATIVE));
    digest((const void *)STAGING_BASE, payloads[0].length, measured);
    for (u32 i = 0; i < sizeof measured; i++)
        if (measured[i] != options.sha256[i])
            annihilate(CAUSE_PAYLOAD_REJECTED, DETAIL_MEASUREMENT);
    return VMM_ACCEPTED;
}

/* Reset registers that ring 3 can set and neither INT nor IRET resets: the data segment registers and MXCSR. */
void forget_guest(void)
{
    static const u32 default_mxcsr = 0x1F80;

    __asm__ volatile("movl %0, %%ds\n\tmovl %0, %%es\n\tmovl %0, %%fs\n\tmovl %0, %%gs" :: "r"(0));
    __asm__ volatile("ldmxcsr %0" :: "m"(default_mxcsr));
}

u32 native(u32 command)
{
    switch (command) {
    case VMM_VERIFY:
        return verify();
    case VMM_INSTANTIATE:
    case VMM_DESTROY:
        forget_guest();
    }
    return VMM_ACCEPTED;        /* nothing to compile, and a zeroed heap is a fresh guest */
}
