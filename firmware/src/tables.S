/* Page tables (SDM volume 3, 4.5), built by the assembler and mapped read-only from the beginning.

   Accessed and dirty are set in advance, so that the processor never writes here: the tables are part of the
   measured image. Each line of `pages` maps one region; all other pages are not present: page 0 and every guard.
   The dormant set has no user page, and maps the heap as a supervisor window at another address. The rights of a page
   are those of all levels combined: sets with different rights for the same pages share the lowest tables. */
#include "layout.h"

#define PRESENT     (1 << 0)
#define WRITABLE    (1 << 1)
#define USER        (1 << 2)
#define UNCACHED    (1 << 4)
#define TOUCHED     (1 << 5 | 1 << 6)   /* accessed, dirty */
#define LARGE       (1 << 7)
#define NO_EXECUTE  (1 << 63)
#define TABLE       (PRESENT | WRITABLE | 1 << 5)
#define READ_ONLY   (PRESENT | 1 << 5)
#define CODE        (PRESENT | TOUCHED)
#define CONSTANT    (PRESENT | TOUCHED | NO_EXECUTE)
#define DATA        (PRESENT | TOUCHED | WRITABLE | NO_EXECUTE)

/* Begin the table at `address`: its first entry is for linear address `first`, and an entry spans `span` bytes. */
        .macro  table address, first, span
        .org    \address - TABLES_BASE
        .set    table_offset, \address - TABLES_BASE
        .set    table_first, \first
        .set    table_span, \span
        .endm

/* Map `size` bytes at linear address `base` to `target`, which is `base` by default. */
        .macro  pages base, size, flags, target=-1
        .org    table_offset + (\base - table_first) / table_span * 8
        .if     \target == -1
        .set    page, \base
        .else
        .set    page, \target
        .endif
        .rept   (\size + table_span - 1) / table_span
        .quad   page + (\flags)
        .set    page, page + table_span
        .endr
        .endm

        .section .tables, "a", @progbits

        table   PML4_ACTIVE, 0, 1 << 39
        pages   0, 1, TABLE | USER, PDPT_ACTIVE
        table   PDPT_ACTIVE, 0, 1 << 30
        pages   0, 1, TABLE | USER, PD_ACTIVE
        pages   3 << 30, 1, TABLE, PD_DEVICES
        table   PD_ACTIVE, 0, 1 << 21
        pages   0, 1, TABLE | USER, PT_KERNEL
        pages   ARENA_BASE, 1, TABLE, PT_ARENA
        pages   STAGING_BASE, STAGING_SIZE, DATA | LARGE
        pages   HEAP_BASE, HEAP_SIZE, DATA | LARGE | USER

        /* Like the active set, but the staging area has the guest's code and is no longer writable. */
        table   PML4_NATIVE, 0, 1 << 39
        pages   0, 1, TABLE | USER, PDPT_NATIVE
        table   PDPT_NATIVE, 0, 1 << 30
        pages   0, 1, TABLE | USER, PD_NATIVE
        pages   3 << 30, 1, TABLE, PD_DEVICES
        table   PD_NATIVE, 0, 1 << 21
        pages   0, 1, TABLE | USER, PT_KERNEL
        pages   ARENA_BASE, 1, TABLE, PT_ARENA
        pages   STAGING_BASE, STAGING_SIZE, CODE | LARGE | USER
        pages   HEAP_BASE, HEAP_SIZE, DATA | LARGE | USER

        table   PML4_DORMANT, 0, 1 << 39
        pages   0, 1, TABLE, PDPT_DORMANT
        table   PDPT_DORMANT, 0, 1 << 30
        pages   0, 1, TABLE, PD_DORMANT
        pages   HEAP_WINDOW, 1, TABLE, PD_WINDOW
        pages   3 << 30, 1, TABLE, PD_DEVICES
        table   PD_DORMANT, 0, 1 << 21
        pages   0, 1, TABLE, PT_KERNEL
        pages   ARENA_BASE, 1, TABLE, PT_ARENA
        pages   STAGING_BASE, STAGING_SIZE, DATA | LARGE
        pages   VMM_MEMORY, 1, TABLE, PT_VMM
        table   PD_WINDOW, HEAP_WINDOW, 1 << 21
        pages   HEAP_WINDOW, HEAP_SIZE, DATA | LARGE, HEAP_BASE

        table   PD_DEVICES, 3 << 30, 1 << 21
        pages   0xFEC00000, 0x400000, DATA | LARGE | UNCACHED

        .macro  kernel_pages address, gate, vmm_text, vmm_rodata
        table   \address, 0, 1 << 12
        pages   TEXT_BASE, TEXT_SIZE, CODE
        pages   RODATA_BASE, RODATA_SIZE, CONSTANT
        pages   TABLES_BASE, TABLES_SIZE, CONSTANT
        pages   GATE_BASE, GATE_SIZE, \gate
        pages   VMM_TEXT_BASE, VMM_TEXT_SIZE, \vmm_text
        pages   VMM_RODATA_BASE, VMM_RODATA_SIZE, \vmm_rodata
        pages   DATA_BASE, DATA_SIZE, DATA
        pages   KERNEL_STACK_BASE, KERNEL_STACK_SIZE, DATA
        pages   CALL_STACK_BASE, CALL_STACK_SIZE, DATA
        pages   FAULT_STACK_BASE, FAULT_STACK_SIZE, DATA
        pages   NMI_STACK_BASE, NMI_STACK_SIZE, DATA
        pages   CHECK_STACK_BASE, CHECK_STACK_SIZE, DATA
        pages   IRQ_STACK_BASE, IRQ_STACK_SIZE, DATA
        pages   GUEST_STACK_BASE, GUEST_STACK_SIZE, DATA | USER
        .endm

        kernel_pages PT_KERNEL, CODE | USER, CONSTANT, CONSTANT

        table   PT_ARENA, ARENA_BASE, 1 << 12
        pages   ARENA_BASE, ARENA_SIZE, DATA | USER

        /* For the resident VMM: ring 3 executes the interpreter, and reads its constants, the staged modules, and the
           tables in the arena. It writes the guest stack, globals, values, calls and the heap, which is at another
           address, with nothing after it. */
        table   PML4_RESIDENT, 0, 1 << 39
        pages   0, 1, TABLE | USER, PDPT_RESIDENT
        table   PDPT_RESIDENT, 0, 1 << 30
        pages   0, 1, TABLE | USER, PD_RESIDENT
        pages   3 << 30, 1, TABLE, PD_DEVICES
        pages   LINEAR_BASE & -(1 << 30), 1, TABLE | USER, PD_LINEAR
        table   PD_RESIDENT, 0, 1 << 21
        pages   0, 1, TABLE | USER, PT_RESIDENT
        pages   ARENA_BASE, 1, READ_ONLY | USER, PT_ARENA
        pages   STAGING_BASE, STAGING_SIZE, CONSTANT | LARGE | USER
        pages   VMM_MEMORY, 1, TABLE | USER, PT_VMM
        table   PD_LINEAR, LINEAR_BASE & -(1 << 30), 1 << 21
        pages   LINEAR_BASE, HEAP_SIZE, DATA | LARGE | USER, HEAP_BASE

        kernel_pages PT_RESIDENT, CONSTANT, CODE | USER, CONSTANT | USER

        table   PT_VMM, VMM_MEMORY, 1 << 12
        pages   GLOBALS_BASE, GLOBALS_SIZE, DATA | USER
        pages   VALUES_BASE, VALUES_SIZE, DATA | USER
        pages   CALLS_BASE, CALLS_SIZE, DATA | USER
        .org    TABLES_SIZE
