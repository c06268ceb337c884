/* Entering the engine from Python in the common way, in one call.

   Part of step_hook.c; Engine.execute() in machine/processor/engine.py does the same step by step, for all other ways. */

enum { MET_GP = 13, MET_PF = 14, FLAG_TF = 1 << 8, FLAG_NT = 1 << 14, FLAG_RF = 1 << 16, HFLAG_INHIBITED = 1 << 3, HFLAG_TF = 1 << 8,
       HFLAG_CODE_64 = 1 << 15, HFLAG_BY_BLOCK = 1 << 24, SIMD_FLAGS = 0x3D };  /* processor_state.py, saved_context.py */
enum { NOT_ENTERED };                           /* negative: -1 - Unicorn's error number; positive: a STOP_ name */

#include "known.h"

/* Return nonzero if Python has to look at the last stop before the machine may act on it. */
static int is_unfinished(const struct state *s)
{
    u64 reason = s->reason;
    int may_be_of_fetch = (s->vector == MET_PF || s->vector == MET_GP) && !s->met[1];
    return !reason || (reason == STOP_INTERRUPT && may_be_of_fetch) || reason >= STOP_REPEAT;
}

/* Give the registers to the engine and run it to the next stop.  Returns NOT_ENTERED if something has to be prepared:
   steps, counting by block, or the bases of segments, which Unicorn would add for a segment override in 64-bit mode. */
static int enter_once(void *uc, struct state *s)
{
    struct registers *r = s->registers;
    u64 long_mode = (r->hflags & HFLAG_CODE_64) != 0;
    if (s->stepping || s->retired >= s->pause ||
        (long_mode && (r->segments[ES].base | r->segments[SS].base | r->segments[DS].base)))
        return NOT_ENTERED;
    s->entry_retired = s->retired;
    s->entry_rflags = s->rflags;
    s->entry_cr2 = *s->cr2;
    s->reason = 0;
    s->long_mode = long_mode;
    s->mxcsr = *s->mxcsr_now;
    r->eflags = s->rflags & ~(u64)FLAG_RF;
    *s->old_exception = -1;                     /* see SavedContext.restore() */
    s->met[1] = 0;
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

/* Run the engine to the next stop that Python handles; of those that are known it handles only the rest. */
int enter(void *uc, struct state *s)
{
    for (;;) {
        int entered = enter_once(uc, s);
        if (entered != STOP_WATCHED)
            return entered;
        if (return_known(s))
            return STOP_RETURNED;
        if (!run_known(s))
            return entered;
        s->rflags &= ~(u64)FLAG_RF;
    }
}
