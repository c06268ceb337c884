/* Instructions that Unicorn executes incorrectly for some operands only.  machine/processor/unusual_operands.py
   implements the same rules in Python.

   Part of step_hook.c, which calls unusual_operands() before an instruction whose action is FLOATS or LOOK. */

enum { REG_XMM0 = 122 };                            /* UC_X86_REG_ */
enum { RCX = 1 };                                   /* register number, as instructions encode it */
enum { PROT_READ = 1 };                             /* UC_PROT_ */
enum { DENORMAL = 1 << 1, PRECISION = 1 << 5, DENORMALS_ARE_ZEROS = 1 << 6, EXCEPTIONS = 0x3F, MASKS = 7,
       FLUSH_TO_ZERO = 1 << 15 };                   /* MXCSR */

/* The layout of the numbers in the operands of an SSE instruction. */
struct numbers { u32 wide, count, horizontal; };

static int is_nan(u64 number, u32 wide)
{
    return wide ? (number & ~(1ull << 63)) > 0x7FFull << 52 : (number & 0x7FFFFFFF) > 0x7F800000;
}

static int is_denormal(u64 number, u32 wide)
{
    return wide ? !(number & 0x7FFull << 52) && number << 1 : !(number & 0x7F800000) && number & 0x7FFFFFFF;
}

static u64 number_at(const u64 *vector, u32 index, u32 wide)
{
    return wide ? vector[index] : vector[index >> 1] >> (index & 1) * 32 & 0xFFFFFFFF;
}

enum { FAULTS, READ, NO_RAM };

/* Copy `size` bytes of memory, if all of them are RAM. */
static int read_ram(void *uc, struct state *s, u64 address, u32 size, u8 *copy)
{
    while (size) {
        u64 physical, offset = address & 0xFFF;
        u32 part = offset + size > 0x1000 ? 0x1000 - offset : size;
        if (s->vmem_translate(uc, address & ~0xFFFull, PROT_READ, &physical))
            return FAULTS;
        if (physical + 0x1000 > s->ram_size)
            return NO_RAM;
        const u8 *from = s->ram + (physical & ~0xFFFull) + offset;
        address += part;
        size -= part;
        while (part--)
            *copy++ = *from++;
    }
    return READ;
}

/* Return nonzero if an SSE floating-point instruction has two NaNs, or a denormal while MXCSR.DE is not set yet. */
static int unusual_numbers(void *uc, struct state *s, const u8 *code, u64 size, u64 following, const struct decoded *d)
{
    u32 mxcsr = s->mxcsr;
    int single = 0, ordered = 0, minimum = 0;       /* has one operand; never propagates a NaN; is MIN or MAX */
    if ((~mxcsr >> MASKS & EXCEPTIONS) || mxcsr & FLUSH_TO_ZERO)
        return 1;
    if (d->map == THREE_BYTE_3A)                    /* ROUND: Unicorn always raises the precision exception */
        return code[size - 1] & 8 && !(mxcsr & PRECISION);
    if (d->map != TWO_BYTE)
        return 0;
    struct numbers n = {d->mandatory & 1, 0, 0};
    n.count = d->mandatory >= REPEAT ? 1 : n.wide ? 2 : 4;
    switch (d->opcode) {
    case 0x51:
        single = 1;
        break;
    case 0x5A:
        single = 1;
        n.count = n.count > 2 ? 2 : n.count;
        break;
    case 0x58: case 0x59: case 0x5C: case 0x5E:
        break;
    case 0x5D: case 0x5F:
        ordered = minimum = 1;
        break;
    case 0xC2:
        if (code[size - 1] & ~7)
            return 1;                               /* Unicorn rejects reserved bits; a processor ignores them */
        ordered = 1;
        break;
    case 0x2E: case 0x2F:
        ordered = 1;
        n.count = 1;
        break;
    case 0x7C: case 0x7D:
        n.horizontal = 1;                           /* fall through */
    case 0xD0:
        n.wide = d->mandatory == OPERAND_SIZE;
        n.count = n.wide ? 2 : 4;
        break;
    default:
        return 0;
    }
    int zeros = mxcsr & DENORMALS_ARE_ZEROS;
    int denormals = zeros ? minimum : !(mxcsr & DENORMAL);      /* nonzero if denormals matter */
    if (!denormals && (ordered || single))
        return 0;
    u64 a[2] = {0, 0}, b[2] = {0, 0};
    u8 modrm = code[d->modrm_at];
    if (modrm >= 0xC0) {
        s->reg_read(uc, REG_XMM0 + ((modrm & 7) | (d->rex & 1) << 3), b);
    } else {
        if (!s->long_mode)
            return 1;
        int found = read_ram(uc, s, operand_address(uc, s, code, size, d, following), n.count << (n.wide ? 3 : 2), (u8 *)b);
        if (found != READ)
            return found == NO_RAM;                 /* Unicorn raises the fault */
    }
    if (!single)
        s->reg_read(uc, REG_XMM0 + ((modrm >> 3 & 7) | (d->rex & 4) << 1), a);
    for (u32 i = 0; i < n.count; i++) {
        u64 x = number_at(a, i, n.wide), y = number_at(b, i, n.wide);
        if (denormals && ((!single && is_denormal(x, n.wide)) || is_denormal(y, n.wide)))
            return 1;
        if (ordered || single)
            continue;
        if (!n.horizontal) {
            if (is_nan(x, n.wide) && is_nan(y, n.wide))
                return 1;
        } else if (i & 1) {
            if ((is_nan(x, n.wide) && is_nan(number_at(a, i - 1, n.wide), n.wide)) ||
                (is_nan(y, n.wide) && is_nan(number_at(b, i - 1, n.wide), n.wide)))
                return 1;
        }
    }
    return 0;
}

