/* The boot, in order. Each phase checks that its target state is reached before the next begins. */
#include "kernel.h"

void kernel_main(void)
{
    prot_entry();       /* 01 GDT, TSS, IDT; the architecture is locked */
    mem_map();          /* 02 heap, arena and stacks; memory is sanitized */
    wasm_init();        /* 03 signatures, compilation; the payload is verified */
    exec_loop();        /* 04 cycles of the guest, until annihilation */
}
