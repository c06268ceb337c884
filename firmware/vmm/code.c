/* The code section: locals and bodies of functions (WebAssembly core specification, 3.4.1, 5.5.13). */
#include "decoder.h"
#include "opcodes.h"

/* Locals are declared in groups of one type. They are not expanded: a group of a few bytes may be 50,000 locals. */
static int read_locals(struct decoder *d, struct function *function)
{
    u32 count, start = d->at;
    u64 total = 0;
    struct group *groups;

    d->parameters = parameters_of(d, function->type);
    TRY(read_count(d, 2, &count));
    TRY(temporary(d, count, sizeof *groups, &groups));
    for (u32 i = 0; i < count; i++) {
        u32 length;
        u8 type;
        TRY(read_u32(d, &length));
        TRY(read_value_type(d, &type));
        total += length;
        REQUIRE(d->parameters.count + total <= LIMIT_LOCALS, TOO_MANY_LOCALS, start);
        groups[i] = (struct group){(u32)total, type};
    }
    d->groups = groups;
    d->group_count = count;
    d->local_count = function->locals = (u32)total;
    return 1;
}

static int read_body(struct decoder *d, struct function *function)
{
    u32 size, section_end = d->end, start = d->at;
    u8 *high = d->high;

    TRY(read_u32(d, &size));
    REQUIRE(size <= section_end - d->at, LENGTH, start);
    d->end = d->at + size;
    TRY(read_locals(d, function));
    function->parameters = d->types[function->type].parameters;
    function->results = d->types[function->type].results;
    function->at = d->at;
    function->branches = d->module->branch_count;
    d->height = 0;
    TRY(push_frame(d, 0, (struct types){0}, results_of(d, function->type)));
    d->outermost = d->frames;
    while (d->frames <= d->outermost) {
        d->instruction = d->at;
        REQUIRE(d->at < d->end, END_EXPECTED, d->at);
        TRY(instruction(d));
    }
    REQUIRE(d->at == d->end, END_EXPECTED, d->at);
    function->end = d->at;
    d->end = section_end;
    d->high = high;
    return 1;
}

int code_section(struct decoder *d)
{
    u8 *high = d->high;
    u32 count, start = d->at, imported = d->module->imported_functions;

    TRY(read_count(d, 1, &count));
    REQUIRE(count == d->module->function_count - imported, CODE_COUNT, start);
    TRY(temporary(d, LIMIT_HEIGHT, 1, &d->operands));
    TRY(permanent(d, 0, sizeof *d->branches, &d->branches));
    for (u32 i = 0; i < count; i++)
        TRY(read_body(d, &d->functions[imported + i]));
    d->bodies = count;
    d->high = high;
    return 1;
}
