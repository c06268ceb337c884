/* Signatures that the kernel itself verifies (firmware/signatures): with `verify=firmware`, and where no AetherHost
   answers at a mailbox. Where one does, it admits the good payloads, on the kernel's word. */
#include "kernel.h"
#include "signatures.h"

static struct bytes anchors;
static u32 payload;                     /* the number of the next one to be verified */

int kernel_verifies(void)
{
    return options.verify == VERIFY_FIRMWARE || !mailbox_answers();
}

static u32 trust(u32 base, u32 length)
{
    anchors = (struct bytes){(const u8 *)(u64)base, length};
    return anchors_are_sound(anchors) ? VMM_ACCEPTED : VMM_REFUSED;
}

static u32 verify(u32 base, u32 length)
{
    struct bytes module = {(const u8 *)(u64)base, length};
    enum check failed;

    /* One frame of ML-DSA-65 is larger than the guard page. */
    check((u64)__builtin_frame_address(0) - KERNEL_STACK_BASE >= VERIFICATION_STACK);
    failed = verify_module(module, anchors, options.production);
    scrub_unused_stack();
    if (failed != PASSED) {
        report_guest(GUEST_REFUSED, payload, failed, 0);
        tell("REFUSED", failed);
        return VMM_REFUSED;
    }
    payload++;
    return mailbox_answers() ? mailbox(VMM_ADMIT, base, length) : VMM_ACCEPTED;
}

u32 signatures(u32 command, u32 base, u32 length)
{
    if (command == VMM_VERIFY)
        return verify(base, length);
    if (mailbox_answers() && mailbox(command, base, length) != VMM_ACCEPTED)
        return VMM_REFUSED;
    return trust(base, length);
}
