/* The memory map (MAP_V2) and every constant that more than one file uses.
   Included by assembly, C and the linker script; firmware/build.py exports the constants to Python.
   Addresses are both physical and linear. Every region must consist of whole pages, for the page tables. */
#ifndef AETHER_LAYOUT_H
#define AETHER_LAYOUT_H
#include "devices.h"

/* The kernel image: it is measured, and remains in DORMANT. */
#define TEXT_BASE           0x00100000
#define TEXT_SIZE           0x00014000
#define EARLY_CODE          (TEXT_BASE + 0x80)  /* handlers of early.S */
#define RODATA_BASE         0x00114000
#define RODATA_SIZE         0x00003000
#define TABLES_BASE         0x00117000      /* page tables, built by the assembler, never written */
#define TABLES_SIZE         0x00013000
#define GATE_BASE           0x0012A000      /* ring 3's only code page, if a coprocessor runs the guest */
#define GATE_SIZE           0x00001000
#define VMM_TEXT_BASE       0x0012B000      /* the interpreter: ring 3's code, if the VMM is resident */
#define VMM_TEXT_SIZE       0x00004000
#define VMM_RODATA_BASE     0x0012F000
#define VMM_RODATA_SIZE     0x00001000

/* Regions that the kernel writes. Gaps between these regions are guard pages. */
#define DATA_BASE           0x00130000      /* data, BSS, IDT, boot information */
#define DATA_SIZE           0x00005000
#define KERNEL_STACK_BASE   0x00136000
#define KERNEL_STACK_SIZE   0x00036000
#define VERIFICATION_STACK  0x00033000      /* the part of it that the verification of signatures needs */
#define CALL_STACK_BASE     0x0016D000      /* host calls and exceptions from ring 3: TSS.RSP0 */
#define CALL_STACK_SIZE     0x00002000
#define FAULT_STACK_BASE    0x00170000      /* double fault: IST1 */
#define FAULT_STACK_SIZE    0x00001000
#define NMI_STACK_BASE      0x00172000      /* non-maskable interrupt: IST2 */
#define NMI_STACK_SIZE      0x00001000
#define CHECK_STACK_BASE    0x00174000      /* machine check: IST3 */
#define CHECK_STACK_SIZE    0x00001000
#define IRQ_STACK_BASE      0x00176000      /* timer and external interrupts: IST4 */
#define IRQ_STACK_SIZE      0x00002000
#define GUEST_STACK_BASE    0x00179000
#define GUEST_STACK_SIZE    0x00004000
#define ARENA_BASE          0x00200000
#define ARENA_SIZE          0x00080000
#define STAGING_BASE        0x00400000      /* payloads as loaded; a flat payload is executed here */
#define STAGING_SIZE        0x00200000
#define VMM_MEMORY          0x00600000      /* what the resident VMM writes in ring 3, apart from the heap: */
#define GLOBALS_BASE        0x00601000
#define GLOBALS_SIZE        0x00010000
#define VALUES_BASE         0x00612000
#define VALUES_SIZE         0x00040000
#define CALLS_BASE          0x00653000
#define CALLS_SIZE          0x00040000
#define HEAP_BASE           0x00C00000      /* linear memory is at its end; a guard follows */
#define HEAP_SIZE           0x00400000
#define HEAP_WINDOW         0x40000000      /* supervisor view of the heap in the dormant tables only */
#define LINEAR_END          0x200000000     /* the heap's end for the resident VMM: 8 GiB follow that hold nothing */
#define LINEAR_BASE         (LINEAR_END - HEAP_SIZE)
#define RAM_SIZE            0x01000000

/* The sets of page tables: ACTIVE from boot, NATIVE from the measurement of a flat payload, RESIDENT while the resident
   VMM runs a guest, DORMANT from annihilation step A2. */
#define PML4_ACTIVE         (TABLES_BASE + 0x0000)
#define PDPT_ACTIVE         (TABLES_BASE + 0x1000)
#define PD_ACTIVE           (TABLES_BASE + 0x2000)
#define PML4_NATIVE         (TABLES_BASE + 0x3000)
#define PDPT_NATIVE         (TABLES_BASE + 0x4000)
#define PD_NATIVE           (TABLES_BASE + 0x5000)
#define PML4_DORMANT        (TABLES_BASE + 0x6000)
#define PDPT_DORMANT        (TABLES_BASE + 0x7000)
#define PD_DORMANT          (TABLES_BASE + 0x8000)
#define PD_WINDOW           (TABLES_BASE + 0x9000)
#define PD_DEVICES          (TABLES_BASE + 0xA000)
#define PT_KERNEL           (TABLES_BASE + 0xB000)
#define PT_ARENA            (TABLES_BASE + 0xC000)
#define PML4_RESIDENT       (TABLES_BASE + 0xD000)
#define PDPT_RESIDENT       (TABLES_BASE + 0xE000)
#define PD_RESIDENT         (TABLES_BASE + 0xF000)
#define PD_LINEAR           (TABLES_BASE + 0x10000)
#define PT_RESIDENT         (TABLES_BASE + 0x11000)
#define PT_VMM              (TABLES_BASE + 0x12000)

