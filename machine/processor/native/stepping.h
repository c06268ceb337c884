/* Single-stepping of code that runs for the first time, when translating it would cost more than it saves.

   Part of step_hook.c.  When Unicorn is entered, it translates from there to the end of the page.  That takes a
   millisecond, which is wasted if the engine is stopped a few instructions later.  So each translated instruction adds
   to a debt (on_translation), and each retired one pays off some of it.  While the debt is too large, the engine is
   entered with its step flag set (machine/processor/engine.py): it then translates one instruction at a time, and raises
   #DB after each.  on_step() handles that #DB; software in the machine never sees it. */

enum { NEXT = 1, REPETITION };                                        /* step_hook.c, inhibited */
enum { NO_STEPS, WHILE_IN_DEBT, ONE_STEP, OF_SOFTWARE, GUARDED };     /* step_hook.py, Steps */
enum { DEBUG = 1, TRAP_FLAG = 0x100, ZERO_FLAG = 0x40, PAYS = 2 };

/* Return nonzero if retired instructions have paid for too few of those that were translated. */
static int in_debt(struct state *s)
{
    u64 paid = s->retired > s->paid_at ? PAYS * (s->retired - s->paid_at) : 0;
    s->paid_at = s->retired;
    s->debt = s->debt > paid ? s->debt - paid : 0;
    if (s->debt > 2 * s->credit)
        s->debt = 2 * s->credit;
    return s->debt >= s->credit;
}

static int is_repeated_string(const struct decoded *d)
{
    u8 opcode = d->opcode;
    return d->map == ONE_BYTE && d->mandatory >= REPEAT &&
           ((opcode >= 0x6C && opcode < 0x70) || (opcode >= 0xA4 && opcode < 0xA8) || (opcode >= 0xAA && opcode < 0xB0));
}

/* Record before a step what on_step() needs to know about the instruction that begins.  After STI or a load of SS, a
   repeated string instruction does not begin once more when its counter has reached 0: Unicorn ends its block there, and
   keeps interrupts inhibited through all iterations. */
static void note_begin(void *uc, struct state *s, const u8 *code, const struct decoded *d)
{
    u64 inhibited = s->inhibited;
    s->until = s->inhibited = 0;
    if (is_repeated_string(d)) {
        u64 rip = 0;
        s->reg_read(uc, REG_RIP, &rip);
        if (inhibited == NEXT || (inhibited == REPETITION && rip == s->rip)) {
            s->inhibited = REPETITION;
        } else {
            u8 compares = (d->opcode & 6) == 6 && d->opcode >= 0xA4;            /* CMPS, SCAS */
            s->until = compares ? d->mandatory : OPERAND_SIZE;
            s->reg_read(uc, REG_RCX, &s->rcx);
        }
        s->rip = rip;
    } else if (d->map == ONE_BYTE && d->modrm_at) {
        int to_ss = d->opcode == 0x17 || (d->opcode == 0x8E && (code[d->modrm_at] >> 3 & 7) == 2);
        s->inhibited = inhibited != NEXT && (d->opcode == 0xFB || to_ss) ? NEXT : 0;    /* STI, POP SS, MOV SS */
        if (d->opcode == 0xCD)
            s->stepping = NO_STEPS;                                             /* INT 1 must not be mistaken for a step */
    }
}

/* Return whether Python has to execute the next instruction, after a step in a guarded page (code_pages.py): it may be
   one that Unicorn aborts on, or lie at least partly in another page.  Far transfers are not stepped, so the base of CS
   has not changed. */
static int leaves_guard(void *uc, struct state *s)
{
    u64 rip = 0, size = LONGEST;
    s->reg_read(uc, REG_RIP, &rip);
    u64 address = s->long_mode ? rip : (u32)(rip + s->code_base);
    if ((address ^ s->guarded) >> 12 || (address & 0xFFF) > 0x1000 - LONGEST)
        return 1;
    u8 copy[16];
    struct decoded d;
    const u8 *code = code_at(uc, s, address, &size, copy);
    decode(s, code, size, &d);
    return !d.modrm_at || d.modrm_at >= size || (d.locked && d.action & UNDEFINED);
}

/* Handle #DB after a step.  Returns why the engine has to stop, or 0.

   When Unicorn does not step, a repeated string instruction begins (and is counted) once more after its counter has
   reached 0.  STOP_REPEAT makes Python return to it, so that stepping counts the same. */
static u64 on_step(void *uc, struct state *s)
{
    u64 flags = 0, rcx = 0, rip = 0;
    s->reg_read(uc, REG_EFLAGS, &flags);
    if (s->until) {
        s->reg_read(uc, REG_RCX, &rcx);
        s->reg_read(uc, REG_RIP, &rip);
        int found = s->until != OPERAND_SIZE && (s->until == REPEAT) == !(flags & ZERO_FLAG);
        if (rip != s->rip && rcx != s->rcx && !found)
            return STOP_REPEAT;
    }
    int trapping = flags & TRAP_FLAG;                                           /* POPF set TF: #DB after the next */
    if (s->stepping == GUARDED)
        return trapping || leaves_guard(uc, s) ? STOP_DEADLINE : 0;
    return trapping || s->stepping == ONE_STEP || !in_debt(s) ? STOP_DEADLINE : 0;
}
