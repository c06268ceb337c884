/* The host's own processor executes user-mode programs and reports the state each ends in. x86-64 Linux, no C library.

   protocol.py names the records. Standard input: the memory regions with their content, then batches of programs.
   Standard output: for each batch the states. Each program runs in a forked copy of this process, so that nothing it
   does outlives it. A seccomp filter, which the copies inherit, answers every system call with SIGSYS but those made
   at one address of this file: a program that reaches SYSCALL or INT 80H ends there.

   The start state is loaded by FXRSTOR, POP and IRETQ, the last of which also enters compatibility mode. A program ends
   by a signal. Its handler, on a stack of its own, copies what the operating system saved of the processor. */

#include <asm/unistd.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/mman.h>
#include <linux/posix_types.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/signal.h>
#include <linux/time.h>
#include <stddef.h>
#include <stdint.h>

#define RESTORER 0x04000000 /* SA_RESTORER, without which x86-64 delivers no signal */
#define INPUT_SIZE (16 << 20)
#define OUTPUT_SIZE (32 << 20)
#define MAX_REGIONS 16

struct action { /* what the kernel takes for rt_sigaction */
    void (*handler)(void);
    uint64_t flags;
    void (*restorer)(void);
    uint64_t mask;
};

struct context { /* what the kernel hands a signal handler, as far as it is needed */
    uint64_t flags, link;
    stack_t stack;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
    uint16_t cs, gs, fs, ss;
    uint64_t error_code, vector, mask, cr2;
    const uint8_t *fx;
};

struct region {
    uint64_t address, length;
    uint32_t protection, unused;
};

struct start {
    uint64_t general[15]; /* R15 to R8, RDI, RSI, RBP, RBX, RDX, RCX, RAX: the order in which `enter` pops */
    uint64_t rip, cs, rflags, rsp, ss; /* what IRETQ pops */
    uint64_t ds, es, fs, gs, fs_base, gs_base;
    uint8_t fx[512] __attribute__((aligned(16)));
    uint32_t microseconds, patches;
    uint64_t unused;
};

struct patch {
    uint64_t address, length; /* followed by the bytes */
};

struct end {
    uint32_t signal, killed; /* `killed`: no handler ran, and the program died of the signal */
    uint64_t vector, error_code, cr2;
    uint64_t general[15], rip, cs, rflags, rsp, ss;
    uint64_t ds, es, fs, gs, fs_base, gs_base;
    uint8_t fx[512];
    uint64_t changes; /* bytes of `struct patch` that follow: memory that differs from the start */
};

static struct region regions[MAX_REGIONS];
static uint32_t region_count;
static uint8_t *originals[MAX_REGIONS]; /* what the regions hold when a program starts */
static uint8_t *input, *output;         /* `output` is shared with the copies of this process */
static struct end *state;               /* where in `output` the running program's end goes */
static uint8_t signal_stack[1 << 16] __attribute__((aligned(4096)));
static struct start start __attribute__((aligned(64)));

/* The only system call instruction. */
extern char system_call_end[];
long system_call(long number, long a, long b, long c, long d, long e, long f);
__asm__(".globl system_call, system_call_end\n"
        "system_call: movq %rdi, %rax; movq %rsi, %rdi; movq %rdx, %rsi; movq %rcx, %rdx; movq %r8, %r10; movq %r9, %r8\n"
        "movq 8(%rsp), %r9; syscall\n"
        "system_call_end: ret\n"
        ".globl restorer\n"
        "restorer: hlt\n");
void restorer(void);
#define CALL(number, a, b, c, d, e) system_call(__NR_##number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

void *memcpy(void *to, const void *from, size_t length)
{
    void *start_of = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
    return start_of;
}

void *memset(void *to, int value, size_t length)
{
    void *start_of = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(value) : "memory");
    return start_of;
}

static _Noreturn void quit(int code)
{
    for (;;)
        CALL(exit_group, code, 0, 0, 0, 0);
}

