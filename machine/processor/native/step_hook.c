/* The instruction hook, in native code.  Unicorn calls it before every instruction of the machine.

   It counts retired instructions, which are the clock, and stops the engine before each instruction that Python has to
   handle: see the STOP_ names.  machine/processor/portable_hook.py implements the same rules in Python, for hosts that
   cannot load native code; both must count and stop alike.  machine/architecture/opcodes.py makes the tables of watched
   opcodes for both.

   The last function answers some reads of devices from memory (machine/bus/mmio_window.py).

   machine/processor/native/build.py builds this as raw position-independent code, one blob for each host processor: no
   global data, no relocations, and every external function called through the state. */
typedef unsigned long long u64;
typedef long long i64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

enum { STOP_DEADLINE = 1, STOP_IF, STOP_BREAKPOINT, STOP_WATCHED, STOP_INTERRUPT, STOP_INVALID, STOP_DEBUG,
       STOP_ADDRESS = 9, STOP_REPEAT, STOP_WARM, STOP_BLOCK, STOP_EXAMINE };
enum { REG_EFLAGS = 25, REG_RCX = 38, REG_RIP = 41, REG_FS_BASE = 250, REG_GS_BASE = 251 };     /* UC_X86_REG_ */
enum { CALLS = 1, OUTSIDE = 2, CHANGED = 4 };                               /* step_hook.py, Flow */
enum { PAGES = 64, ADDRESSES = 16, PROT_EXEC = 4, LONGEST = 15, GROUPS = 64, EXAMINED = 1 << 16 };  /* PROT: UC_PROT_ */
enum { MISLEADING = 16384, OVERRIDE = 8192, PORT = 2, FLOATS = 64, LOCKABLE = 128, ALIGNED = 256, WIDE = 512, UNDEFINED = 1024, LOOK = 2048, MODIFIES = 4096,
       GROUP = 1 << 15, CODE = 1 << 16 };                                                   /* opcodes.py, Action */
enum { ONE_BYTE, TWO_BYTE, THREE_BYTE_38, THREE_BYTE_3A, VEX_38, VEX_3A, MAPS };    /* instruction_set.py, Map */
enum { NO_PREFIX, OPERAND_SIZE, REPEAT, REPEAT_NOT_EQUAL, PREFIXES };       /* instruction_set.py, Prefix */

struct page { u64 linear; const u8 *host; };

struct tables {
    u16 entry[MAPS][PREFIXES][256];     /* actions by opcode */
    u16 group[GROUPS][16];              /* actions by the reg field of ModRM: memory forms, then register forms */
};

