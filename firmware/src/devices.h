/* Device registers and their values. Included by layout.h. */
#ifndef AETHER_DEVICES_H
#define AETHER_DEVICES_H

/* The scrub engine. */
#define SCRUB               0xFED50000
#define SCRUB_ID            0x00
#define SCRUB_STATUS        0x04
#define SCRUB_CHANNEL       0x100   /* + 16 n: base, length, go */
#define SCRUB_PRESENT       0x42524353
#define SCRUB_FILL          1
#define SCRUB_VERIFY        2
#define SCRUB_FAILED        6       /* BAD_RANGE or NONZERO in STATUS */
#define CHANNEL_CALL        0       /* below the frame of a host call */
#define CHANNEL_IRQ         1       /* below the saved registers of an interrupt */
#define CHANNEL_ANY         2

/* Bytes of CALL_STACK and of IRQ_STACK that are in use when a handler returns. */
#define CALL_FRAME          48      /* five words of the interrupt frame, one of padding */
#define IRQ_FRAME           120     /* frame, vector, nine saved registers */

/* The hash engine: SHA-256 by DMA. */
#define HASH                0xFED51000
#define HASH_ID             0x00
#define HASH_STATUS         0x04
#define HASH_BASE           0x08
#define HASH_LENGTH         0x0C
#define HASH_GO             0x10
#define HASH_DIGEST         0x20
#define HASH_PRESENT        0x48534148
#define HASH_DONE           1

/* The TPM's command response buffer (TCG PC Client Platform TPM Profile). */
#define TPM                 0xFED40000
#define TPM_LOC_CTRL        0x08
#define TPM_LOC_STS         0x0C
#define TPM_INTF_ID         0x30
#define TPM_CTRL_REQ        0x40
#define TPM_CTRL_STS        0x44
#define TPM_CTRL_START      0x4C
#define TPM_CMD_ADDR        0x5C
#define TPM_RSP_ADDR        0x68
#define TPM_BUFFER_SIZE     0xF80

/* PCRs, by the thing measured. */
#define PCR_LOADER          8
#define PCR_KERNEL          9
#define PCR_CONFIGURATION   10
#define PCR_PAYLOADS        11
#define PCR_ANCHORS         12
#define PCR_RUNTIME         13
#define PCR_FIRST           PCR_LOADER
#define PCR_LAST            PCR_RUNTIME

/* The local APIC. */
#define APIC                0xFEE00000
#define APIC_EOI            0x0B0
#define APIC_SVR            0x0F0
#define APIC_LVT_TIMER      0x320
#define APIC_INITIAL_COUNT  0x380
#define APIC_DIVIDE         0x3E0
#define APIC_DIVIDE_BY_1    0x0B
#define APIC_ENABLED        0x100
#define APIC_MASKED         0x10000

/* The enclave block: the node's own hardware. */
#define ENCLAVE             0xFEF00000
#define ENCLAVE_STATUS      0x00
#define ENCLAVE_SENSOR_0    0x08
#define ENCLAVE_SENSOR_1    0x0C
#define ENCLAVE_UPLINK_DATA 0x10
#define ENCLAVE_UPLINK_COMMIT 0x14  /* write 1: send; reads 1 when ready */
#define ENCLAVE_POWER       0x20    /* write 1: dormant */
#define ENCLAVE_PHASE       0x30    /* phase << 8 | 0 entered, 1 completed */
#define ENCLAVE_CAUSE       0x34    /* annihilation: the cause, after DETAIL */
#define ENCLAVE_STEP        0x38    /* annihilation: the step just done */
#define ENCLAVE_DETAIL      0x3C
#define ENCLAVE_CYCLE       0x40    /* cycle << 8 | 0 begins, 1 ends */
#define ENCLAVE_WAKE        0x44    /* 0 scheduled, 1 woken by the timer, 2 by an external interrupt */
#define ENCLAVE_ARENA_SIZE  0x48    /* size of an allocation, before ... */
#define ENCLAVE_ARENA_BASE  0x4C    /* ... its address */
#define ENCLAVE_CALL_ARGUMENT 0x50  /* a host call without a coprocessor: its argument, before ... */
#define ENCLAVE_CALL        0x54    /* ... its number */
#define ENCLAVE_CALL_RESULT 0x58
#define ENCLAVE_GUEST_VALUE 0x5C    /* a number for GUEST, before it */
#define ENCLAVE_GUEST       0x60    /* what the kernel did: payload << 16 | number << 8 | one of these */
#define GUEST_VALIDATED     1
#define GUEST_REJECTED      2       /* number: the reason; VALUE: the offset in the module */
#define GUEST_MADE          3       /* VALUE: bytes of its linear memory */
#define GUEST_DESTROYED     4
#define GUEST_TRAPPED       5       /* number: the trap */
#define GUEST_REFUSED       6       /* number: the check of its signatures that failed */

/* The mailbox of AetherHost. */
#define MAILBOX             0xFEF01000
#define MAILBOX_ID          0x00
#define MAILBOX_PRESENT     0x424D4D56
#define MAILBOX_COMMAND     0x04
#define MAILBOX_ARGUMENT_0  0x08
#define MAILBOX_ARGUMENT_1  0x0C
#define MAILBOX_RESULT      0x10
#define MAILBOX_VALUE       0x14
#define VMM_VERIFY          1       /* base, length: signatures of a staged payload */
#define VMM_COMPILE         2       /* number: compile or load it */
#define VMM_TRUST           3       /* base, length: the measured trust anchors */
#define VMM_INSTANTIATE     4       /* number: a fresh guest; VALUE is the size of its memory */
#define VMM_DESTROY         5
#define VMM_ADMIT           6       /* base, length: a staged payload, whose signatures the kernel has verified */
#define VMM_ACCEPTED        0
#define VMM_REFUSED         1

/* The attestation port, which connects to the verifier. */
#define VERIFIER            0xFEF02000
#define VERIFIER_ID         0x00
#define VERIFIER_PRESENT    0x46524556
#define VERIFIER_CHALLENGE  0x04    /* write a cycle: NONCE is the challenge for it */
#define VERIFIER_EVIDENCE   0x08    /* write the address of a struct evidence: RESULT is the verdict */
#define VERIFIER_RESULT     0x0C
#define VERIFIER_NONCE      0x20
#define VERIFIER_ACCEPTED   0
#define VERIFIER_REFUSED    1
#define NONCE_SIZE          32

/* Ports. */
#define POST_PORT           0x80
#define COM1                0x3F8
#define COM1_LINE_STATUS    (COM1 + 5)
#define TRANSMITTER_EMPTY   0x20

#endif
