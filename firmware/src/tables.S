/* Page tables (SDM volume 3, 4.5), built by the assembler and mapped read-only from the beginning.

   Accessed and dirty are set in advance, so that the processor never writes here: the tables are part of the
   measured image. Each line of `pages` maps one region; all other pages are not present: page 0 and every guard.
   The dormant set has no user page, and maps the heap as a supervisor window at another address. */
#include "layout.h"

#define PRESENT     (1 << 0)
#define WRITABLE    (1 << 1)
#define USER        (1 << 2)
#define UNCACHED    (1 << 4)
#define TOUCHED     (1 << 5 | 1 << 6)   /* accessed, dirty */
#define LARGE       (1 << 7)
#define NO_EXECUTE  (1 << 63)
#define TABLE       (PRESENT | WRITABLE | 1 << 5)
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
        table   PD_WINDOW, HEAP_WINDOW, 1 << 21
        pages   HEAP_WINDOW, HEAP_SIZE, DATA | LARGE, HEAP_BASE

        table   PD_DEVICES, 3 << 30, 1 << 21
        pages   0xFEC00000, 0x400000, DATA | LARGE | UNCACHED

        table   PT_KERNEL, 0, 1 << 12
        pages   TEXT_BASE, TEXT_SIZE, CODE
        pages   RODATA_BASE, RODATA_SIZE, CONSTANT
        pages   TABLES_BASE, TABLES_SIZE, CONSTANT
        pages   GATE_BASE, GATE_SIZE, CODE | USER
        pages   DATA_BASE, DATA_SIZE, DATA
        pages   KERNEL_STACK_BASE, KERNEL_STACK_SIZE, DATA
        pages   CALL_STACK_BASE, CALL_STACK_SIZE, DATA
        pages   FAULT_STACK_BASE, FAULT_STACK_SIZE, DATA
        pages   NMI_STACK_BASE, NMI_STACK_SIZE, DATA
        pages   CHECK_STACK_BASE, CHECK_STACK_SIZE, DATA
        pages   IRQ_STACK_BASE, IRQ_STACK_SIZE, DATA
        pages   GUEST_STACK_BASE, GUEST_STACK_SIZE, DATA | USER

        table   PT_ARENA, ARENA_BASE, 1 << 12
        pages   ARENA_BASE, ARENA_SIZE, DATA
        .org    TABLES_SIZE
