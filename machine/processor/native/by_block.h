/* Counting instructions by block instead of one by one.

   Part of step_hook.c; machine/processor/block_clock.py decides when.  While `by_block` is set, Unicorn calls on_block()
   before each block that it has translated, but on_instruction() never.  If a block has instructions to be looked at,
   Unicorn calls on_examined() before all of its instructions, because with hooks before only some of them it forgets to
   keep the flags for these.  Whatever needs the exact number of instructions happens between two blocks, or ends the
   run before it happens: devices and code pages refuse all accesses (machine/processor/block_clock.py).  An exception
   leaves an exact RIP, so that settle() can take back the rest of the block.  Only in 64-bit mode and in 32-bit code
   with flat segments, where linear addresses are offsets. */

enum { BLOCKS = 4096, WHOLE_STORE = 8, PAGE_SIZE = 0x1000 };            /* BLOCKS: block_clock.py */
enum { HAS_MODRM = 1, ONLY_FIRST_TWO = 2, IMMEDIATE = 4 };              /* block_clock.py, _shapes */
enum { NO_IMMEDIATE, IB, IW, IZ, IV, OFF, FAR, IWB, REL };

/* A block as translated: code at a linear address, which was read at `host`. */
struct block {
    u64 address;
    const u8 *host;
    const u8 *next;         /* the page that follows, if the block extends into it; else 0 */
    u32 size;               /* bytes */
    u32 count;              /* instructions; 0 for a block that cannot be counted like this */
    u64 covered;            /* nonzero: its instructions are noted as begun, and this is the last one */
    u64 followers[2];       /* blocks to which a transfer from this one is noted */
};

/* Return the length of an instruction; 0 if the code ends before it, or the instruction is undefined. */
static u64 length_of(const struct state *s, const u8 *code, u64 size, const struct decoded *d)
{
    u64 at = d->modrm_at;
    u32 shape = s->shapes[d->map << 8 | d->opcode], word = d->narrow && !(d->rex & 8) ? 2 : 4, kind = shape / IMMEDIATE;
    if (!at || d->action & UNDEFINED || (d->short_address && !s->long_mode))      /* 16-bit addresses */
        return 0;
    if (shape & HAS_MODRM) {
        if (at >= size)
            return 0;
        u8 modrm = code[at++], mode = modrm >> 6, base = modrm & 7;
        if (shape & ONLY_FIRST_TWO && modrm & 0x30)
            kind = NO_IMMEDIATE;
        if (mode != 3 && !(d->map == TWO_BYTE && (d->opcode & 0xFC) == 0x20)) {     /* MOV CR and DR have no memory form */
            if (base == 4) {
                if (at >= size)
                    return 0;
                base = code[at++] & 7;
            }
            at += mode == 1 ? 1 : mode == 2 || base == 5 ? 4 : 0;
        }
    }
    switch (kind) {
    case IB: at += 1; break;
    case IW: at += 2; break;
    case IZ: at += word; break;
    case IV: at += d->rex & 8 ? 8 : word; break;
    case OFF: at += !s->long_mode || d->short_address ? 4 : 8; break;
    case FAR: at += word + 2; break;
    case IWB: at += 3; break;
    case REL: at += s->long_mode ? 4 : word; break;
    }
    return at <= size ? at : 0;
}

/* Return whether an instruction is BT, BTS, BTR or BTC.  Unicorn makes their undefined flags from whichever instruction
   has changed the flags last, unless a hook before the instruction makes it compute them. */
static int tests_bit(const struct decoded *d)
{
    return d->map == TWO_BYTE && ((d->opcode & 0xE7) == 0xA3 || d->opcode == 0xBA);
}

/* Return whether an instruction raises an exception that leaves RIP after it, within a block: INTO. */
static int traps_within(const struct decoded *d)
{
    return d->map == ONE_BYTE && d->opcode == 0xCE;
}

/* Return whether operands or registers decide what an instruction does here: on_examined() has to see it each time. */
static int is_examined(void *uc, struct state *s, const u8 *code, u64 size, u64 following, const struct decoded *d)
{
    u32 action = d->action & ~(u32)LOCKABLE;
    int memory = d->modrm_at < size && code[d->modrm_at] < 0xC0;
    if (!memory)
        action &= ~(u32)(ALIGNED | WIDE | MODIFIES);
    if (d->map == ONE_BYTE) {
        u32 extension = code[d->modrm_at] >> 3 & 7;                     /* if there is a ModRM */
        int calls = d->opcode == 0xFF && extension == 2, pushes = d->opcode == 0xFF && memory && extension == 6;
        if (calls || pushes || d->opcode == 0xA5 || d->opcode == 0x8F)                   /* see stores_apart() */
            return 1;
        int ports = d->opcode >= 0x6C && d->opcode < 0x70, loop = (d->opcode & 0xFE) == 0xE0;
        if (!ports && !loop && action & LOOK)                           /* the code alone decides */
            action = unusual_operands(uc, s, code, size, following, d) ? LOOK : action & ~(u32)LOOK;
    } else if (d->map == TWO_BYTE && (d->opcode & 0xF0) == 0x80 && !d->narrow)            /* Jcc */
        return 0;
    else if (tests_bit(d))
        return 1;
    return action != 0;
}

