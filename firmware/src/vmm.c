/* The virtual machine monitor: who verifies, compiles and instantiates guests. AetherHost does it, at its mailbox. For
   a flat payload the kernel does it itself. For the resident VMM it does, too, and leaves only signatures to
   AetherHost, if there is a mailbox and the command line does not say otherwise. */
#include "kernel.h"

int mailbox_answers(void)
{
    return load32(MAILBOX + MAILBOX_ID) == MAILBOX_PRESENT;
}

int vmm_answers(void)
{
    return options.engine != ENGINE_COPROCESSOR || mailbox_answers();
}

static int is_about_signatures(u32 command)
{
    return command == VMM_TRUST || command == VMM_VERIFY;
}

u32 mailbox(u32 command, u32 argument_0, u32 argument_1)
{
    store32(MAILBOX + MAILBOX_ARGUMENT_0, argument_0);
    store32(MAILBOX + MAILBOX_ARGUMENT_1, argument_1);
    store32(MAILBOX + MAILBOX_COMMAND, command);
    return load32(MAILBOX + MAILBOX_RESULT);
}

u32 vmm(u32 command, u32 argument_0, u32 argument_1)
{
    if (options.engine == ENGINE_NATIVE)
        return native(command);
    if (is_about_signatures(command))
        return (kernel_verifies() ? signatures : mailbox)(command, argument_0, argument_1);
    if (options.engine == ENGINE_RESIDENT)
        return resident(command, argument_0);
    return mailbox(command, argument_0, argument_1);
}

u32 vmm_value(void)
{
    return options.engine != ENGINE_COPROCESSOR ? HEAP_SIZE : load32(MAILBOX + MAILBOX_VALUE);
}
