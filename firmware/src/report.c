/* Reports the progress of the boot: POST code, serial line, and the enclave block if there is one. */
#include "kernel.h"

u32 status;

static const char *const names[] = {"", "PROT_ENTRY", "MEM_MAP", "WASM_INIT", "EXEC_LOOP"};

void print(const char *text)
{
    for (; *text; text++) {
        while (!(inb(COM1_LINE_STATUS) & TRANSMITTER_EMPTY))
            ;
        outb(COM1, *text);
    }
}

/* Print a line: a word and eight hexadecimal digits. */
void print_number(const char *what, u32 value)
{
    char digits[] = " ........\n";

    for (u32 i = 8; i; i--, value >>= 4)
        digits[i] = "0123456789abcdef"[value & 15];
    print(what);
    print(digits);
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

/* Report to the enclave block what the kernel did with a payload or with its guest. */
void report_guest(u32 what, u32 payload, u32 number, u32 value)
{
    store32(ENCLAVE + ENCLAVE_GUEST_VALUE, value);
    store32(ENCLAVE + ENCLAVE_GUEST, payload << 16 | number << 8 | what);
}