/* The bit for an address in `examined_bits`; other addresses may share it. */
static u32 examined_bit(u64 address)
{
    return (address ^ address >> 16) & (EXAMINED - 1);
}

/* Count the instructions of a block, and note those that have to be examined.  Returns 0 if that is not possible. */
static u32 count_block(void *uc, struct state *s, u64 address, u64 block_size)
{
    u64 at = address, end = address + block_size;
    u32 count = 0;
    s->examines = 0;
    if (!s->long_mode && end >> 32)
        return 0;                                           /* EIP may wrap */
    while (at < end) {
        u8 copy[16];
        u64 size = end - at;                                /* no more than Unicorn has fetched */
        const u8 *code = code_at(uc, s, at, &size, copy);
        struct decoded d;
        decode(s, code, size, &d);
        u64 length = length_of(s, code, size, &d);
        if (begins_comparing(s, ~at, &d) || traps_within(&d))
            return 0;                                       /* `last` or RIP is not right in a block */
        int ends = d.action & UNDEFINED ? 1 : 0;            /* and its length does not matter */
        if (!length && !ends)
            return 0;
        if (ends || is_examined(uc, s, code, length, at + length, &d)) {
            s->examined_bits[examined_bit(at) >> 6] |= 1ull << (examined_bit(at) & 63);
            s->examines = 1;
        }
        count++;
        at = ends ? end : at + length;
    }
    return at == end ? count : 0;
}

/* Return where the code at an address is; 0 if it cannot be read. */
static const u8 *host_of(void *uc, struct state *s, u64 address)
{
    u8 copy[16];
    u64 size = 1;
    const u8 *found = code_at(uc, s, address, &size, copy);
    return size ? found : 0;
}

enum point { BEFORE, AFTER, END };

/* Note the instructions of a block up to a point: before or after the one at `rip`, or all.  Returns how many. */
static u32 walk(void *uc, struct state *s, const struct block *b, u64 rip, enum point point)
{
    u64 at = b->address;
    for (u32 index = 0; index < b->count; index++) {
        u8 copy[16];
        u64 size = b->address + b->size - at;
        const u8 *code = code_at(uc, s, at, &size, copy);
        struct decoded d;
        decode(s, code, size, &d);
        if (point == BEFORE && at == rip)
            return index;
        u64 length = length_of(s, code, size, &d);
        if (s->coverage) {
            if (index)
                cover(s->coverage, s->last, at);
            s->coverage->next = at + length;
        }
        s->last = at;
        s->begun = d.map == ONE_BYTE ? d.opcode : 0;
        if (point == AFTER && at == rip)
            return index + 1;
        at += length;
    }
    return b->count;
}

/* Note all instructions of a block as begun.  Returns the address of the last one. */
static u64 cover_all(void *uc, struct state *s, const struct block *b)
{
    u64 at = b->address, last = at;
    for (u32 index = 0; index < b->count; index++) {
        u8 copy[16];
        u64 size = b->address + b->size - at;
        const u8 *code = code_at(uc, s, at, &size, copy);
        struct decoded d;
        decode(s, code, size, &d);
        s->coverage->next = at;
        if (index)
            cover(s->coverage, last, at);
        last = at;
        at += length_of(s, code, size, &d);
    }
    return last;
}

/* Note that a block begins after `now`, the one before it, which has ended. */
static void cover_block(void *uc, struct state *s, const struct block *b)
{
    struct coverage *c = s->coverage;
    struct block *from = s->now;
    if (!from)
        return cover(c, s->last, b->address);
    if (from->covered && (from->followers[0] == b->address || from->followers[1] == b->address))
        return;
    if (b->address - c->base >= c->size && from->address - c->base >= c->size)
        return;
    if (!from->covered)
        from->covered = cover_all(uc, s, from);
    from->followers[1] = from->followers[0];
    from->followers[0] = b->address;
    c->next = from->address + from->size;
    cover(c, from->covered, b->address);
}

/* Make the instruction count exact, and note the instruction that began last.  A block is counted before it runs. */
static void settle(void *uc, struct state *s, u64 rip, enum point point)
{
    struct block *b = s->now;
    if (!b)
        return;
    if (s->before)
        walk(uc, s, s->before, 0, END);
    s->retired -= b->count - walk(uc, s, b, rip, point);
    s->now = s->before = 0;
}