static void read_all(void *to, size_t length)
{
    while (length) {
        long got = CALL(read, 0, to, length, 0, 0);
        if (got <= 0)
            quit(got ? 2 : 0);
        to = (char *)to + got;
        length -= got;
    }
}

static void write_all(const void *from, size_t length)
{
    while (length) {
        long put = CALL(write, 1, from, length, 0, 0);
        if (put <= 0)
            quit(2);
        from = (const char *)from + put;
        length -= put;
    }
}

static uint8_t *map(uint64_t address, size_t length, int flags)
{
    long at = system_call(__NR_mmap, address, length, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -4096)
        quit(3);
    if (address && (uint64_t)at != address)
        quit(3);
    return (uint8_t *)at;
}

/* Append the bytes of a region that changed, in pieces of eight bytes. */
static uint8_t *append_changes(uint8_t *at, const struct region *region, const uint8_t *original)
{
    const uint64_t *now = (const uint64_t *)region->address, *before = (const uint64_t *)original;
    size_t words = region->length / 8;
    for (size_t i = 0; i < words; i++) {
        if (now[i] == before[i])
            continue;
        size_t first = i;
        while (i < words && now[i] != before[i])
            i++;
        struct patch patch = {region->address + 8 * first, 8 * (i - first)};
        memcpy(at, &patch, sizeof patch);
        memcpy(at + sizeof patch, now + first, patch.length);
        at += sizeof patch + patch.length;
    }
    return at;
}