/* Return the general register that is the r/m operand; 0 for memory. */
static u64 register_operand(void *uc, const struct state *s, const u8 *code, const struct decoded *d)
{
    u8 modrm = code[d->modrm_at];
    return modrm >= 0xC0 ? general(uc, s, (modrm & 7) | (d->rex & 1) << 3) : 0;
}

/* Return nonzero for PHADDx and PHSUBx with the same register twice, and for SSSE3 on MMX registers with REX. */
static int unusual_registers(const u8 *code, const struct decoded *d)
{
    u8 modrm = code[d->modrm_at], low = d->opcode & 7;
    if (d->mandatory == NO_PREFIX && d->rex & 5)
        return 1;
    int same = modrm >= 0xC0 && (modrm >> 3 & 7) == (modrm & 7) && !(d->rex & 4) == !(d->rex & 1);
    return same && d->map == THREE_BYTE_38 && d->opcode < 8 && low & 3;
}

/* Return nonzero for a CALL to a non-canonical address, which Unicorn checks only after the push. */
static int calls_nowhere(void *uc, struct state *s, const u8 *code, u64 size, u64 following, const struct decoded *d)
{
    u64 target = following;
    if (d->opcode == 0xE8) {
        if (d->modrm_at + 4 > size)
            return 0;
        target += displacement(code + d->modrm_at, 4);
    } else {
        if (d->opcode != 0xFF || d->modrm_at >= size || (code[d->modrm_at] >> 3 & 7) != 2)
            return 0;
        if (code[d->modrm_at] >= 0xC0)
            target = register_operand(uc, s, code, d);
        else {
            int found = read_ram(uc, s, operand_address(uc, s, code, size, d, following), 8, (u8 *)&target);
            if (found != READ)
                return found == NO_RAM;                         /* Unicorn raises the fault */
        }
    }
    return (u64)((i64)(target << 16) >> 16) != target;
}

static int unusual_operands(void *uc, struct state *s, const u8 *code, u64 size, u64 following, const struct decoded *d)
{
    int wide = d->rex & 8, both = d->narrow && d->mandatory >= REPEAT;
    if (d->map == ONE_BYTE) {
        if (d->opcode == 0x9E || d->opcode == 0x9F)             /* SAHF, LAHF */
            return d->rex;
        if (d->opcode >= 0x6C && d->opcode < 0x70)      /* REP INS, REP OUTS: Unicorn loses the flags set before them */
            return s->last != following - size;
        if ((d->opcode & 0xFE) == 0xE0 && (general(uc, s, RCX) & 0xFFFF) == 1)  /* LOOPE, LOOPNE: likewise */
            return 1;
        if (d->opcode == 0xC6 || d->opcode == 0xC7)             /* MOV r/m, imm */
            return d->rex & 4;
        if (d->opcode == 0xF6 || d->opcode == 0xF7)             /* NEG */
            return d->locked;
        if (d->opcode == 0xC2 && d->modrm_at + 1 < size && code[d->modrm_at + 1] & 0x80)
            return 1;                                           /* RET imm16: Unicorn sign-extends it */
        return s->long_mode && (d->narrow || calls_nowhere(uc, s, code, size, following, d));   /* near branches */
    }
    if (d->modrm_at >= size)
        return 0;
    if (d->action & FLOATS)
        return both || unusual_numbers(uc, s, code, size, following, d);
    if (d->unused_bits)
        return 1;
    if (d->map == VEX_3A)
        return 0;
    if (d->map == VEX_38) {
        if (d->opcode == 0xF7 ? d->mandatory : d->opcode != 0xF5 || d->mandatory == REPEAT)
            return 0;                                           /* all but BEXTR, BZHI and PDEP */
        u64 other = general(uc, s, d->vex_register);
        int upper = !wide && register_operand(uc, s, code, d) >> 32;
        if (d->opcode == 0xF7)                                  /* BEXTR */
            return upper || (other >> 8 & 0xFF) >= (wide ? 64 : 32);
        if (d->mandatory == NO_PREFIX)                          /* BZHI */
            return (other & 0xFF) >= (wide ? 63 : 31);
        return upper;                                           /* PDEP */
    }
    if (d->map == TWO_BYTE) {
        if (d->opcode == 0xC7)                                  /* CMPXCHG8B, CMPXCHG16B: like REP INS */
            return 1;
        if (d->opcode == 0xB1)                                  /* CMPXCHG r/m32 with nonzero upper halves */
            return s->long_mode && !wide && !d->narrow && (general(uc, s, 0) >> 32 || register_operand(uc, s, code, d) >> 32);
        if (d->opcode == 0xA4 || d->opcode == 0xAC)             /* SHLD, SHRD with imm8, relative to RIP */
            return s->long_mode && (code[d->modrm_at] & 0xC7) == 5;
        if (d->opcode == 0xB8)                                  /* POPCNT */
            return !s->long_mode || (both && wide);
        if ((d->opcode & 0xF0) == 0x80)                         /* Jcc */
            return s->long_mode && d->narrow;
        return both;
    }
    if (d->map == THREE_BYTE_38 && d->opcode == 0xF6)           /* ADOX */
        return both;
    return unusual_registers(code, d);
}
