/* The VMM in a process of Linux, for tests: it reads modules from standard input, and answers on standard output. It
   needs no C library, which would take minutes to build.

   Module, arena, and each memory of the guest end before an inaccessible page, the linear memory before 8 GiB of them.
   During a run the module and the arena are read-only. A signal in the interpreter, at an address where one is due, is
   the trap that the exception would be on the machine. Any other signal ends the process. */
#include <asm/unistd.h>
#include <linux/mman.h>
#include <linux/posix_types.h>
#include <linux/signal.h>
#include <linux/time.h>
#include "removed.h"
#include "vmm.h"

#define PAGE        0x1000ULL
#define GIB         (1ULL << 30)
#define VALUES      (256 << 10)     /* bytes */
#define CALLS       (64 << 10)
#define GLOBALS     (1 << 20)       /* more than any arena of the tests holds */
#define ARENA       (64 << 20)
#define RESTORER    0x04000000      /* without it x86-64 delivers no signal */

enum command { VALIDATE = 1, RUN, TIME };
enum record { HOST_CALL = 'C', RETURNED = 'R', TRAPPED = 'T' };
enum trap { NONE, MEMORY, STACK, ILLEGAL, DIVIDE, HANGS };

struct request { u32 command, length, arena_size, status, line; char file[24]; };
struct verdict { u32 reason, offset, arena_used, branches; };
struct event { u32 record, kind, argument; u8 digest[32]; };

void sha256(const u8 *data, u32 length, u8 *digest);

static u8 *module_end, *arena_end, *linear, *values, *calls, *globals;
static struct module module;
static struct guest guest;
static void *trapped[5];        /* where a trap continues */
static volatile int running, reporting, expired;
static volatile u32 trap;
static int quiet;
static struct request request;

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;

    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static _Noreturn void leave(int code)
{
    for (;;)
        call(__NR_exit_group, code, 0, 0, 0, 0, 0);
}

