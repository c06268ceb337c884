/* The sections that declare types, imports, functions, the table, the memory and globals (WebAssembly core
   specification, 3.2, 5.3 and 5.5.4 to 5.5.9). */
#include "decoder.h"

static int read_types(struct decoder *d, u32 *at, u16 *count)
{
    u32 start = d->at, found;

    TRY(read_count(d, 1, &found));
    REQUIRE(found <= LIMIT_PARAMETERS, MANY_PARAMETERS, start);
    *at = d->at;
    *count = (u16)found;
    for (u32 i = 0; i < found; i++) {
        u8 type;
        TRY(read_value_type(d, &type));
    }
    return 1;
}

int type_section(struct decoder *d)
{
    u32 count;

    TRY(read_count(d, 3, &count));
    TRY(permanent(d, count, sizeof *d->types, &d->types));
    for (u32 i = 0; i < count; i++) {
        u8 tag;
        TRY(read_byte(d, &tag));
        REQUIRE(tag == FUNCTION_TYPE, FUNCTION_TAG, d->at - 1);
        TRY(read_types(d, &d->types[i].parameters_at, &d->types[i].parameters));
        TRY(read_types(d, &d->types[i].results_at, &d->types[i].results));
    }
    d->module->type_count = count;
    return 1;
}

static int read_type_index(struct decoder *d, u32 *index)
{
    u32 start = d->at;

    TRY(read_u32(d, index));
    REQUIRE(*index < d->module->type_count, UNKNOWN_TYPE, start);
    return 1;
}

/* The limits of a table or memory. Only the minimum matters: neither grows. */
static int read_limits(struct decoder *d, u32 most, u32 *minimum)
{
    u32 start = d->at, maximum;
    u8 flags;

    TRY(read_byte(d, &flags));
    REQUIRE(flags <= 1, LIMITS, start);
    TRY(read_u32(d, minimum));
    maximum = *minimum;
    if (flags == 1)
        TRY(read_u32(d, &maximum));
    REQUIRE(*minimum <= maximum, MINIMUM, start);
    REQUIRE(maximum <= most, MEMORY_SIZE, start);
    return 1;
}

static int read_table(struct decoder *d)
{
    u8 type;
    u32 start = d->at;

    TRY(read_byte(d, &type));
    REQUIRE(type == FUNCREF, REFERENCE_TYPE, start);
    REQUIRE(!d->module->has_table, MULTIPLE_TABLES, start);
    d->module->has_table = 1;
    TRY(read_limits(d, 0xFFFFFFFF, &d->module->element_count));
    OBEY(d->module->element_count <= LIMIT_ELEMENTS, TABLE_LARGE, start);
    return 1;
}

static int read_memory(struct decoder *d)
{
    u32 start = d->at;

    REQUIRE(!d->module->has_memory, MULTIPLE_MEMORIES, start);
    d->module->has_memory = 1;
    TRY(read_limits(d, 65536, &d->module->pages));
    OBEY(d->module->pages <= LIMIT_PAGES, MEMORY_LARGE, start);
    return 1;
}

static int read_global_type(struct decoder *d, struct global *global)
{
    TRY(read_value_type(d, &global->type));
    TRY(read_byte(d, &global->is_mutable));
    REQUIRE(global->is_mutable <= 1, MUTABILITY, d->at - 1);
    return 1;
}

static int read_import(struct decoder *d, struct function *function, struct global *global)
{
    u32 start = d->at, module_at, module_length, name_at, name_length;
    u8 kind;

    TRY(read_name(d, &module_at, &module_length));
    TRY(read_name(d, &name_at, &name_length));
    TRY(read_byte(d, &kind));
    OBEY(kind == 0, IMPORT, start);
    switch (kind) {
    case 0:
        *function = (struct function){0};
        TRY(read_type_index(d, &function->type));
        function->locals = contract_import(d, module_at, module_length, name_at, name_length, function->type);
        d->module->imported_functions = ++d->module->function_count;
        return 1;
    case 1:
        return read_table(d);
    case 2:
        return read_memory(d);
    case 3:
        *global = (struct global){0};
        TRY(read_global_type(d, global));
        d->module->imported_globals = ++d->module->global_count;
        return 1;
    }
    return reject(d, REASON_IMPORT_KIND, d->at - 1);
}

/* Room for as many functions and globals as there are imports. The two sections below make room for theirs, and copy
   these: an arena does not grow what it has given. */
int import_section(struct decoder *d)
{
    u32 count;

    TRY(read_count(d, 4, &count));
    TRY(permanent(d, count, sizeof *d->functions, &d->functions));
    TRY(permanent(d, count, sizeof *d->globals, &d->globals));
    for (u32 i = 0; i < count; i++)
        TRY(read_import(d, &d->functions[d->module->function_count], &d->globals[d->module->global_count]));
    return 1;
}

int function_section(struct decoder *d)
{
    u32 count, imported = d->module->imported_functions;
    const struct function *imports = d->functions;

    TRY(read_count(d, 1, &count));
    TRY(permanent(d, imported + count, sizeof *d->functions, &d->functions));
    for (u32 i = 0; i < imported; i++)
        d->functions[i] = imports[i];
    for (u32 i = 0; i < count; i++) {
        d->functions[imported + i] = (struct function){0};
        TRY(read_type_index(d, &d->functions[imported + i].type));
    }
    d->module->function_count = imported + count;
    return 1;
}

/* The table has no elements yet. If it is too large for the profile, or imported, the module will be rejected. */
int table_section(struct decoder *d)
{
    u32 count;

    TRY(read_count(d, 3, &count));
    for (u32 i = 0; i < count; i++)
        TRY(read_table(d));
    if (!count || d->module->element_count > LIMIT_ELEMENTS)
        return 1;
    TRY(permanent(d, d->module->element_count, sizeof *d->elements, &d->elements));
    for (u32 i = 0; i < d->module->element_count; i++)
        d->elements[i] = NO_FUNCTION;
    return 1;
}

int memory_section(struct decoder *d)
{
    u32 count;

    TRY(read_count(d, 2, &count));
    for (u32 i = 0; i < count; i++)
        TRY(read_memory(d));
    return 1;
}

int global_section(struct decoder *d)
{
    u32 start = d->at, count, imported = d->module->imported_globals;
    const struct global *imports = d->globals;

    TRY(read_count(d, 3, &count));
    REQUIRE(imported + count <= LIMIT_GLOBALS, MANY_GLOBALS, start);
    TRY(permanent(d, imported + count, sizeof *d->globals, &d->globals));
    for (u32 i = 0; i < imported; i++)
        d->globals[i] = imports[i];
    for (u32 i = 0; i < count; i++) {
        struct global *global = &d->globals[imported + i];
        TRY(read_global_type(d, global));
        TRY(read_constant(d, global->type, &global->initial));
        d->module->global_count = imported + i + 1;
    }
    return 1;
}
