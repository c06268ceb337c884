/* The VMM under libFuzzer, with the sanitizers for addresses and for undefined behaviour: see fuzz.py.

   The first byte of an input chooses the size of the arena; the rest is a module. Module and arena are of exactly their
   size, so that the address sanitizer sees an access beyond. A module that is valid has a sound side table, and its
   guest runs for a moment. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "vmm.h"

#define PAGE    0x1000ULL
#define GIB     (1ULL << 30)
#define VALUES  (64 << 10)      /* bytes */
#define CALLS   (16 << 10)
#define MOST_PAGES 1            /* of linear memory: clearing more takes longer than the rest */
#define MOMENT  50000           /* ns */

static u8 *linear, *values, *calls;
static u64 globals[64];
static struct module module;
static void *trapped[5];
static volatile sig_atomic_t running;
static timer_t timer;

u64 ask_host(u64 number, u64 argument)
{
    return number + argument;
}

static int in(u64 address, const u8 *base, u64 size)
{
    return address - (u64)base < size;
}

/* Not by siglongjmp, in which the sanitizer would read the table of mappings each time. */
__attribute__((no_sanitize("address"))) static void on_signal(int signal, siginfo_t *info, void *context)
{
    u64 at = (u64)info->si_addr;

    (void)context;
    if (!running && signal == SIGUSR2)
        return;
    if (!running || (signal == SIGSEGV && !in(at, linear + (u64)module.pages * PAGE_BYTES, 8 * GIB + PAGE) &&
                     !in(at, values + VALUES, PAGE) && !in(at, calls + CALLS, PAGE)))
        abort();
    running = 0;
    __builtin_longjmp(trapped, 1);
}

static u8 *guarded(u64 size)
{
    u8 *base = mmap(0, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED || mprotect(base + PAGE, size, PROT_READ | PROT_WRITE))
        abort();
    return base + PAGE;
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    const struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};  /* libFuzzer has a thread, too */
    const int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGUSR2};
    u8 *reserved = mmap(0, 16 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    (void)count;
    (void)arguments;
    if (reserved == MAP_FAILED)
        abort();
    linear = (u8 *)(((u64)reserved + 4 * GIB - 1) & -(4 * GIB));
    if (mprotect(linear, MOST_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE))
        abort();
    values = guarded(VALUES);
    calls = guarded(CALLS);
    for (u32 i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, 0);
    event._sigev_un._tid = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &timer))
        abort();
    return 0;
}

static void require(int holds)
{
    if (!holds)
        abort();
}

/* Each branch of a function leads to one of its bytes and one of its entries, or to the entry after them. */
static void check_side_table(void)
{
    for (u32 i = module.imported_functions; i < module.function_count; i++) {
        const struct function *function = &module.functions[i];
        u32 end = i + 1 < module.function_count ? function[1].branches : module.branch_count;
        require(function->at < function->end && function->end <= module.length && function->branches <= end);
        for (u32 j = function->branches; j < end; j++) {
            const struct branch *branch = &module.branches[j];
            int64_t next = (int64_t)j + branch->next, size = (int64_t)function->end - function->at;
            require(next >= function->branches && next <= end);
            require(branch->to < size && branch->to > -size && branch->carried <= LIMIT_RESULTS);
        }
    }
}

static void run_guest(void)
{
    const struct itimerspec moment = {.it_value.tv_nsec = MOMENT}, none = {0};
    const struct guest guest = {&module, linear, globals, (u64 *)values, (struct call *)calls};

    if (module.pages > MOST_PAGES || module.global_count > sizeof globals / sizeof *globals)
        return;
    if (module.pages < MOST_PAGES)
        mprotect(linear, MOST_PAGES * PAGE_BYTES, PROT_NONE);
    else
        memset(linear, 0, MOST_PAGES * PAGE_BYTES);
    if (!__builtin_setjmp(trapped)) {
        running = 1;
        timer_settime(timer, 0, &moment, 0);
        run(&guest);
    }
    running = 0;
    timer_settime(timer, 0, &none, 0);
    if (module.pages < MOST_PAGES)
        mprotect(linear, MOST_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    u32 length = (u32)size - 1, arena_size = data[0] < 16 ? data[0] * 64u : 96u << 10, used;
    u8 *bytes = malloc(length), *arena = malloc(arena_size);

    memcpy(bytes, data + 1, length);
    if (!validate(&module, bytes, length, arena, arena_size, &used).reason) {
        require(used <= arena_size);
        check_side_table();
        run_guest();
    }
    free(arena);
    free(bytes);
    return 0;
}
