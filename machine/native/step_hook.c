/* The instruction hook, in native code.  Unicorn calls it before every instruction of the machine.

   It counts retired instructions (the clock), and stops the engine in front of the instruction at which Python
   has something to do: see the STOP_ names.  machine/step_hook.py holds the same rules in Python, for hosts
   where no native code can be loaded; both must count and stop alike.

   Built by machine/native/build.py into raw position-independent code, one blob for each host processor:
   no global data, no relocations, every outside function called through the state. */
typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned char u8;

enum { STOP_DEADLINE = 1, STOP_RING, STOP_IF, STOP_BREAKPOINT, STOP_SYSTEM, STOP_INTERRUPT, STOP_INVALID };
enum { REG_CS = 11, REG_EFLAGS = 25 };        /* UC_X86_REG_CS, UC_X86_REG_EFLAGS */
enum { SEEN = 8192, PROT_EXEC = 4 };          /* UC_PROT_EXEC */

struct state {
    u64 retired;            /* instructions begun, less those that Python took back */
    u64 deadline;           /* stop in front of the instruction that would be number deadline + 1 */
    u64 cpl;                /* the privilege level that Python knows of */
    u64 next;               /* where the next instruction is if this one does not branch */
    u64 last;               /* the address of the last instruction counted */
    u64 watch_if;           /* nonzero: stop as soon as RFLAGS.IF is set */
    u64 breakpoint;         /* stop in front of this address; ~0 for none */
    u64 pass_once;             /* this address is not stopped at once more; ~0 for none */
    u64 reason;             /* why it stopped */
    u64 vector;             /* of STOP_INTERRUPT */
    u64 context;            /* where on_interrupt saves the processor's state */
    void (*stop)(void *uc);
    int (*reg_read)(void *uc, int reg, void *value);
    int (*vmem_read)(void *uc, u64 address, u32 access, void *bytes, u64 size);
    int (*context_save)(void *uc, u64 context);
    u64 seen[SEEN];         /* found to hold an ordinary instruction; zeroed when mappings change */
};

enum { ORDINARY, SYSTEM, RETURN };

/* SYSTEM: an instruction that writes a control, debug, descriptor-table or model-specific register, flushes a TLB
   entry or jumps to another code segment (SDM volume 2). Python looks at these one by one.
   RETURN: one that may leave for another ring, even to the address behind it. */
static int classify(const u8 *code, u64 size)
{
    u64 i = 0;
    while (i < size && (code[i] == 0x66 || code[i] == 0x67 || code[i] == 0xF2 || code[i] == 0xF3 ||
                        code[i] == 0x2E || code[i] == 0x36 || code[i] == 0x3E || code[i] == 0x26 ||
                        code[i] == 0x64 || code[i] == 0x65 || code[i] == 0xF0 || (code[i] & 0xF0) == 0x40))
        i++;
    if (i >= size)
        return ORDINARY;
    if (code[i] == 0xCF || code[i] == 0xCB || code[i] == 0xCA)  /* IRET, RETF */
        return RETURN;
    if (i + 1 >= size)
        return ORDINARY;
    u8 op = code[i + 1], reg = i + 2 < size ? code[i + 2] >> 3 & 7 : 8;
    if (code[i] == 0xEA || (code[i] == 0xFF && (op >> 3 & 7) == 5))     /* far JMP: may change the mode */
        return SYSTEM;
    if (code[i] != 0x0F)
        return ORDINARY;
    if (op == 0x07 || op == 0x35)                               /* SYSRET, SYSEXIT */
        return RETURN;
    if (op == 0x22 || op == 0x23 || op == 0x30 || op == 0x06)   /* MOV CR, MOV DR, WRMSR, CLTS */
        return SYSTEM;
    if (op == 0x01)                                             /* LGDT, LIDT, LMSW, INVLPG and SWAPGS */
        return reg == 2 || reg == 3 || reg == 6 || reg == 7 ? SYSTEM : ORDINARY;
    if (op == 0x00)                                             /* LLDT, LTR */
        return reg == 2 || reg == 3 ? SYSTEM : ORDINARY;
    return ORDINARY;
}

/* UC_HOOK_CODE */
void on_instruction(void *uc, u64 address, u32 size, struct state *s)
{
    if (s->retired >= s->deadline) {
        s->reason = STOP_DEADLINE;
        goto stop;
    }
    if (address != s->next) {
        u64 cs = 0;
        s->reg_read(uc, REG_CS, &cs);
        if ((cs & 3) != s->cpl) {
            s->reason = STOP_RING;
            goto stop;
        }
    }
    if (s->watch_if) {
        u64 flags = 0;
        s->reg_read(uc, REG_EFLAGS, &flags);
        if (flags & 0x200) {
            s->reason = STOP_IF;
            goto stop;
        }
    }
    s->next = address + size;
    if (address == s->pass_once) {
        s->pass_once = ~0ull;
    } else {
        if (address == s->breakpoint) {
            s->reason = STOP_BREAKPOINT;
            goto stop;
        }
        u64 *seen = &s->seen[(address ^ address >> 13) & (SEEN - 1)];
        if (*seen != address && s->cpl == 0) {
            u8 code[16];
            u64 length = size < 16 ? size : 15;
            int kind = ORDINARY;
            if (s->vmem_read(uc, address, PROT_EXEC, code, length) == 0)
                kind = classify(code, length);
            if (kind == SYSTEM) {
                s->reason = STOP_SYSTEM;
                goto stop;
            }
            if (kind == RETURN)
                s->next = ~0ull;        /* so that the next instruction's ring is looked at */
            else
                *seen = address;
        }
    }
    s->last = address;
    s->retired++;
    return;
stop:
    s->stop(uc);
}

/* UC_HOOK_INTR */
void on_interrupt(void *uc, u32 vector, struct state *s)
{
    s->reason = STOP_INTERRUPT;
    s->vector = vector;
    s->context_save(uc, s->context);
    s->stop(uc);
}

/* UC_HOOK_INSN_INVALID */
int on_invalid(void *uc, struct state *s)
{
    s->reason = STOP_INVALID;
    s->stop(uc);
    return 1;
}
