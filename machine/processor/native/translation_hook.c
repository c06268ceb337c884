/* The translation hook, in native code.  Unicorn calls it after it has translated a block of instructions.

   It marks the lines of RAM that the block was translated from: see machine/processor/translations.py, which implements
   the same rule in Python.  It is built in the same way as step_hook.c. */
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

enum { PAGE = 0x1000, LINE_SHIFT = 8, PROT_EXEC = 4 };       /* machine/bus/ram.py; UC_PROT_EXEC */
enum { OF_BLOCK = 4 };       /* debt for a block, in addition to that for its instructions */

struct block { u64 address; u16 instructions, size; };       /* uc_tb */

struct translations {
    u8 *lines;              /* one byte per line of RAM: 1 if part of a translated instruction is in it */
    u64 ram_size;
    int (*vmem_translate)(void *uc, u64 address, u32 access, u64 *physical);
    u64 *debt;              /* the step hook's: see stepping.h */
};

/* Mark the lines of a range of bytes that does not cross a page boundary. */
static void note(void *uc, struct translations *t, u64 address, u64 size)
{
    u64 physical;
    if (t->vmem_translate(uc, address & -(u64)PAGE, PROT_EXEC, &physical) || physical + PAGE > t->ram_size)
        return;
    physical |= address & (PAGE - 1);
    for (u64 line = physical >> LINE_SHIFT; line <= (physical + size - 1) >> LINE_SHIFT; line++)
        t->lines[line] = 1;
}

/* UC_HOOK_EDGE_GENERATED */
void on_translation(void *uc, const struct block *block, const struct block *before, struct translations *t)
{
    (void)before;
    *t->debt += block->instructions + OF_BLOCK;
    u64 size = block->size ? block->size : 1, here = PAGE - (block->address & (PAGE - 1));
    if (size > here) {
        note(uc, t, block->address + here, size - here);
        size = here;
    }
    note(uc, t, block->address, size);
}
