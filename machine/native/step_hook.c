/* The instruction hook, in native code.  Unicorn calls it before every instruction of the machine.

   It counts retired instructions (the clock), and stops the engine in front of the instruction at which Python
   has something to do: see the STOP_ names.  machine/step_hook.py holds the same rules in Python, for hosts
   where no native code can be loaded; both must count and stop alike.  Which opcodes are watched is told by the
   tables, which machine/opcodes.py fills for both.

   At the end a second entry: reads of devices, some of which are answered from memory (machine/window.py).

   Built by machine/native/build.py into raw position-independent code, one blob for each host processor:
   no global data, no relocations, every outside function called through the state. */
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned char u8;

enum { STOP_DEADLINE = 1, STOP_SEGMENT, STOP_IF, STOP_BREAKPOINT, STOP_WATCHED, STOP_INTERRUPT, STOP_INVALID, STOP_DEBUG,
       STOP_ADDRESS = 10 };
enum { REG_CS = 11, REG_EFLAGS = 25, REG_RSP = 44 };         /* UC_X86_REG_ */
enum { PAGES = 64, ADDRESSES = 16, PROT_READ = 1, PROT_EXEC = 4 };           /* UC_PROT_ */
enum { INTERRUPT_RETURN = 8, CHANGES_CS = 0x20, PREFIX = 0x40, GROUP = 0x80 };     /* opcodes.py, Action */

struct page { u64 linear; const u8 *host; };

struct state {
    u64 retired;            /* instructions begun, less those that Python took back */
    u64 deadline;           /* stop in front of the instruction that would be number deadline + 1 */
    u64 cs;                 /* the code segment selector that Python knows of */
    u64 check_cs;           /* nonzero: the actions of the last instruction, which may have changed CS (IRET also RF) */
    u64 last;               /* the address of the last instruction counted */
    u64 watch_if;           /* nonzero: stop as soon as RFLAGS.IF is set */
    u64 watched;            /* stop in front of instructions with one of these actions */
    u64 breakpoint;         /* stop in front of this address; ~0 for none */
    u64 pass_once;          /* this address is not stopped at once more; ~0 for none */
    u64 debugging;          /* nonzero: the four addresses below are breakpoints of the machine's own */
    u64 debug_address[4];
    u64 reason;             /* why it stopped */
    u64 vector;             /* of STOP_INTERRUPT */
    u64 rflags;             /* at the stop */
    u64 context;            /* where the processor's state is saved at the stop */
    const u8 *ram;          /* host address of physical address 0 */
    u64 ram_size;
    u8 *code_pages;         /* a byte for each page of RAM: instructions in it have been executed */
    u64 addresses;          /* how many of the next are in use */
    u64 address[ADDRESSES]; /* somebody watches the machine, who wants it stopped in front of these */
    u64 passing;            /* but not, while this many instructions have retired, ... */
    u64 passing_address;    /* ... in front of this one */
    void (*stop)(void *uc);
    int (*reg_read)(void *uc, int reg, void *value);
    int (*vmem_read)(void *uc, u64 address, u32 access, void *bytes, u64 size);
    int (*vmem_translate)(void *uc, u64 address, u32 access, u64 *physical);
    int (*context_save)(void *uc, u64 context);
    u8 one_byte[256], two_byte[256];    /* actions by opcode; of 0F xx the second */
    u8 group[16][16];                   /* actions by the reg field of ModRM: memory forms, then register forms */
    struct page pages[PAGES];           /* where code pages are in the host; zeroed when mappings change */
};

static int action(const struct state *s, const u8 *code, u64 size)
{
    u64 i = 0;
    while (s->one_byte[code[i]] == PREFIX && i + 1 < size)
        i++;
    u8 found;
    if (code[i] == 0x0F && i + 1 < size)
        found = s->two_byte[code[++i]];
    else
        found = s->one_byte[code[i]];
    if (found & GROUP) {
        if (i + 1 >= size)
            return 0;
        u8 modrm = code[i + 1];
        found = s->group[found & 15][(modrm >> 3 & 7) + (modrm >= 0xC0 ? 8 : 0)];
    }
    return found;
}

