/* Coverage: which instructions have begun, and from where control came to them.

   Part of step_hook.c; machine/processor/code_coverage.py reads what is noted here, and notes itself the instructions
   that Python executes.  Nothing here stops the engine or counts.  Counting by block, the instructions of a block are
   noted once, when it has ended for the first time; the transfers between blocks are noted each time, but the last two
   successors of a block are known to it. */

enum { BEGUN = 1, IN_SEQUENCE = 2 };                        /* code_coverage.py, Mark */

struct transfer { u64 from, to; };

struct coverage {
    u8 *marks;              /* a byte for each address of the range */
    u64 base, size;         /* the range of linear addresses */
    u64 next;               /* where the instruction that began last ends; ~0 if unknown */
    u64 entered;            /* a handler was entered here by an interrupt: no transfer of the code; else ~0 */
    struct transfer *transfers;         /* from one instruction to another that does not follow it, each once */
    u32 *index;             /* a hash table of positions in it, plus one; 0 is free */
    u64 capacity;           /* of the hash table, a power of two; the list has half of it */
    u64 used;               /* transfers in the list */
    u64 lost;               /* transfers for which there was no place */
};

static void note_transfer(struct coverage *c, u64 from, u64 to)
{
    if (to == c->entered) {
        c->entered = ~0ull;
        return;
    }
    u64 at = (from * 0x9E3779B97F4A7C15ull ^ to * 0xC2B2AE3D27D4EB4Full) >> 20;
    for (;; at++) {
        u32 *place = &c->index[at & (c->capacity - 1)];
        struct transfer *t = &c->transfers[*place - 1];
        if (*place && t->from == from && t->to == to)
            return;
        if (*place)
            continue;
        if (c->used >= c->capacity / 2) {
            c->lost++;
            return;
        }
        c->transfers[c->used++] = (struct transfer){from, to};
        *place = c->used;
        return;
    }
}

/* Note that control comes from one instruction to another, which begins. */
static void cover(struct coverage *c, u64 from, u64 address)
{
    u64 at = address - c->base;
    if (at >= c->size)
        return;
    c->marks[at] |= BEGUN;
    if (address == c->next)
        c->marks[at] |= IN_SEQUENCE;
    else if (from - c->base < c->size)
        note_transfer(c, from, address);
}
