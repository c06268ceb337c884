/* Called by interrupts.S: host calls, interrupts, exceptions. */
#include "kernel.h"

static u64 serve(u64 number, u64 argument)
{
    switch (number) {
    case CALL_GET_STATUS:
        return status;
    case CALL_EMIT_SIGNAL:
        store32(ENCLAVE + ENCLAVE_UPLINK_DATA, argument);
        store32(ENCLAVE + ENCLAVE_UPLINK_COMMIT, 1);
        return 0;
    case CALL_SHRED_SELF:
        annihilate(CAUSE_SHRED_SELF, DETAIL_NONE);
    case CALL_RETURNED:
        leave_guest();
    default:
        annihilate(CAUSE_GUEST_FAULT, DETAIL_UNKNOWN_CALL);
    }
}

/* Report the guest's calls to the enclave block, because there is no coprocessor. */
static u64 serve_and_tell(u64 number, u64 argument)
{
    if (number < CALL_RETURNED) {
        store32(ENCLAVE + ENCLAVE_CALL_ARGUMENT, argument);
        store32(ENCLAVE + ENCLAVE_CALL, number);
    }
    if (number == CALL_EMIT_SIGNAL)
        print_number("SIGNAL", argument);
    u64 result = serve(number, argument);
    store32(ENCLAVE + ENCLAVE_CALL_RESULT, result);
    return result;
}

u64 host_call(u64 number, u64 argument)
{
    return options.engine != ENGINE_COPROCESSOR ? serve_and_tell(number, argument) : serve(number, argument);
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
        annihilate(CAUSE_KERNEL_FAULT, vector);     /* an interrupt that the kernel does not use */
}

NORETURN void exception(const struct trap_frame *frame)
{
    if (frame->vector == VECTOR_NMI)
        annihilate(CAUSE_TAMPER, VECTOR_NMI);
    if ((frame->cs & 3) == 3 && options.engine == ENGINE_RESIDENT)
        resident_trapped(frame);
    annihilate((frame->cs & 3) == 3 ? CAUSE_GUEST_FAULT : CAUSE_KERNEL_FAULT, frame->vector);
}
