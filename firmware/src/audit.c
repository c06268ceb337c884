/* Walks a set of page tables and checks it against the rules of the memory map: no page both writable and
   executable, ring 3 confined to its regions, tables and code read-only, no page where a guard must be, and accessed
   and dirty set in advance, so that the processor itself never writes a table. */
#include "kernel.h"

#define PRESENT     (1ull << 0)
#define WRITABLE    (1ull << 1)
#define USER        (1ull << 2)
#define ACCESSED    (1ull << 5)
#define DIRTY       (1ull << 6)
#define LARGE       (1ull << 7)
#define NO_EXECUTE  (1ull << 63)
#define ADDRESS     0x000FFFFFFFFFF000ull

struct region { u64 base, size; };

static const struct region user_regions[] = {
    {GATE_BASE, GATE_SIZE}, {GUEST_STACK_BASE, GUEST_STACK_SIZE}, {HEAP_BASE, HEAP_SIZE},
};
static const struct region resident_regions[] = {
    {VMM_TEXT_BASE, VMM_TEXT_SIZE}, {VMM_RODATA_BASE, VMM_RODATA_SIZE}, {GUEST_STACK_BASE, GUEST_STACK_SIZE},
    {ARENA_BASE, ARENA_SIZE}, {STAGING_BASE, STAGING_SIZE},
    {GLOBALS_BASE, GLOBALS_SIZE}, {VALUES_BASE, VALUES_SIZE}, {CALLS_BASE, CALLS_SIZE}, {LINEAR_BASE, HEAP_SIZE},
};
static const struct region read_only_regions[] = {
    {TEXT_BASE, TEXT_SIZE}, {RODATA_BASE, RODATA_SIZE}, {TABLES_BASE, TABLES_SIZE}, {GATE_BASE, GATE_SIZE},
    {VMM_TEXT_BASE, VMM_TEXT_SIZE}, {VMM_RODATA_BASE, VMM_RODATA_SIZE},
};
/* These, too, where the resident VMM reads them. */
static const struct region resident_tables[] = {
    {ARENA_BASE, ARENA_SIZE}, {STAGING_BASE, STAGING_SIZE},
};
static const u64 guards[] = {
    0, DATA_BASE + DATA_SIZE,
    KERNEL_STACK_BASE - 1, KERNEL_STACK_BASE + KERNEL_STACK_SIZE,
    CALL_STACK_BASE - 1, CALL_STACK_BASE + CALL_STACK_SIZE,
    FAULT_STACK_BASE - 1, FAULT_STACK_BASE + FAULT_STACK_SIZE,
    NMI_STACK_BASE - 1, NMI_STACK_BASE + NMI_STACK_SIZE,
    CHECK_STACK_BASE - 1, CHECK_STACK_BASE + CHECK_STACK_SIZE,
    IRQ_STACK_BASE - 1, IRQ_STACK_BASE + IRQ_STACK_SIZE,
    GUEST_STACK_BASE - 1, GUEST_STACK_BASE + GUEST_STACK_SIZE,
    HEAP_BASE - 1, HEAP_BASE + HEAP_SIZE,
    GLOBALS_BASE - 1, GLOBALS_BASE + GLOBALS_SIZE,
    VALUES_BASE - 1, VALUES_BASE + VALUES_SIZE,
    CALLS_BASE - 1, CALLS_BASE + CALLS_SIZE,
    LINEAR_BASE - 1, LINEAR_END,
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define INSIDE(regions, base, size) is_inside(regions, COUNT(regions), base, size)

static int is_inside(const struct region *regions, u32 count, u64 base, u64 size)
{
    for (u32 i = 0; i < count; i++)
        if (base >= regions[i].base && base + size <= regions[i].base + regions[i].size)
            return 1;
    return 0;
}

/* Nonzero for the staging area in the native tables: ring 3 may access it too, but nothing may write it. */
static int is_guest_code(u64 pml4, u64 base, u64 entry)
{
    return pml4 == PML4_NATIVE && base == STAGING_BASE
        && entry == (STAGING_BASE | PRESENT | USER | ACCESSED | DIRTY | LARGE);
}

/* Nonzero if ring 3 may access a page of these tables. */
static int is_users(u64 pml4, u64 base, u64 size)
{
    return pml4 == PML4_RESIDENT ? INSIDE(resident_regions, base, size) : INSIDE(user_regions, base, size);
}

static int is_read_only(u64 pml4, u64 base, u64 size)
{
    return INSIDE(read_only_regions, base, size) || (pml4 == PML4_RESIDENT && INSIDE(resident_tables, base, size));
}

static int page_is_sound(u64 pml4, u64 base, u64 size, u64 entry)
{
    u64 touched = ACCESSED | DIRTY, physical = base >= LINEAR_BASE ? base - LINEAR_BASE + HEAP_BASE : base;

    if ((entry & WRITABLE && !(entry & NO_EXECUTE)) || (entry & touched) != touched)
        return 0;
    if (!!(entry & USER) != is_users(pml4, base, size))
        return is_guest_code(pml4, base, entry);
    if (entry & WRITABLE && is_read_only(pml4, base, size))
        return 0;
    for (u32 i = 0; i < COUNT(guards); i++)
        if (guards[i] >= base && guards[i] < base + size)
            return 0;
    return (entry & ADDRESS) == physical;
}

/* Check the table at `table`, whose first entry is for `base`; an entry spans 1 << `shift` bytes. The rights of a
   page are those of all levels combined: `rights` has the bits USER and WRITABLE of the levels above. */
static int table_is_sound(u64 pml4, u64 table, u64 base, u32 shift, u64 rights)
{
    const u64 *entries = (const u64 *)table;

    for (u32 i = 0; i < 512; i++, base += 1ull << shift) {
        u64 entry = entries[i];
        if (!(entry & PRESENT))
            continue;
        entry &= rights | ~(USER | WRITABLE);
        if (shift == 12 || entry & LARGE) {
            if (!page_is_sound(pml4, base, 1ull << shift, entry))
                return 0;
        } else if (!(entry & ACCESSED)
                   || !table_is_sound(pml4, entry & ADDRESS, base, shift - 9, entry & (USER | WRITABLE))) {
            return 0;
        }
    }
    return 1;
}

int tables_are_sound(u64 pml4)
{
    return table_is_sound(pml4, pml4, 0, 39, USER | WRITABLE);
}
