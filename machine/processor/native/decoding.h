/* Prefixes, opcode and memory operand of an instruction, as machine/architecture/decoding.py has them in Python.

   Part of step_hook.c. */

/* An instruction, decoded up to its ModRM byte. */
struct decoded {
    u32 action;
    u32 modrm_at;           /* offset of ModRM, if there is one; 0 if the code ends before the opcode is known */
    u8 rex, segment;        /* REX, or its bits from VEX; the last of the prefixes FS (4) and GS (5) */
    u8 short_address;       /* 67H */
    u8 narrow, locked;      /* 66H, F0H */
    u8 unused_bits;         /* VEX names a register that other modes do not have */
    u8 map, mandatory, opcode, vex_register;
};

static int prefix(u8 byte)
{
    switch (byte) {
    case 0x26: case 0x2E: case 0x36: case 0x3E: case 0x64: case 0x65: case 0x66: case 0x67: case 0xF0: case 0xF2: case 0xF3:
        return 1;
    }
    return 0;
}

/* Return whether a CS prefix is part of a common instruction without memory access: a branch, LEA, a hint. */
static int ignores_cs(int map, u8 opcode)
{
    if (map == TWO_BYTE)
        return (opcode & 0xF0) == 0x80 || (opcode & 0xF8) == 0x18;
    return map == ONE_BYTE && ((opcode & 0xF0) == 0x70 || opcode == 0x8D);
}

/* Decode the instruction at the beginning of `code`; its action is 0 if the code ends before it is known. */
static void decode(const struct state *s, const u8 *code, u64 size, struct decoded *d)
{
    u64 i = 0;
    int mandatory = NO_PREFIX, locked = 0, misleading = 0, last = 0, map = ONE_BYTE, is_long = s->long_mode != 0;
    d->modrm_at = d->map = d->mandatory = d->opcode = 0;
    d->action = d->rex = d->segment = d->short_address = d->narrow = d->vex_register = d->unused_bits = 0;
    for (; i < size; i++) {
        u8 byte = code[i];
        if (is_long && (byte & 0xF0) == 0x40) {
            d->rex = byte;
            continue;
        }
        if (!prefix(byte))
            break;
        d->rex = 0;
        if (byte == 0xF0)
            locked = 1;
        else if (byte == 0xF3)
            mandatory = REPEAT;
        else if (byte == 0xF2)
            mandatory = REPEAT_NOT_EQUAL;
        else if (byte == 0x66) {
            mandatory = mandatory ? mandatory : OPERAND_SIZE;
            d->narrow = 1;
        }
        else if (byte == 0x67)
            d->short_address = 1;
        else {
            last = byte;
            if (byte >= 0x64) {
                d->segment = byte & 7;
                misleading = 0;
            } else if (d->segment)
                misleading = MISLEADING;
        }
    }
    if (i >= size)
        return;
    u8 opcode = code[i++];
    if (opcode == 0xC4 || opcode == 0xC5) {
        if (i >= size)
            return;
        if (is_long || code[i] >= 0xC0) {
            if (opcode == 0xC5 || i + 1 >= size) {
                d->action = opcode == 0xC5 ? UNDEFINED : 0;
                return;
            }
            u8 first = code[i], second = code[i + 1];
            map = (first & 0x1F) == 2 ? VEX_38 : VEX_3A;
            if (d->rex || locked || mandatory || ((first & 0x1F) != 2 && (first & 0x1F) != 3) || second & 4 ||
                (map == VEX_3A && (second & 0x78) != 0x78)) {
                d->action = UNDEFINED;
                return;
            }
            d->rex = is_long ? 0x40 | (second >> 4 & 8) | (~first >> 5 & 7) : 0;
            mandatory = second & 3;         /* in the order of Prefix */
            d->unused_bits = !is_long && (~first & 0x20 || ~second & 0x40);
            d->vex_register = ~second >> 3 & (is_long ? 15 : 7);
            i += 2;
            if (i >= size)
                return;
            opcode = code[i++];
        }
    } else if (opcode == 0x0F) {
        if (i >= size)
            return;
        opcode = code[i++];
        map = TWO_BYTE;
        if (opcode == 0x38 || opcode == 0x3A) {
            if (i >= size)
                return;
            map = opcode == 0x38 ? THREE_BYTE_38 : THREE_BYTE_3A;
            opcode = code[i++];
        }
    }
    const struct tables *t = s->tables[is_long];
    u32 found = t->entry[map][mandatory][opcode];
    if (found & GROUP) {
        if (i >= size)
            return;
        found = t->group[found & (GROUPS - 1)][(code[i] >> 3 & 7) + (code[i] >= 0xC0 ? 8 : 0)];
    }
    if (d->segment)
        found |= is_long ? misleading : OVERRIDE;
    if (last == 0x2E && !is_long && !ignores_cs(map, opcode))
        found |= CODE;
    if (locked && (!(found & LOCKABLE) || (i < size && code[i] >= 0xC0)))
        found = UNDEFINED;
    d->modrm_at = i;
    d->locked = locked;
    d->map = map;
    d->mandatory = mandatory;
    d->opcode = opcode;
    d->action = found;
}

static u64 general(void *uc, const struct state *s, u32 number)
{
    u64 value = 0;
    s->reg_read(uc, s->general_register[number], &value);
    return value;
}

static u64 displacement(const u8 *code, u32 width)
{
    u64 value = 0;
    for (u32 i = 0; i < width; i++)
        value |= (u64)code[i] << 8 * i;
    return width == 1 ? (u64)(i64)(signed char)value : (u64)(i64)(int)value;
}

/* Return the linear address of a memory operand, in 64-bit mode or with 32-bit addresses in flat segments; `following`
   is the address of the next instruction. */
static u64 operand_address(void *uc, const struct state *s, const u8 *code, u64 size, const struct decoded *d, u64 following)
{
    u32 at = d->modrm_at + 1, mode = code[d->modrm_at] >> 6, low = code[d->modrm_at] & 7;
    u64 address = 0;
    u32 width = mode == 1 ? 1 : mode == 2 ? 4 : 0;
    int base = low | (d->rex & 1) << 3;
    if (low == 4) {
        u8 sib = at < size ? code[at] : 0;
        at++;
        u32 index = (sib >> 3 & 7) | (d->rex & 2) << 2;
        if (index != 4)
            address = general(uc, s, index) << (sib >> 6);
        base = (sib & 7) | (d->rex & 1) << 3;
        if ((sib & 7) == 5 && mode == 0) {
            base = -1;
            width = 4;
        }
    } else if (low == 5 && mode == 0) {
        base = -1;
        width = 4;
        address = s->long_mode ? following : 0;
    }
    if (base >= 0)
        address += general(uc, s, base);
    if (at + width <= size)
        address += displacement(code + at, width);
    if (d->short_address || !s->long_mode)
        address &= 0xFFFFFFFF;
    if (d->segment) {
        u64 segment = 0;
        s->reg_read(uc, d->segment == 4 ? REG_FS_BASE : REG_GS_BASE, &segment);
        address += segment;
    }
    return address;
}
