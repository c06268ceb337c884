/* The command line: words `name=number`, `attestation=record` or `attestation=require`; without a coprocessor
   `guest=native` or `guest=resident`; for a flat payload `sha256=` with 64 hexadecimal digits; for signed ones
   `verify=firmware`. Any other word causes annihilation. */
#include "kernel.h"

#define TAG_END             0
#define TAG_COMMAND_LINE    1

struct options options = {.cycles = 1, .wake_ns = 1000000, .quantum_ns = 10000000, .arena_bytes = ARENA_SIZE};

static const struct { const char *name; u32 *value; u32 least, most; } known[] = {
    {"cycles", &options.cycles, 1, 0xFFFFFF},
    {"wake_ns", &options.wake_ns, 1000, 0xFFFFFFF0},
    {"quantum_ns", &options.quantum_ns, 1000, 0xFFFFFFF0},
    {"arena_bytes", &options.arena_bytes, 0, ARENA_SIZE},
    {"production", &options.production, 0, 1},
};

/* Return the rest of `text` after `name` and '=', or 0. */
static const char *after(const char *text, const char *name)
{
    while (*name)
        if (*text++ != *name++)
            return 0;
    return *text == '=' ? text + 1 : 0;
}

/* Return the rest of `text` after `start`, or 0. */
static const char *behind(const char *text, const char *start)
{
    while (*start)
        if (*text++ != *start++)
            return 0;
    return text;
}

/* Return the value of a hexadecimal digit in lower case, or 16. */
static u32 digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : 16;
}

/* Read a word that is not a number. Without a digest, it is zero, and the payload will be rejected. */
static const char *read_word(const char *text)
{
    const char *rest = behind(text, "guest=native");

    if (rest) {
        options.engine = ENGINE_NATIVE;
    } else if ((rest = behind(text, "guest=resident"))) {
        options.engine = ENGINE_RESIDENT;
    } else if ((rest = behind(text, "verify=firmware"))) {
        options.verify = VERIFY_FIRMWARE;
    } else if ((rest = behind(text, "attestation=record"))) {
        options.attestation = ATTESTATION_RECORD;
    } else if ((rest = behind(text, "attestation=require"))) {
        options.attestation = ATTESTATION_REQUIRE;
    } else if ((rest = behind(text, "sha256="))) {
        for (u32 i = 0; i < 2 * sizeof options.sha256; i++, rest++) {
            u32 value = digit_value(*rest);
            if (value > 15)
                return 0;
            options.sha256[i / 2] = options.sha256[i / 2] << 4 | value;
        }
    }
    return rest && (!*rest || *rest == ' ') ? rest : 0;
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
    const char *rest = read_word(text);
    if (rest)
        return rest;
    annihilate(CAUSE_KERNEL_FAULT, DETAIL_BAD_OPTION);
}

/* Return the command line passed by the loader, or "". */
const char *command_line(void)
{
    const u8 *tag = boot_information + 8;
    const u8 *end = boot_information + BOOT_INFORMATION_SIZE;

    for (; tag < end && *(const u32 *)tag != TAG_END; tag += (*(const u32 *)(tag + 4) + 7) & -8)
        if (*(const u32 *)tag == TAG_COMMAND_LINE)
            return (const char *)tag + 8;
    return "";
}

void read_options(void)
{
    const char *text = command_line();

    while (*text)
        text = *text == ' ' ? text + 1 : read_option(text);
}
