/* The local APIC and its one-shot timer (SDM volume 3, 10.5.4): one count is one nanosecond. */
#include "kernel.h"

void timer_init(void)
{
    store32(APIC + APIC_SVR, APIC_ENABLED | VECTOR_SPURIOUS);
    store32(APIC + APIC_DIVIDE, APIC_DIVIDE_BY_1);
}

/* An interrupt raised before the timer was stopped is still delivered: its vector identifies its purpose. */
void timer_arm(u32 ns, u32 vector)
{
    store32(APIC + APIC_LVT_TIMER, vector);
    store32(APIC + APIC_INITIAL_COUNT, ns);
}

void timer_stop(void)
{
    store32(APIC + APIC_LVT_TIMER, APIC_MASKED);
    store32(APIC + APIC_INITIAL_COUNT, 0);
}

void end_of_interrupt(void)
{
    store32(APIC + APIC_EOI, 0);
}
