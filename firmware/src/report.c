/* Tells the world where the boot is: POST code, serial line, and the enclave block where there is one. */
#include "kernel.h"

#define LINE_STATUS         (COM1 + 5)
#define TRANSMITTER_EMPTY   0x20

u32 status;

static const char *const names[] = {"", "PROT_ENTRY", "MEM_MAP", "WASM_INIT", "EXEC_LOOP"};

void print(const char *text)
{
    for (; *text; text++) {
        while (!(inb(LINE_STATUS) & TRANSMITTER_EMPTY))
            ;
        outb(COM1, *text);
    }
}

void phase_entered(u32 phase)
{
    outb(POST_PORT, phase << 4);
    store32(ENCLAVE + ENCLAVE_PHASE, phase << 8);
}

void phase_completed(u32 phase, u32 status_bit)
{
    status |= status_bit;
    store32(ENCLAVE + ENCLAVE_STATUS, status);
    store32(ENCLAVE + ENCLAVE_PHASE, phase << 8 | 1);
    outb(POST_PORT, phase << 4 | 1);
    print(names[phase]);
    print("\n");
}