struct state {
    u64 retired;            /* instructions begun, minus those that Python has uncounted */
    u64 last;               /* address of the last instruction counted */
    u64 watch_if;           /* nonzero: stop as soon as RFLAGS.IF is set */
    u64 watched;            /* stop before instructions with one of these actions */
    u64 breakpoint;         /* stop before this address; ~0 for none */
    u64 pass_once;          /* ignore breakpoints at this address once; ~0 for none */
    u64 debugging;          /* nonzero: the addresses below are breakpoints set in DR0 to DR3 */
    u64 debug_address[4];
    u64 pass_watched;       /* execute the instruction at this address once even if it is watched; ~0 for none */
    u64 reason;             /* the STOP_ name of the last stop */
    u64 vector;             /* of STOP_INTERRUPT */
    u64 rflags;             /* at the stop */
    u64 flags_before;       /* RFLAGS before the last instruction that modifies its memory operand, or CMPS or SCAS with REP */
    u64 context;            /* where the processor's state is saved at the stop */
    u64 deadline;           /* stop when this many instructions have retired */
    const u8 *ram;          /* host address of physical address 0 */
    u64 ram_size;
    u64 addresses;          /* number of entries in use in the next array */
    u64 address[ADDRESSES]; /* stop before these, for an observer of the machine */
    u64 flow;               /* bits: stop before calls and returns (CALLS), before other addresses (OUTSIDE),
                               before the first instruction at which a register is another (CHANGED) */
    u64 floor;              /* ... where RSP is above this, or equal for a return */
    u64 inside, inside_size;            /* ... than these */
    u64 number, value;                  /* ... than this: the number of the general register, and its value */
    u64 passing;            /* while exactly this many instructions have retired ... */
    u64 passing_address;    /* ... do not stop before this address */
    u64 long_mode;          /* nonzero: 64-bit mode */
    u64 mxcsr;              /* MXCSR when the engine was entered */
    const struct tables *tables[2];     /* for other modes, and for 64-bit mode */
    u64 code_size;          /* of STOP_WATCHED: bytes in `code`, the instruction or as much of it as can be fetched */
    u8 code[16];
    void (*stop)(void *uc);
    int (*reg_read)(void *uc, int reg, void *value);
    int (*vmem_read)(void *uc, u64 address, u32 access, void *bytes, u64 size);
    int (*vmem_translate)(void *uc, u64 address, u32 access, u64 *physical);
    int (*context_save)(void *uc, u64 context);
    u64 stepping;           /* how the engine was entered, or will be entered next: see stepping.h */
    u64 debt;               /* instructions translated and not yet paid for by retired ones: see stepping.h */
    u64 paid_at;            /* `retired` when `debt` was last computed */
    u64 credit;             /* the engine steps while `debt` is at least this */
    u64 rip, rcx;           /* before the repeated string instruction that began last, if `until` is not 0 */
    u64 until;              /* 0: another instruction; REPEAT or REPEAT_NOT_EQUAL: ZF ends it, too; else OPERAND_SIZE */
    u64 inhibited;          /* while stepping, STI or a load of SS inhibits interrupts: NEXT or REPETITION of stepping.h */
    u64 guarded;            /* an address in the page that is stepped through, in mode GUARDED */
    u64 code_base;          /* the base of CS outside 64-bit mode */
    u64 begun;              /* the opcode of the instruction that began last if it is one byte, else 0 */
    u64 general_register[16];           /* UC_X86_REG_ in the order of their numbers in an instruction */
    struct page pages[PAGES];           /* cached host addresses of code pages; zeroed when mappings change */
    u64 by_block;           /* nonzero: counting by block (by_block.h) */
    u64 pause;              /* stop at this many retired instructions, because counting by block would pay */
    u64 warm_up;            /* each other stop sets `pause` more than this ahead */
    const u8 *shapes;       /* by map and opcode: what follows the opcode */
    struct block *blocks;   /* the table of known blocks */
    struct block *now, *before;         /* the block that began last, and the one before it; 0 at a stop */
    u64 examined_at;        /* the instruction that on_examined() has seen last */
    u64 flags_right;        /* of STOP_INTERRUPT: no hook before the instruction has changed how Unicorn keeps the flags */
    u64 examines;           /* nonzero: the block looked up last has instructions to be examined */
    u64 *examined_bits;     /* a set bit for each of their addresses */
    struct registers *registers;        /* of the stopped processor, with other parts of its state: see entering.h */
    u64 *cr2;
    u32 *mxcsr_now;
    u8 *simd_raised;        /* SSE exceptions since MXCSR was last updated */
    int *met;               /* the last interrupt: its error code; nonzero for INT */
    int *old_exception;
    int (*context_restore)(void *uc, u64 context);
    int (*emu_start)(void *uc, u64 begin, u64 until, u64 timeout, u64 count);
    u64 entry_retired, entry_rflags, entry_cr2;         /* when Engine.execute() began */
    struct transition *known_interrupt, *known_return;    /* see known.h; 0 for none */
    const struct x87_run *known_run;
    u8 *x87;
    u64 left_ring;          /* the ring before the last known transition */
    struct coverage *coverage;          /* see coverage.h; 0 if nobody asks for it */
};

#include "decoding.h"
#include "unusual_operands.h"

/* Return where the code at an address can be read: `size` bytes, or those up to the end of the page. */
static const u8 *code_at(void *uc, struct state *s, u64 address, u64 *size, u8 *copy)
{
    u64 offset = address & 0xFFF;
    struct page *page = &s->pages[address >> 12 & (PAGES - 1)];
    if (*size > LONGEST)
        *size = LONGEST;                /* Unicorn does not know the size */
    if (page->linear != (address >> 12 | 1ull << 63)) {
        u64 physical;
        if (s->vmem_translate(uc, address & ~0xFFFull, PROT_EXEC, &physical) || physical + 0x1000 > s->ram_size) {
            *size = 0;
            return copy;
        }
        page->linear = address >> 12 | 1ull << 63;
        page->host = s->ram + (physical & ~0xFFFull);
    }
    if (offset + *size <= 0x1000)
        return page->host + offset;
    if (!s->vmem_read(uc, address, PROT_EXEC, copy, *size))
        return copy;
    *size = 0x1000 - offset;
    return page->host + offset;
}