static u8 *map(u8 *base, u64 size, int protection, int flags)
{
    long at = call(__NR_mmap, (long)base, (long)size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    if (at < 0 && at > -4096)
        leave(2);
    return (u8 *)at;
}

static void permit(u8 *base, u64 size, int protection)
{
    if (call(__NR_mprotect, (long)base, (long)size, protection, 0, 0, 0))
        leave(2);
}

/* Read or write all of it. The parent ends this process by closing its input. */
static void transfer(long number, int file, void *data, u64 length)
{
    while (length) {
        long moved = call(number, file, (long)data, (long)length, 0, 0, 0);
        if (moved <= 0)
            leave(moved ? 3 : 0);
        data = (u8 *)data + moved;
        length -= (u64)moved;
    }
}

/* Memory that is followed by an inaccessible page. Returns its end. */
static u8 *guarded(u64 size)
{
    u8 *base = map(0, size + 2 * PAGE, PROT_NONE, MAP_NORESERVE) + PAGE;

    permit(base, size, PROT_READ | PROT_WRITE);
    return base + size;
}

static void prepare(void)
{
    module_end = guarded(LIMIT_MODULE + PAGE);
    arena_end = guarded(ARENA);
    values = guarded(VALUES) - VALUES;
    calls = guarded(CALLS) - CALLS;
    globals = guarded(GLOBALS);
    linear = (u8 *)(((u64)map(0, 16 * GIB, PROT_NONE, MAP_NORESERVE) + 4 * GIB - 1) & -(4 * GIB));
}

static void fresh(u8 *base, u64 size, int protection)
{
    if (size)
        map(base, size, protection, MAP_FIXED | MAP_NORESERVE);
}

static void protect(int protection)
{
    permit(module_end - LIMIT_MODULE, LIMIT_MODULE, protection);
    permit(arena_end - ARENA, ARENA, protection);
}

static void report(u32 record, u32 kind, u32 argument)
{
    struct event event = {record, kind, argument, {0}};
    static u8 state[GLOBALS + LIMIT_PAGES * PAGE_BYTES];
    u32 size = 0;

    if (quiet)
        return;
    for (u32 i = 0; i < module.global_count; i++, size += 8)
        *(u64 *)(state + size) = guest.globals[i];
    for (u32 i = 0; i < module.pages * PAGE_BYTES; i++)
        state[size++] = linear[i];
    sha256(state, size, event.digest);
    transfer(__NR_write, 1, &event, sizeof event);
}

u64 ask_host(u64 number, u64 argument)
{
    reporting = 1;
    running = 0;
    report(HOST_CALL, (u32)number, (u32)argument);
    running = 1;
    reporting = 0;
    if (expired) {
        trap = HANGS;
        __builtin_longjmp(trapped, 1);
    }
    return request.status;
}

static int in(u64 address, const u8 *base, u64 size)
{
    return address - (u64)base < size;
}

void return_from_signal(void);
__asm__("return_from_signal: movl $15, %eax\n syscall");   /* rt_sigreturn */

static void on_signal(int signal, siginfo_t *info, void *context)
{
    u64 at = (u64)info->si_addr;

    (void)context;
    if (signal == SIGALRM && reporting) {
        expired = 1;
        return;
    }
    if (!running)
        leave(4);
    if (signal == SIGFPE)
        trap = DIVIDE;
    else if (signal == SIGILL)
        trap = ILLEGAL;
    else if (signal == SIGALRM)
        trap = HANGS;
    else if (in(at, linear + (u64)module.pages * PAGE_BYTES, 8 * GIB + PAGE))
        trap = MEMORY;
    else if (in(at, values + VALUES, PAGE) || in(at, calls + CALLS, PAGE))
        trap = STACK;
    else
        leave(5);
    __builtin_longjmp(trapped, 1);
}

/* SIGSEGV for a page that is there has the address 0, and so is no trap. */
static void handle_signals(void)
{
    static u8 stack[0x10000];
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
    const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    struct { void (*handler)(int, siginfo_t *, void *); u64 flags; void (*restorer)(void); u64 mask; } action = {
        on_signal, SA_SIGINFO | SA_ONSTACK | SA_NODEFER | RESTORER, return_from_signal, 0,
    };

    call(__NR_sigaltstack, (long)&alternative, 0, 0, 0, 0, 0);
    for (u32 i = 0; i < sizeof signals / sizeof *signals; i++)
        if (call(__NR_rt_sigaction, signals[i], (long)&action, 0, 8, 0, 0))
            leave(2);
}

/* See removed.h: whether the check in this line is the one that the request removes. */
int removed(const char *file, u32 line)
{
    u32 i = 0;

    while (file[i] && file[i] == request.file[i])
        i++;
    return !file[i] && !request.file[i] && line == request.line;
}

static u64 now(void)
{
    struct __kernel_timespec time;

    call(__NR_clock_gettime, CLOCK_MONOTONIC, (long)&time, 0, 0, 0, 0);
    return (u64)time.tv_sec * 1000000000 + (u64)time.tv_nsec;
}

static void execute_guest(void)
{
    if (__builtin_setjmp(trapped))
        return;
    running = 1;
    run(&guest);
}

static void run_guest(void)
{
    u64 memory_size = (u64)module.pages * PAGE_BYTES, globals_size = (module.global_count * 8 + PAGE - 1) & -PAGE;

    fresh(linear, memory_size, PROT_READ | PROT_WRITE);
    fresh(values, VALUES, PROT_READ | PROT_WRITE);
    fresh(calls, CALLS, PROT_READ | PROT_WRITE);
    fresh(globals - globals_size, globals_size, PROT_READ | PROT_WRITE);
    guest = (struct guest){&module, linear, (u64 *)(globals - 8 * module.global_count), (u64 *)values,
                           (struct call *)calls};
    protect(PROT_READ);
    trap = NONE;
    expired = reporting = 0;
    call(__NR_alarm, 20, 0, 0, 0, 0, 0);
    execute_guest();
    running = 0;
    call(__NR_alarm, 0, 0, 0, 0, 0, 0);
    report(trap == NONE ? RETURNED : TRAPPED, trap, 0);
    fresh(linear, memory_size, PROT_NONE);
    protect(PROT_READ | PROT_WRITE);
}

_Noreturn void start(void)
{
    prepare();
    handle_signals();
    for (;;) {
        transfer(__NR_read, 0, &request, sizeof request);
        if (request.length > LIMIT_MODULE + PAGE || request.arena_size > ARENA)
            leave(2);
        u8 *bytes = module_end - request.length;
        transfer(__NR_read, 0, bytes, request.length);
        struct verdict verdict = {0};
        u8 *arena = arena_end - (request.arena_size & -16u);
        u64 begun = now();
        call(__NR_alarm, 5, 0, 0, 0, 0, 0);
        struct rejection rejection =
            validate(&module, bytes, request.length, arena, request.arena_size & -16u, &verdict.arena_used);
        u64 validated = now();
        call(__NR_alarm, 0, 0, 0, 0, 0, 0);
        verdict.reason = rejection.reason;
        verdict.offset = rejection.offset;
        verdict.branches = module.branch_count;
        transfer(__NR_write, 1, &verdict, sizeof verdict);
        quiet = request.command == TIME;
        if (request.command != VALIDATE && !rejection.reason)
            run_guest();
        u64 times[] = {validated - begun, now() - validated};
        if (quiet)
            transfer(__NR_write, 1, times, sizeof times);
    }
}

__asm__(".globl _start\n_start: andq $-16, %rsp\n call start\n hlt");
