/* Entering the engine from Python in the common way, in one call.

   Part of step_hook.c; Engine.execute() in machine/processor/engine.py does the same step by step, for all other ways. */

enum { MET_PF = 14, FLAG_RF = 1 << 16, HFLAG_TF = 1 << 8, HFLAG_CODE_64 = 1 << 15, HFLAG_BY_BLOCK = 1 << 24,
       SIMD_FLAGS = 0x3D };                     /* processor_state.py, saved_context.py */
enum { NOT_ENTERED };                           /* negative: -1 - Unicorn's error number; positive: a STOP_ name */

/* The beginning of QEMU's CPUX86State: machine/architecture/processor_state.py. */
struct segment { u32 selector; u64 base; u32 limit, flags; };
struct registers {
    u64 general[16], rip, eflags, cc[3];
    u32 cc_op;
    int direction;
    u32 hflags, hflags2;
    struct segment es, cs, ss, ds, fs, gs;
};

/* Return nonzero if Python has to look at the last stop before the machine may act on it. */
static int is_unfinished(const struct state *s)
{
    u64 reason = s->reason;
    return !reason || (reason == STOP_INTERRUPT && s->vector == MET_PF && !s->met[1]) || reason >= STOP_REPEAT;
}

/* Give the registers to the engine and run it to the next stop.  Returns NOT_ENTERED if something has to be prepared:
   steps, counting by block, or the bases of segments, which Unicorn would add for a segment override in 64-bit mode. */
int enter(void *uc, struct state *s)
{
    struct registers *r = s->registers;
    u64 long_mode = (r->hflags & HFLAG_CODE_64) != 0;
    if (s->stepping || s->retired >= s->pause || (long_mode && (r->es.base | r->ss.base | r->ds.base)))
        return NOT_ENTERED;
    s->entry_retired = s->retired;
    s->entry_rflags = s->rflags;
    s->entry_cr2 = *s->cr2;
    s->reason = 0;
    s->long_mode = long_mode;
    s->mxcsr = *s->mxcsr_now;
    r->eflags = s->rflags & ~(u64)FLAG_RF;
    *s->old_exception = -1;
    s->context_restore(uc, s->context);
    int status = s->emu_start(uc, r->rip, 0, 0, 0);
    if (status || is_unfinished(s))
        return -1 - status;
    r->hflags &= ~(u32)(HFLAG_TF | HFLAG_BY_BLOCK);
    if (!(r->hflags & HFLAG_CODE_64))
        r->rip = (u32)r->rip;                   /* Unicorn does not wrap it */
    *s->cr2 = s->entry_cr2;
    *s->mxcsr_now |= *s->simd_raised & SIMD_FLAGS;
    *s->simd_raised = 0;
    if (s->entry_rflags & FLAG_RF && s->retired == s->entry_retired)
        s->rflags |= FLAG_RF;
    return s->reason;
}
