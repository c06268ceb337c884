/* What interrupts.S calls: host calls, interrupts, exceptions. */
#include "kernel.h"

#define NMI 2

u64 host_call(u64 number, u64 argument)
{
    switch (number) {
    case CALL_GET_STATUS:
        return status;
    case CALL_EMIT_SIGNAL:
        store32(ENCLAVE + ENCLAVE_UPLINK_DATA, argument);
        store32(ENCLAVE + ENCLAVE_UPLINK_COMMIT, 1);
        tell("SIGNAL", argument);
        return 0;
    case CALL_SHRED_SELF:
        annihilate(CAUSE_SHRED_SELF, DETAIL_NONE);
    case CALL_RETURNED:
        leave_guest();
    default:
        annihilate(CAUSE_GUEST_FAULT, DETAIL_UNKNOWN_CALL);
    }
}

void irq(u64 vector)
{
    end_of_interrupt();
    if (vector == VECTOR_QUANTUM)
        next_slice();
    else if (vector == VECTOR_WAKE)
        wake(STATUS_TIMER_WAKE);
    else if (vector == VECTOR_EXTERNAL)
        wake(STATUS_EXTERNAL_WAKE);
    else
        annihilate(CAUSE_KERNEL_FAULT, vector);     /* nobody asked for this one */
}

NORETURN void exception(const struct trap_frame *frame)
{
    if (frame->vector == NMI)
        annihilate(CAUSE_TAMPER, NMI);
    annihilate((frame->cs & 3) == 3 ? CAUSE_GUEST_FAULT : CAUSE_KERNEL_FAULT, frame->vector);
}