/* Selectors. */
#define KERNEL_CODE         0x08
#define BOOT_CODE           0x18    /* 32-bit, only in the GDT of early.S */
#define KERNEL_DATA         0x10
#define USER_DATA           0x1B
#define USER_CODE           0x23
#define TASK_STATE          0x28
#define TASK_AVAILABLE      0x89    /* present, a task that is not busy */

/* Vectors and interrupt stack table entries. */
#define VECTORS             256
#define VECTOR_NMI          2
#define VECTOR_WAKE         0x20    /* a sleep has ended */
#define VECTOR_EXTERNAL     0x21
#define VECTOR_QUANTUM      0x22    /* a time slice has ended; distinct from the end of a sleep */
#define VECTOR_HOST_CALL    0x80
#define VECTOR_SPURIOUS     0xFF
#define IST_FAULT           1
#define IST_NMI             2
#define IST_CHECK           3
#define IST_IRQ             4

/* Optional protections of ring 0 and ring 3: the bit of CPUID leaf 7, EBX (UMIP: ECX), and the bit of CR4. */
#define CPUID_FEATURES      7
#define CPUID_UMIP          2
#define CPUID_SMEP          7
#define CPUID_SMAP          20
#define CR4_UMIP            11      /* SGDT, SIDT, SLDT, STR and SMSW fault in ring 3 */
#define CR4_SMEP            20      /* ring 0 does not execute pages of ring 3 */
#define CR4_SMAP            21      /* ring 0 does not access pages of ring 3 unless RFLAGS.AC is set */

/* Host calls: number in RAX, argument in RDI, result in RAX. */
#define CALL_GET_STATUS     0
#define CALL_EMIT_SIGNAL    1
#define CALL_SHRED_SELF     2
#define CALL_RETURNED       3

/* Values returned by the coprocessor to the gate code in RCX. */
#define DEPARTURE_CALL      0
#define DEPARTURE_READ      1       /* read [RDI]: an access out of bounds */
#define DEPARTURE_WRITE     2       /* write [RDI]: a stack overflow */
#define DEPARTURE_ILLEGAL   3
#define DEPARTURE_DIVIDE    4

/* Phases, status bits and causes, with the names of the specification. */
#define PHASE_PROT_ENTRY    1
#define PHASE_MEM_MAP       2
#define PHASE_WASM_INIT     3
#define PHASE_EXEC_LOOP     4
#define STATUS_ARCH_LOCKED      (1 << 0)
#define STATUS_MEM_SANITIZED    (1 << 1)
#define STATUS_PAYLOAD_VERIFIED (1 << 2)
#define STATUS_ACTIVE           (1 << 3)
#define STATUS_ATTESTED         (1 << 4)
#define STATUS_TIMER_WAKE       (1 << 5)
#define STATUS_EXTERNAL_WAKE    (1 << 6)
#define STATUS_FIRST_CYCLE      (1 << 7)
#define STATUS_SIGNAL_READY     (1 << 8)
#define STATUS_COMPROMISED      (1 << 31)
#define CAUSE_SHRED_SELF            1
#define CAUSE_COMPLETED             2
#define CAUSE_GUEST_FAULT           3
#define CAUSE_PAYLOAD_REJECTED      4
#define CAUSE_ATTESTATION_REFUSED   5
#define CAUSE_KERNEL_FAULT          6
#define CAUSE_TAMPER                7

/* DETAIL of a cause: the vector of an exception, or one of these. */
#define DETAIL_NONE             0x0000
#define DETAIL_UNKNOWN_CALL     0x0100
#define DETAIL_ARENA_EXHAUSTED  0x0101
#define DETAIL_CHECK_FAILED     0x0102  /* a phase's target state was not reached */
#define DETAIL_SCRUB_FAILED     0x0103
#define DETAIL_BAD_OPTION       0x0104
#define DETAIL_NO_PAYLOAD       0x0105
#define DETAIL_NO_VMM           0x0106
#define DETAIL_MEASUREMENT      0x0107  /* the unsigned payload does not have the digest on the command line */
#define DETAIL_NOT_ALONE        0x0108  /* there are other payloads besides the unsigned one */
#define DETAIL_NO_ANCHORS       0x0109  /* the VMM refused the trust anchors, or none were loaded */
#define DETAIL_NO_TPM           0x010A  /* there is no TPM with a command response buffer, or it does not start */
#define DETAIL_TPM_FAILED       0x010B  /* the TPM refused a command, or did not finish it */
#define DETAIL_LOG_FULL         0x010C  /* there is no room in the event log */
#define DETAIL_REFUSED          0x010D  /* the verifier did not accept the evidence */
#define DETAIL_EARLY_FAULT      0x010E  /* an exception while the tables of early.S were in force */
#define DETAIL_UNCAPPED         0x010F  /* annihilation could not cap the TPM: its runtime PCR still says "active" */

#define GUEST_RECORD        16      /* bytes of the kernel's record of a guest, which begins the arena */
#define PAYLOADS_MAX        8
#define MODULES_MAX         (PAYLOADS_MAX + 1)  /* and the trust anchors */
#define EVENT_LOG_SIZE      0x800
#define BOOT_INFORMATION_SIZE 0x2000
#define MULTIBOOT2_MAGIC    0x36D76289

#endif
