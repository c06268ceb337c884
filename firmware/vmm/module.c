/* A module: its header and its sections (WebAssembly core specification, 5.5.2, 5.5.16). */
#include "decoder.h"

#define HIGHEST_SECTION 12

/* In the order of a module. The data count precedes the code, although its number is the highest. */
struct section { u8 place; int (*read)(struct decoder *d); };
static const struct section sections[HIGHEST_SECTION + 1] = {
    [1] = {1, type_section}, [2] = {2, import_section}, [3] = {3, function_section}, [4] = {4, table_section},
    [5] = {5, memory_section}, [6] = {6, global_section}, [7] = {7, export_section}, [8] = {8, start_section},
    [9] = {9, element_section}, [12] = {10, data_count_section}, [10] = {11, code_section}, [11] = {12, data_section},
};

static int header(struct decoder *d)
{
    u64 magic, version;

    REQUIRE(d->end <= LIMIT_MODULE, MODULE_LARGE, 0);
    TRY(read_fixed(d, 4, &magic));
    REQUIRE(magic == 0x6D736100, MAGIC, 0);     /* "\0asm" */
    TRY(read_fixed(d, 4, &version));
    REQUIRE(version == 1, VERSION, 4);
    return 1;
}

static int custom_section(struct decoder *d)
{
    u32 at, length;

    TRY(read_name(d, &at, &length));
    d->at = d->end;
    return 1;
}

static int read_sections(struct decoder *d)
{
    u32 place = 0, module_end = d->end;

    while (d->at < module_end) {
        u32 start = d->at, size;
        u8 id;

        TRY(read_byte(d, &id));
        REQUIRE(id <= HIGHEST_SECTION, SECTION_ID, start);
        TRY(read_u32(d, &size));
        REQUIRE(size <= module_end - d->at, LENGTH, start + 1);
        d->end = d->at + size;
        if (id == 0) {
            TRY(custom_section(d));
        } else {
            REQUIRE(sections[id].place > place, SECTION_ORDER, start);
            place = sections[id].place;
            TRY(sections[id].read(d));
        }
        REQUIRE(d->at == d->end, SECTION_SIZE, d->at);
        d->end = module_end;
    }
    return 1;
}

static int read_module(struct decoder *d)
{
    TRY(header(d));
    TRY(read_sections(d));
    REQUIRE(d->bodies == d->module->function_count - d->module->imported_functions, CODE_COUNT, d->at);
    REQUIRE(!d->has_data_count || d->data_count == d->module->segment_count, DATA_COUNT, d->at);
    OBEY(d->has_entry, NO_ENTRY, d->at);
    return 1;
}

struct rejection validate(struct module *module, const u8 *bytes, u32 length, u8 *arena, u32 arena_size,
                          u32 *arena_used)
{
    struct decoder decoder = {
        .module = module, .bytes = bytes, .end = length, .low = arena, .high = arena + (arena_size & ~7u),
    };

    *module = (struct module){.bytes = bytes, .length = length};
    int valid = read_module(&decoder);
    module->types = decoder.types;
    module->functions = decoder.functions;
    module->globals = decoder.globals;
    module->elements = decoder.elements;
    module->branches = decoder.branches;
    *arena_used = (u32)(decoder.low - arena);
    return valid ? decoder.contract : decoder.rejection;
}
