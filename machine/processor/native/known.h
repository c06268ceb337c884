/* Stops that Python has handled before and that would end in the same way, handled without it.

   Part of step_hook.c.  The rules are in Python alone: machine/interrupts/delivery.py,
   machine/instructions/segmentation/interrupt_return.py and machine/instructions/floating_point/runs.py.  After one has
   been applied, machine/interrupts/known_transitions.py and runs.py note what decided about the result, and the result.
   Here the one is compared and the other copied.  Any difference leaves the stop to Python. */

enum { CR0_EM = 1 << 2, CR0_TS = 1 << 3, SEGMENTS = 6, TABLES = 4, WORDS = 4, X87_BYTES = 172 };
enum { STOP_RETURNED = 14 };                        /* step_hook.py, Stop; only a result of enter() */

/* The beginning of QEMU's CPUX86State: machine/architecture/processor_state.py. */
struct segment { u32 selector; u64 base; u32 limit, flags; };
struct registers {
    u64 general[16], rip, eflags, cc[3];
    u32 cc_op;
    int direction;
    u32 hflags, hflags2;
    struct segment segments[SEGMENTS];              /* ES, CS, SS, DS, FS, GS */
    struct segment tables[TABLES];                  /* LDTR, TR, GDTR, IDTR */
    u64 cr[9];
    int a20_mask;
    u64 bounds[11], efer;
};
enum { ES, CS, SS, DS, RSP = 4 };

/* An INT n or an IRETQ in 64-bit mode. */
struct transition {
    u64 vector;                     /* of INT */
    u64 hflags, hflags_after;
    struct segment segments[SEGMENTS], segments_after[SEGMENTS], tables[TABLES];
    u64 cr0, cr4, efer;
    const u64 *place[WORDS];        /* host addresses of descriptors and of the stack pointer in the TSS; 0 for none */
    u64 content[WORDS];             /* of these */
    u64 page;                       /* linear address of the page with the frame */
    u64 *host;                      /* its host address */
    const u8 *fetched;              /* nonzero: instructions may have been fetched from that page */
    u64 stack;                      /* of INT: the stack pointer before the frame; 0 for that of the interrupted code */
    u64 handler;                    /* of INT */
    u64 selector, outer;            /* of IRETQ: CS and SS in the frame */
    u64 flags;                      /* RFLAGS that INT clears, or that IRETQ loads */
    u64 watched;                    /* by the instruction hook, afterwards */
    u64 uses;
};

/* x87 instructions without memory operands. */
struct x87_run {
    u64 rip, selector;              /* of the first, and CS: they are kept in the x87 state */
    u64 size;                       /* bytes of code, two for each instruction */
    u8 code[32];
    u8 before[X87_BYTES], after[X87_BYTES];
};

static int same(const void *one, const void *other, u64 bytes)
{
    for (u64 i = 0; i < bytes; i++)
        if (((const u8 *)one)[i] != ((const u8 *)other)[i])
            return 0;
    return 1;
}

static void copy(void *to, const void *from, u64 bytes)
{
    for (u64 i = 0; i < bytes; i++)
        ((u8 *)to)[i] = ((const u8 *)from)[i];
}

/* Return whether a noted transition, or none, is what the processor would do now. */
static int applies(const struct transition *t, const struct registers *r)
{
    if (!t || r->hflags != t->hflags || r->cr[0] != t->cr0 || r->cr[4] != t->cr4 || r->efer != t->efer)
        return 0;
    if (!same(r->segments, t->segments, sizeof t->segments) || !same(r->tables, t->tables, sizeof t->tables))
        return 0;
    for (int i = 0; i < WORDS; i++)
        if (t->place[i] && *t->place[i] != t->content[i])
            return 0;
    return 1;
}

/* Return the host address of a frame of five words in the noted page, or 0. */
static u64 *frame_at(const struct transition *t, u64 address)
{
    u64 offset = address - t->page;
    return offset <= 0x1000 - 5 * 8 && !(offset & 7) ? t->host + offset / 8 : 0;
}

static void leave(struct state *s, struct transition *t, u64 rip, u64 rsp, u64 rflags)
{
    struct registers *r = s->registers;
    s->left_ring = r->hflags & 3;
    copy(r->segments, t->segments_after, sizeof t->segments_after);
    r->hflags = t->hflags_after;
    r->rip = rip;
    r->general[RSP] = rsp;
    s->rflags = rflags;
    s->watched = t->watched;
    t->uses++;
}

/* Deliver the INT that has just retired; Python calls this once it has recorded it.  Returns nonzero if that is done. */
int deliver_known(void *uc, struct state *s)
{
    (void)uc;
    struct transition *t = s->known_interrupt;
    struct registers *r = s->registers;
    if (!applies(t, r) || s->vector != t->vector)
        return 0;
    u64 stack = (t->stack ? t->stack : r->general[RSP] & ~15ull) - 5 * 8;
    u64 *frame = frame_at(t, stack);
    if (!frame || *t->fetched)
        return 0;
    frame[0] = r->rip;
    frame[1] = r->segments[CS].selector;
    frame[2] = s->rflags;
    frame[3] = r->general[RSP];
    frame[4] = r->segments[SS].selector;
    leave(s, t, t->handler, stack, s->rflags & ~t->flags);
    return 1;
}

/* Execute the IRETQ at which the hook has stopped.  Returns nonzero if that is done. */
static int return_known(struct state *s)
{
    struct transition *t = s->known_return;
    struct registers *r = s->registers;
    int is_iretq = s->code_size >= 2 && s->code[0] == 0x48 && s->code[1] == 0xCF;
    if (!is_iretq || s->retired + 1 >= s->deadline || !applies(t, r))
        return 0;
    const u64 *frame = frame_at(t, r->general[RSP]);
    if (!frame || s->rflags & (FLAG_TF | FLAG_NT) || frame[0] >> 47 || frame[1] != t->selector || frame[4] != t->outer)
        return 0;
    if (s->coverage)
        cover(s->coverage, s->last, r->rip);
    s->last = r->rip;
    s->retired++;
    leave(s, t, frame[0], frame[3], (s->rflags & ~t->flags) | (frame[2] & t->flags));
    return 1;
}

/* Execute the x87 instructions at which the hook has stopped.  Returns nonzero if that is done. */
static int run_known(struct state *s)
{
    const struct x87_run *run = s->known_run;
    struct registers *r = s->registers;
    if (!run || r->rip != run->rip || s->stepping || s->watch_if || s->addresses || s->flow || s->debugging)
        return 0;
    const struct page *page = &s->pages[run->rip >> 12 & (PAGES - 1)];
    u64 count = run->size / 2;
    if (page->linear != (run->rip >> 12 | 1ull << 63) || s->retired + count > s->deadline || !s->long_mode ||
        s->breakpoint - run->rip < run->size || s->rflags & FLAG_TF || r->cr[0] & (CR0_EM | CR0_TS) ||
        r->segments[CS].selector != run->selector || !same(page->host + (run->rip & 0xFFF), run->code, run->size) ||
        !same(s->x87, run->before, X87_BYTES))
        return 0;
    copy(s->x87, run->after, X87_BYTES);
    r->hflags &= ~(u32)HFLAG_INHIBITED;
    for (u64 at = 0; s->coverage && at < run->size; at += 2) {
        cover(s->coverage, at ? r->rip + at - 2 : s->last, r->rip + at);
        s->coverage->next = r->rip + at + 2;
    }
    s->last = r->rip + run->size - 2;
    s->retired += count;
    r->rip += run->size;
    return 1;
}