static int action_at(void *uc, struct state *s, u64 address, u64 size)
{
    u64 offset = address & 0xFFF;
    if (size > 15)
        size = 15;                      /* Unicorn does not know it */
    if (offset + size <= 0x1000) {
        struct page *page = &s->pages[address >> 12 & (PAGES - 1)];
        if (page->linear != (address >> 12 | 1ull << 63)) {
            u64 physical;
            if (s->vmem_translate(uc, address & ~0xFFFull, PROT_EXEC, &physical) || physical + 0x1000 > s->ram_size)
                return 0;
            page->linear = address >> 12 | 1ull << 63;
            page->host = s->ram + (physical & ~0xFFFull);
            s->code_pages[physical >> 12] = 1;
        }
        return action(s, page->host + offset, size);
    }
    u8 code[16];
    return s->vmem_read(uc, address, PROT_EXEC, code, size) ? 0 : action(s, code, size);
}

/* Whether IRET finds what Unicorn does not refuse: as IRETQ an address that is not canonical, as IRETD the VM flag. */
static int returns_nowhere(void *uc, struct state *s)
{
    u64 rsp = 0, frame[2];
    s->reg_read(uc, REG_RSP, &rsp);
    if (s->vmem_read(uc, rsp, PROT_READ, frame, 16))
        return 0;
    return (long long)(frame[0] << 16) >> 16 != (long long)frame[0] || (frame[1] & 0x20000);
}

static void stop(void *uc, struct state *s, u64 reason)
{
    s->reason = reason;
    s->context_save(uc, s->context);
    s->reg_read(uc, REG_EFLAGS, &s->rflags);
    s->stop(uc);
}

/* UC_HOOK_CODE */
void on_instruction(void *uc, u64 address, u32 size, struct state *s)
{
    if (s->retired >= s->deadline)
        return stop(uc, s, STOP_DEADLINE);
    if (s->check_cs) {
        u64 cs = 0;
        s->reg_read(uc, REG_CS, &cs);
        if (cs != s->cs)
            return stop(uc, s, STOP_SEGMENT);
    }
    if (s->watch_if) {
        u64 flags = 0;
        s->reg_read(uc, REG_EFLAGS, &flags);
        if (flags & 0x200)
            return stop(uc, s, STOP_IF);
    }
    for (u64 i = 0; i < s->addresses; i++)
        if (address == s->address[i] && (s->retired != s->passing || address != s->passing_address))
            return stop(uc, s, STOP_ADDRESS);
    int found = action_at(uc, s, address, size);
    if (address == s->pass_once) {
        s->pass_once = ~0ull;
    } else {
        if (address == s->breakpoint)
            return stop(uc, s, STOP_BREAKPOINT);
        if (s->debugging && (address == s->debug_address[0] || address == s->debug_address[1] ||
                             address == s->debug_address[2] || address == s->debug_address[3]))
            return stop(uc, s, STOP_DEBUG);
        if (found & s->watched || (found & INTERRUPT_RETURN && returns_nowhere(uc, s)))
            return stop(uc, s, STOP_WATCHED);
    }
    s->check_cs = found & CHANGES_CS ? found : 0;
    s->last = address;
    s->retired++;
}

/* UC_HOOK_INTR */
void on_interrupt(void *uc, u32 vector, struct state *s)
{
    s->vector = vector;
    stop(uc, s, STOP_INTERRUPT);
}

/* UC_HOOK_INSN_INVALID */
int on_invalid(void *uc, struct state *s)
{
    stop(uc, s, STOP_INVALID);
    return 1;
}

/* Registers of a device that read as this memory: machine/window.py. */
struct window {
    u64 first;              /* where they begin, from the start of the device range */
    u64 size;               /* how many bytes; 0: none now */
    const u8 *memory;
    u64 reads;              /* how many reads the window has answered */
    u64 (*bus)(void *uc, u64 offset, u32 size, void *user);    /* answers all others */
};

/* A read in the device range, as uc_mmio_map has it. */
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
