/* The local APIC and its one-shot timer (SDM volume 3, 10.5.4): one count is one nanosecond. */
#include "kernel.h"

void timer_init(void)
{
    store32(APIC + APIC_SVR, APIC_ENABLED | VECTOR_SPURIOUS);
    store32(APIC + APIC_DIVIDE, APIC_DIVIDE_BY_1);
    store32(APIC + APIC_LVT_TIMER, VECTOR_TIMER);
}

void timer_arm(u32 ns)
{
    store32(APIC + APIC_INITIAL_COUNT, ns);
}

void timer_stop(void)
{
    store32(APIC + APIC_LVT_TIMER, APIC_MASKED | VECTOR_TIMER);
    store32(APIC + APIC_INITIAL_COUNT, 0);
}

void end_of_interrupt(void)
{
    store32(APIC + APIC_EOI, 0);
}