#include "stepping.h"
#include "coverage.h"

static void stop(void *uc, struct state *s, u64 reason)
{
    s->reason = reason;
    s->stepping = in_debt(s);
    if (reason != STOP_WARM)
        s->pause = s->retired + 1 + s->warm_up;
    s->context_save(uc, s->context);
    s->reg_read(uc, REG_EFLAGS, &s->rflags);
    s->stop(uc);
}

/* Return nonzero if Unicorn would access a memory operand of 16 bytes incorrectly. */
static int misplaced(void *uc, struct state *s, const u8 *code, u64 size, u64 following, const struct decoded *d)
{
    if (d->modrm_at >= size || code[d->modrm_at] >= 0xC0)
        return 0;
    if (!s->long_mode)
        return 1;
    u64 address = operand_address(uc, s, code, size, d, following);
    return (d->action & ALIGNED && address & 15) || (address & 0xFFF) > 0xFF0;
}

/* Return whether an instruction is CMPS or SCAS with REPE or REPNE, and begins: with its first iteration. */
static int begins_comparing(const struct state *s, u64 address, const struct decoded *d)
{
    return d->map == ONE_BYTE && d->mandatory >= REPEAT && (d->opcode & 0xF6) == 0xA6 && s->last != address;
}

/* Note the code of an instruction that Python executes, and return nonzero, if there is a reason in it or its operands. */
static int examine(void *uc, struct state *s, u64 address, u32 length, const u8 *code, u64 size, struct decoded *d)
{
    u8 copy[16];
    u64 next = address + length;
    if (!d->modrm_at && !d->action && size < LONGEST) {             /* `length` ends where Unicorn stopped decoding */
        size = LONGEST;
        code = code_at(uc, s, address, &size, copy);
        decode(s, code, size, d);
    }
    int found = d->action & s->watched || (d->action & (ALIGNED | WIDE) && misplaced(uc, s, code, size, next, d));
    if (!found && d->action & (FLOATS | LOOK) && unusual_operands(uc, s, code, size, next, d)) {
        found = 1;
        u64 rest = 0x1000 - (address & 0xFFF);              /* reading the next page would set its accessed flag */
        if (size < rest) {
            size = rest;                                    /* Unicorn may be wrong about the length, too */
            code = code_at(uc, s, address, &size, copy);
        }
    }
    if (found) {
        s->code_size = size;
        for (u64 i = 0; i < size; i++)
            s->code[i] = code[i];
        return 1;
    }
    if ((d->action & MODIFIES && d->modrm_at < size && code[d->modrm_at] < 0xC0) || begins_comparing(s, address, d))
        s->reg_read(uc, REG_EFLAGS, &s->flags_before);
    return 0;
}

/* Return nonzero if an observer asks for a stop before an instruction because of where control goes. */
static int flows(void *uc, const struct state *s, u64 address, const u8 *code, u64 size, const struct decoded *d)
{
    if (s->flow & OUTSIDE && address - s->inside >= s->inside_size)
        return 1;
    if (s->flow & CHANGED && general(uc, s, s->number) != s->value)
        return 1;
    if (!(s->flow & CALLS) || d->map != ONE_BYTE || !d->modrm_at)
        return 0;
    switch (d->opcode) {
    case 0xC2: case 0xC3: case 0xCA: case 0xCB: case 0xCF:          /* RET, far RET, IRET */
        return general(uc, s, 4) >= s->floor;
    case 0xFF:                                                      /* CALL is /2 and /3 */
        if (d->modrm_at >= size || (code[d->modrm_at] >> 4 & 3) != 1)
            return 0;
    case 0x9A: case 0xCC: case 0xCD: case 0xCE: case 0xE8: case 0xF1:   /* CALL, INT */
        return general(uc, s, 4) > s->floor;
    }
    return 0;
}

