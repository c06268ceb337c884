/* The mailbox of AetherHost: the virtual machine monitor that verifies, compiles and instantiates guests. */
#include "kernel.h"

u32 vmm(u32 command, u32 argument_0, u32 argument_1)
{
    store32(MAILBOX + MAILBOX_ARGUMENT_0, argument_0);
    store32(MAILBOX + MAILBOX_ARGUMENT_1, argument_1);
    store32(MAILBOX + MAILBOX_COMMAND, command);
    return load32(MAILBOX + MAILBOX_RESULT);
}

u32 vmm_value(void)
{
    return load32(MAILBOX + MAILBOX_VALUE);
}
