/* The sections that initialise the table and the linear memory (WebAssembly core specification, 3.4.7, 3.4.8, 5.5.12,
   5.5.14 and 5.5.15). Only active segments are in the guest profile: those of WebAssembly 1.0, and the same with their
   table or memory named. */
#include "decoder.h"

enum { ACTIVE = 0, ACTIVE_NAMED = 2, HIGHEST_ELEMENT = 7, HIGHEST_DATA = 2 };

static int read_kind(struct decoder *d, u32 highest, u32 *kind)
{
    u32 start = d->at;

    TRY(read_u32(d, kind));
    REQUIRE(*kind <= highest, SEGMENT_KIND, start);
    REQUIRE(*kind == ACTIVE || *kind == ACTIVE_NAMED, PASSIVE_SEGMENT, start);
    return 1;
}

/* The functions of a segment: their indices are checked, and written to the table, if all of them fit. */
static int read_functions(struct decoder *d, u32 offset)
{
    struct module *m = d->module;
    u32 count;

    TRY(read_count(d, 1, &count));
    int fits = (u64)offset + count <= m->element_count;
    if (!fits)
        m->elements_trap = 1;
    for (u32 i = 0; i < count; i++) {
        u32 start = d->at, function;
        TRY(read_u32(d, &function));
        REQUIRE(function < m->function_count, UNKNOWN_FUNCTION, start);
        if (fits && d->elements)
            d->elements[offset + i] = function;
    }
    return 1;
}

static int read_element_segment(struct decoder *d)
{
    u32 kind, table = 0, start = d->at;
    u64 offset;
    u8 element_kind = 0;

    TRY(read_kind(d, HIGHEST_ELEMENT, &kind));
    if (kind == ACTIVE_NAMED)
        TRY(read_u32(d, &table));
    REQUIRE(table == 0 && d->module->has_table, UNKNOWN_TABLE, start);
    TRY(read_constant(d, I32, &offset));
    if (kind == ACTIVE_NAMED)
        TRY(read_byte(d, &element_kind));
    REQUIRE(element_kind == 0, ELEMENT_KIND, d->at - 1);
    return read_functions(d, (u32)offset);
}

int element_section(struct decoder *d)
{
    u32 count;

    TRY(read_count(d, 1, &count));
    for (u32 i = 0; i < count; i++)
        TRY(read_element_segment(d));
    return 1;
}

int data_count_section(struct decoder *d)
{
    d->has_data_count = 1;
    return read_u32(d, &d->data_count);
}

static int read_data_segment(struct decoder *d, struct segment *segment)
{
    u32 kind, memory = 0, start = d->at;
    u64 offset;

    TRY(read_kind(d, HIGHEST_DATA, &kind));
    if (kind == ACTIVE_NAMED)
        TRY(read_u32(d, &memory));
    REQUIRE(memory == 0 && d->module->has_memory, UNKNOWN_MEMORY, start);
    TRY(read_constant(d, I32, &offset));
    TRY(read_u32(d, &segment->length));
    segment->offset = (u32)offset;
    segment->at = d->at;
    return pass_over(d, segment->length);
}

int data_section(struct decoder *d)
{
    u32 count;
    struct segment *segments;

    TRY(read_count(d, 1, &count));
    TRY(permanent(d, count, sizeof *segments, &segments));
    for (u32 i = 0; i < count; i++)
        TRY(read_data_segment(d, &segments[i]));
    d->module->segments = segments;
    d->module->segment_count = count;
    return 1;
}
