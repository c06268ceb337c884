/* What a guest may import and must export (docs/payloads.md). */
#include "decoder.h"

static const u8 namespace[] = "aether", entry[] = "_start";

/* The numbers of the host calls are their places here. */
static const struct { const u8 *name; u32 length; u8 parameters, results; } imports[] = {
    {(const u8 *)"get_status", 10, 0, 1},
    {(const u8 *)"emit_signal", 11, 1, 0},
    {(const u8 *)"shred_self", 10, 0, 0},
};

static int equals(const struct decoder *d, u32 at, u32 length, const u8 *text, u32 text_length)
{
    if (length != text_length)
        return 0;
    for (u32 i = 0; i < length; i++)
        if (d->bytes[at + i] != text[i])
            return 0;
    return 1;
}

static int only_i32(struct types types, u32 count)
{
    return types.count == count && (count == 0 || types.list[0] == I32);
}

static int has_type(const struct decoder *d, u32 type, u32 number)
{
    return only_i32(parameters_of(d, type), imports[number].parameters) &&
           only_i32(results_of(d, type), imports[number].results);
}

/* Return the number of an imported function's host call, and note a breach of the contract. */
u32 contract_import(struct decoder *d, u32 module_at, u32 module_length, u32 name_at, u32 name_length, u32 type)
{
    u32 number = 0, known = sizeof imports / sizeof imports[0];

    while (number < known && !equals(d, name_at, name_length, imports[number].name, imports[number].length))
        number++;
    OBEY(equals(d, module_at, module_length, namespace, sizeof namespace - 1), IMPORT, module_at);
    OBEY(number < known, IMPORT, name_at);
    OBEY(number == known || has_type(d, type, number), IMPORT_TYPE, name_at);
    return number;
}

int is_entry(const struct decoder *d, u32 name_at, u32 name_length)
{
    return equals(d, name_at, name_length, entry, sizeof entry - 1);
}