__attribute__((used)) _Noreturn void ended(int number, const void *information, const struct context *from)
{
    (void)information;
    struct end *end = state;
    end->signal = number;
    end->killed = 0;
    end->vector = from->vector;
    end->error_code = from->error_code;
    end->cr2 = from->cr2;
    const uint64_t general[15] = {from->r15, from->r14, from->r13, from->r12, from->r11, from->r10, from->r9, from->r8,
                                  from->rdi, from->rsi, from->rbp, from->rbx, from->rdx, from->rcx, from->rax};
    memcpy(end->general, general, sizeof general);
    end->rip = from->rip;
    end->rflags = from->rflags;
    end->rsp = from->rsp;
    end->cs = from->cs;
    end->ss = from->ss;
    uint32_t ds, es, fs, gs;
    __asm__ volatile("movl %%ds, %0; movl %%es, %1; movl %%fs, %2; movl %%gs, %3"
                     : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
    end->ds = ds, end->es = es, end->fs = fs, end->gs = gs;
    __asm__ volatile("rdfsbase %0; rdgsbase %1" : "=r"(end->fs_base), "=r"(end->gs_base));
    memcpy(end->fx, from->fx, sizeof end->fx);
    uint8_t *at = (uint8_t *)(end + 1);
    for (uint32_t i = 0; i < region_count; i++)
        at = append_changes(at, &regions[i], originals[i]);
    end->changes = at - (uint8_t *)(end + 1);
    quit(0);
}

/* The flag AC is still the program's. */
void handler(void);
__asm__("handler: pushfq; andl $~(1 << 18), (%rsp); popfq; andq $-16, %rsp; call ended\n");

_Noreturn void enter(struct start *from);
__asm__("enter: fxrstorq 208(%rdi)\n"
        "movq 160(%rdi), %rax; movl %eax, %ds; movq 168(%rdi), %rax; movl %eax, %es\n"
        "movq 176(%rdi), %rax; movl %eax, %fs; movq 184(%rdi), %rax; movl %eax, %gs\n"
        "movq 192(%rdi), %rax; wrfsbase %rax; movq 200(%rdi), %rax; wrgsbase %rax\n"
        "movq %rdi, %rsp\n"
        "popq %r15; popq %r14; popq %r13; popq %r12; popq %r11; popq %r10; popq %r9; popq %r8\n"
        "popq %rdi; popq %rsi; popq %rbp; popq %rbx; popq %rdx; popq %rcx; popq %rax\n"
        "iretq\n");
_Static_assert(offsetof(struct start, ds) == 160 && offsetof(struct start, fx) == 208, "enter knows these");

/* The rest is the copy's: memory as the program finds it, a limit of processor time, and the program. */
static _Noreturn void run(const uint8_t *patches)
{
    for (uint32_t i = 0; i < start.patches; i++) {
        const struct patch *patch = (const struct patch *)patches;
        memcpy((void *)patch->address, patch + 1, patch->length);
        for (uint32_t r = 0; r < region_count; r++)
            if (patch->address - regions[r].address < regions[r].length)
                memcpy(originals[r] + (patch->address - regions[r].address), patch + 1, patch->length);
        patches += sizeof *patch + ((patch->length + 7) & ~7ull);
    }
    for (uint32_t i = 0; i < region_count; i++)
        if (regions[i].protection != (PROT_READ | PROT_WRITE))
            CALL(mprotect, regions[i].address, regions[i].length, regions[i].protection, 0, 0);
    struct __kernel_old_itimerval limit = {{0, 0}, {0, start.microseconds}};
    CALL(setitimer, 2 /* ITIMER_PROF: processor time, not time of day */, &limit, 0, 0, 0);
    enter(&start);
}

static void install_handlers(void)
{
    static const int numbers[] = {SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS, SIGSYS, SIGPROF};
    const stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    CALL(sigaltstack, &stack, 0, 0, 0, 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct action action = {handler, SA_SIGINFO | SA_ONSTACK | RESTORER, restorer, 0};
        CALL(rt_sigaction, numbers[i], &action, 0, sizeof action.mask, 0);
    }
}

static void forbid_system_calls(void)
{
    uint64_t allowed = (uint64_t)system_call_end;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(allowed >> 32), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    CALL(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (CALL(prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))
        quit(4);
}

static void run_batch(uint32_t count)
{
    const uint8_t *from = input;
    uint8_t *to = output;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(&start, from, sizeof start);
        const uint8_t *patches = from += sizeof start;
        for (uint32_t n = 0; n < start.patches; n++)
            from += sizeof(struct patch) + ((((const struct patch *)from)->length + 7) & ~7ull);
        state = (struct end *)to;
        memset(state, 0, sizeof *state);
        state->killed = 1;
        long process = CALL(fork, 0, 0, 0, 0, 0);
        if (process == 0)
            run(patches);
        int status = 0;
        if (process < 0 || CALL(wait4, process, &status, 0, 0, 0) != process)
            quit(5);
        if (state->killed)
            state->signal = status & 0x7F;
        to += sizeof *state + state->changes;
    }
    uint64_t length = to - output;
    write_all(&length, sizeof length);
    write_all(output, length);
}

__attribute__((used)) _Noreturn void main_loop(void)
{
    input = map(0, INPUT_SIZE, MAP_PRIVATE);
    output = map(0, OUTPUT_SIZE, MAP_SHARED);
    read_all(&region_count, sizeof region_count);
    if (region_count > MAX_REGIONS)
        quit(2);
    for (uint32_t i = 0; i < region_count; i++) {
        read_all(&regions[i], sizeof regions[i]);
        map(regions[i].address, regions[i].length, MAP_PRIVATE | MAP_FIXED_NOREPLACE);
        originals[i] = map(0, regions[i].length, MAP_PRIVATE);
        read_all(originals[i], regions[i].length);
        memcpy((void *)regions[i].address, originals[i], regions[i].length);
    }
    install_handlers();
    forbid_system_calls();
    for (;;) {
        uint32_t head[2]; /* programs, bytes */
        read_all(head, sizeof head);
        if (head[1] > INPUT_SIZE)
            quit(2);
        read_all(input, head[1]);
        run_batch(head[0]);
    }
}

__asm__(".globl _start\n"
        "_start: xorl %ebp, %ebp; andq $-16, %rsp; call main_loop\n");