/* UC_HOOK_CODE */
void on_instruction(void *uc, u64 address, u32 length, struct state *s)
{
    if (s->retired >= s->deadline)
        return stop(uc, s, STOP_DEADLINE);
    if (s->retired >= s->pause && !s->stepping)
        return stop(uc, s, STOP_WARM);
    if (s->debt > 2 * s->credit && !s->stepping && address != s->pass_watched && in_debt(s))
        return stop(uc, s, STOP_DEADLINE);
    if (s->watch_if) {
        u64 flags = 0;
        s->reg_read(uc, REG_EFLAGS, &flags);
        if (flags & 0x200)
            return stop(uc, s, STOP_IF);
    }
    for (u64 i = 0; i < s->addresses; i++)
        if (address == s->address[i] && (s->retired != s->passing || address != s->passing_address))
            return stop(uc, s, STOP_ADDRESS);
    if (address == s->pass_once) {
        s->pass_once = ~0ull;
    } else {
        if (address == s->breakpoint)
            return stop(uc, s, STOP_BREAKPOINT);
        if (s->debugging && (address == s->debug_address[0] || address == s->debug_address[1] ||
                             address == s->debug_address[2] || address == s->debug_address[3]))
            return stop(uc, s, STOP_DEBUG);
    }
    u8 copy[16];
    u64 size = length;
    const u8 *code = code_at(uc, s, address, &size, copy);
    struct decoded d;
    decode(s, code, size, &d);
    if (s->flow && (s->retired != s->passing || address != s->passing_address) && flows(uc, s, address, code, size, &d))
        return stop(uc, s, STOP_ADDRESS);
    if (address == s->pass_watched) {
        s->pass_watched = ~0ull;
        if (address != s->last)                                     /* between two iterations */
            s->flags_before = s->rflags;
    } else if (examine(uc, s, address, length, code, size, &d)) {
        return stop(uc, s, STOP_WATCHED);
    }
    if (s->stepping)
        note_begin(uc, s, code, &d);
    if (s->coverage) {
        cover(s->coverage, s->last, address);
        s->coverage->next = address + length;
    }
    s->begun = d.map == ONE_BYTE ? d.opcode : 0;
    s->last = address;
    s->retired++;
}

#include "by_block.h"

/* UC_HOOK_INTR */
void on_interrupt(void *uc, u32 vector, struct state *s)
{
    if (vector == DEBUG && s->stepping && s->stepping != OF_SOFTWARE) {
        u64 reason = on_step(uc, s);
        if (reason)
            stop(uc, s, reason);
        return;
    }
    s->vector = vector;
    s->flags_right = 0;
    if (!s->by_block)
        return stop(uc, s, STOP_INTERRUPT);
    s->context_save(uc, s->context);
    u64 cr2 = *s->cr2;                                          /* reading code changes both */
    int error_code = *s->met;
    settle_at_rip(uc, s);
    stop(uc, s, STOP_INTERRUPT);
    *s->cr2 = cr2;
    *s->met = error_code;
}

/* UC_HOOK_INSN_INVALID */
int on_invalid(void *uc, struct state *s)
{
    s->flags_right = 0;
    if (s->by_block)
        settle_at_rip(uc, s);
    stop(uc, s, STOP_INVALID);
    return 1;
}

#include "entering.h"

/* Device registers whose reads are answered from memory: machine/bus/mmio_window.py. */
struct window {
    u64 first;              /* offset of the registers in the device range, in bytes */
    u64 size;               /* bytes; 0: there is no window now */
    const u8 *memory;
    u64 reads;              /* reads that the window has answered */
    u64 (*bus)(void *uc, u64 offset, u32 size, void *user);    /* answers all other reads */
};

/* Read from the device range: the callback of uc_mmio_map. */
u64 on_device_read(void *uc, u64 offset, u32 size, struct window *w)
{
    u64 at = offset - w->first;
    if (at >= w->size || size > w->size - at)
        return w->bus(uc, offset, size, 0);
    w->reads++;
    u64 value = 0;
    while (size--)
        value = value << 8 | w->memory[at + size];
    return value;
}
