/* The interpreter, in ring 3: it executes a valid module over the module's own bytes, with the side table for branches.

   Each instruction ends with a jump to the next one's handler (NEXT). The innermost operand is in `top`, the others are
   cells below `sp`, and under a function's operands is a cell of no meaning, which is `top` while there are none. So no
   handler asks how many operands there are. The locals are cells too; a call's arguments become the first of them.

   The module has been validated, so nothing is checked here that the specification does not check at run time, and
   those checks are the processor's: an access out of bounds or a stack overflow meets a page that is not there (#PF),
   a division raises #DE, anything else is UD2. */
#include "numbers.h"
#include "opcodes.h"
#include "vmm.h"

#define NEXT goto *handlers[*ip++]
#define PUSH(value) do { *sp++ = top; top = (value); } while (0)
#define POP() (popped = top, top = *--sp, popped)

/* The caller of _start continues with this byte, which is not an opcode. */
#define FINISH 0xFF
static const u8 finish_code[] = {FINISH};

/* The immediates are LEB128 integers, most of them of one byte. Inline, so that no handler needs to save registers. */
static inline u64 more_of(u64 value, const u8 **ip, int is_signed)
{
    u32 shift = 7;
    u64 byte;

    value &= 0x7F;
    do {
        byte = *(*ip)++;
        value |= (byte & 0x7F) << shift;
        shift += 7;
    } while (byte >= 0x80);
    return is_signed && byte & 0x40 && shift < 64 ? value | ~0ULL << shift : value;
}

static inline u32 immediate(const u8 **ip)
{
    u8 byte = *(*ip)++;

    return byte < 0x80 ? byte : (u32)more_of(byte, ip, 0);
}

static inline u64 signed_immediate(const u8 **ip)
{
    u64 byte = *(*ip)++;

    return byte < 0x80 ? (u64)((s64)(byte << 57) >> 57) : more_of(byte, ip, 1);
}

/* Access the last byte before `end`, so that an operation on all bytes before it traps before it changes any. */
static inline void touch(const u8 *memory, u64 end)
{
    if (end)
        (void)*(const volatile u8 *)(memory + end - 1);
}

static void copy(u8 *to, const u8 *from, u64 count)
{
    if (to <= from || to >= from + count)
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) :: "memory");
    else
        while (count--)
            to[count] = from[count];
}

static int same_type(const struct module *m, u32 a, u32 b)
{
    const struct type *x = &m->types[a], *y = &m->types[b];

    if (x->parameters != y->parameters || x->results != y->results)
        return 0;
    for (u32 i = 0; i < x->parameters; i++)
        if (m->bytes[x->parameters_at + i] != m->bytes[y->parameters_at + i])
            return 0;
    for (u32 i = 0; i < x->results; i++)
        if (m->bytes[x->results_at + i] != m->bytes[y->results_at + i])
            return 0;
    return 1;
}

static void interpret(const struct guest *guest)
{
    static const void *const handlers[256] = {
#define HANDLER(number, name, label) [number] = &&label##_,
        OPCODES(HANDLER)
        [PREFIX] = &&prefixed_, [FINISH] = &&finish_,
    };
    static const void *const prefixed_handlers[] = { PREFIXED_OPCODES(HANDLER) };
#undef HANDLER
    const struct module *const m = guest->module;
    u8 *const memory = guest->memory;
    const struct function *function = 0, *callee = &m->functions[m->entry];
    struct call *calls = guest->calls;
    const struct branch *branch = 0;
    const u8 *ip = finish_code, *opcode;
    u64 *locals = 0, *sp = guest->values, top = 0, popped;

    goto enter;

#include "control_handlers.h"
#include "memory_handlers.h"
#include "integer_handlers.h"
#include "float_handlers.h"

finish_:
    return;
}

void run(const struct guest *guest)
{
    const struct module *m = guest->module;

    for (u32 i = 0; i < m->global_count; i++)
        guest->globals[i] = m->globals[i].initial;
    if (m->elements_trap)
        TRAP(TABLE);
    for (u32 i = 0; i < m->segment_count; i++) {
        const struct segment *segment = &m->segments[i];
        touch(guest->memory, (u64)segment->offset + segment->length);
        copy(guest->memory + segment->offset, m->bytes + segment->at, segment->length);
    }
    interpret(guest);
}
