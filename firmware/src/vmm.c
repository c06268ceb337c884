/* The mailbox of AetherHost: the virtual machine monitor that verifies, compiles and instantiates guests. A flat
   payload needs no VMM: the kernel does the work itself. */
#include "kernel.h"

int vmm_answers(void)
{
    return options.native || load32(MAILBOX + MAILBOX_ID) == MAILBOX_PRESENT;
}

u32 vmm(u32 command, u32 argument_0, u32 argument_1)
{
    if (options.native)
        return native(command);
    store32(MAILBOX + MAILBOX_ARGUMENT_0, argument_0);
    store32(MAILBOX + MAILBOX_ARGUMENT_1, argument_1);
    store32(MAILBOX + MAILBOX_COMMAND, command);
    return load32(MAILBOX + MAILBOX_RESULT);
}

u32 vmm_value(void)
{
    return options.native ? HEAP_SIZE : load32(MAILBOX + MAILBOX_VALUE);
}