/* The same after an exception: RIP is that of its instruction, or follows INT. */
static void settle_at_rip(void *uc, struct state *s)
{
    u64 rip = 0;
    s->reg_read(uc, REG_RIP, &rip);
    settle(uc, s, rip, AFTER);
    s->flags_right = s->examined_at != rip;
}

/* The engine has stopped without a hook: see settle(). */
void on_end(void *uc, struct state *s, u64 rip, u32 point)
{
    settle(uc, s, rip, point);
}

/* Look a block up in the table, and enter it if it is not there.  Returns a stop to make before it, or 0. */
static u64 look_up(void *uc, struct state *s, struct block *b, u64 address, u32 size)
{
    const u8 *host = host_of(uc, s, address), *next = 0;
    int crosses = (address & (PAGE_SIZE - 1)) + size > PAGE_SIZE;
    if (crosses)
        next = host_of(uc, s, (address | (PAGE_SIZE - 1)) + 1);
    if (b->address == address && b->size == size && b->host == host && b->next == next)
        return 0;
    if (b == s->now || b == s->before || !host || (crosses && !next))
        return STOP_BLOCK;
    b->address = address;
    b->host = host;
    b->next = next;
    b->size = size;
    b->covered = b->followers[0] = b->followers[1] = 0;
    b->count = count_block(uc, s, address, size);
    return b->count && s->examines ? STOP_EXAMINE : 0;
}

/* UC_HOOK_BLOCK */
void on_block(void *uc, u64 address, u32 size, struct state *s)
{
    struct block *b = &s->blocks[(address ^ address >> 12) & (BLOCKS - 1)];
    const struct page *page = &s->pages[address >> 12 & (PAGES - 1)];
    u64 reason = 0;
    if (b->address != address || b->size != size || page->linear != (address >> 12 | 1ull << 63) ||
        b->host != page->host + (address & (PAGE_SIZE - 1)) || b->next)
        reason = look_up(uc, s, b, address, size);
    u64 retired = s->retired + b->count;
    if (!b->count || s->breakpoint - address < size || s->debt > 2 * s->credit)
        reason = reason ? reason : STOP_BLOCK;
    if (reason || retired > s->deadline) {
        settle(uc, s, 0, END);
        return stop(uc, s, s->retired >= s->deadline ? STOP_DEADLINE : reason ? reason : STOP_BLOCK);
    }
    if (s->coverage)
        cover_block(uc, s, b);
    s->before = s->now;
    s->now = b;
    s->retired = retired;
}

/* Nonzero if an instruction stores to two pages, one of which may refuse that, and reads what the other one changes. */
static int stores_apart(void *uc, struct state *s, const u8 *code, u64 size, u64 following, const struct decoded *d)
{
    u64 address;
    if (d->map == ONE_BYTE && d->opcode == 0x8F)                                /* POP r/m */
        return 1;
    if (d->map == TWO_BYTE && (d->opcode == 0xAB || d->opcode == 0xB3 || d->opcode == 0xBB))    /* BTS, BTR, BTC */
        return 1;
    if (d->map == ONE_BYTE && d->opcode == 0xA5)                                /* MOVS */
        address = general(uc, s, 7);
    else if (d->map == ONE_BYTE && d->opcode == 0xFF && code[d->modrm_at] & 0x30)       /* CALL and PUSH */
        address = general(uc, s, 4) - WHOLE_STORE;
    else if (d->action & MODIFIES)
        address = operand_address(uc, s, code, size, d, following);
    else
        return 0;
    return (address & (PAGE_SIZE - 1)) > PAGE_SIZE - WHOLE_STORE;
}

/* UC_HOOK_CODE, for the blocks with instructions that is_examined() found. */
void on_examined(void *uc, u64 address, u32 length, struct state *s)
{
    if (!s->by_block)
        return;                                             /* on_instruction() has seen it */
    s->examined_at = address;
    s->flags_before = ~0ull;
    if (!(s->examined_bits[examined_bit(address) >> 6] >> (examined_bit(address) & 63) & 1))
        return;
    u8 copy[16];
    u64 size = length;
    const u8 *code = code_at(uc, s, address, &size, copy);
    struct decoded d;
    decode(s, code, size, &d);
    u64 reason = 0;
    if (d.action & PORT || (d.modrm_at < size && code[d.modrm_at] < 0xC0 && stores_apart(uc, s, code, size, address + length, &d)))
        reason = STOP_BLOCK;
    else if (examine(uc, s, address, length, code, size, &d))
        reason = STOP_WATCHED;
    if (!reason)
        return;
    settle(uc, s, address, BEFORE);
    stop(uc, s, reason);
}
