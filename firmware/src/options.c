/* The command line: `name=number` words, each at most once, no others. */
#include "kernel.h"

#define TAG_END             0
#define TAG_COMMAND_LINE    1

struct options options = {.cycles = 1, .wake_ns = 1000000, .quantum_ns = 10000000, .arena_bytes = ARENA_SIZE};

static const struct { const char *name; u32 *value; u32 least, most; } known[] = {
    {"cycles", &options.cycles, 1, 0xFFFFFF},
    {"wake_ns", &options.wake_ns, 1000, 0xFFFFFFF0},
    {"quantum_ns", &options.quantum_ns, 1000, 0xFFFFFFF0},
    {"arena_bytes", &options.arena_bytes, 0, ARENA_SIZE},
};

/* Where `text` goes on behind `name` and '=', or 0. */
static const char *after(const char *text, const char *name)
{
    while (*name)
        if (*text++ != *name++)
            return 0;
    return *text == '=' ? text + 1 : 0;
}

static const char *read_option(const char *text)
{
    for (u32 i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *digit = after(text, known[i].name);
        if (!digit)
            continue;
        u64 value = 0;
        const char *start = digit;
        for (; *digit >= '0' && *digit <= '9' && digit - start < 10; digit++)
            value = value * 10 + (*digit - '0');
        if (digit == start || (*digit && *digit != ' ') || value < known[i].least || value > known[i].most)
            break;
        *known[i].value = value;
        return digit;
    }
    annihilate(CAUSE_KERNEL_FAULT, DETAIL_BAD_OPTION);
}

void read_options(void)
{
    const u8 *tag = boot_information + 8;
    const u8 *end = boot_information + BOOT_INFORMATION_SIZE;

    for (; tag < end && *(const u32 *)tag != TAG_END; tag += (*(const u32 *)(tag + 4) + 7) & -8) {
        if (*(const u32 *)tag != TAG_COMMAND_LINE)
            continue;
        const char *text = (const char *)tag + 8;
        while (*text)
            text = *text == ' ' ? text + 1 : read_option(text);
        return;
    }
}
