/* Interface of the enclave to a flat payload: addresses, and calls to the kernel (docs/payloads.md). */
#define HEAP            0xC00000
#define HEAP_SIZE       0x400000

#define GET_STATUS      0
#define EMIT_SIGNAL     1
#define SHRED_SELF      2
#define RETURNED        3

/* Host call: number in RAX, argument in RDI. Returns the result in RAX; all other registers are zeroed. */
        .macro  aether number
        movl    $\number, %eax
        int     $0x80
        .endm

        .macro  emit value
        movl    \value, %edi
        aether  EMIT_SIGNAL
        .endm

        .section .start, "ax", @progbits
        .code64
        .globl  _start
_start:
