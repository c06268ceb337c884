/* The sections that name what is exported and the function that is started (WebAssembly core specification, 3.4.9,
   3.4.10, 5.5.10, 5.5.11). */
#include "decoder.h"

struct name { u32 at, length; };

/* Compare names by length, then by their bytes. */
static int less(const struct decoder *d, struct name a, struct name b)
{
    if (a.length != b.length)
        return a.length < b.length;
    for (u32 i = 0; i < a.length; i++)
        if (d->bytes[a.at + i] != d->bytes[b.at + i])
            return d->bytes[a.at + i] < d->bytes[b.at + i];
    return 0;
}

static void sift(const struct decoder *d, struct name *heap, u32 at, u32 count)
{
    for (u32 child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && less(d, heap[child], heap[child + 1]))
            child++;
        if (!less(d, heap[at], heap[child]))
            return;
        struct name swapped = heap[at];
        heap[at] = heap[child];
        heap[child] = swapped;
    }
}

/* Names are sorted, so that any number of them takes little time: a heap needs neither recursion nor memory. */
static int names_differ(struct decoder *d, struct name *names, u32 count)
{
    for (u32 i = count / 2; i--;)
        sift(d, names, i, count);
    for (u32 i = count; i-- > 1;) {
        struct name last = names[0];
        names[0] = names[i];
        names[i] = last;
        sift(d, names, 0, i);
    }
    for (u32 i = 1; i < count; i++) {
        u32 later = names[i].at > names[i - 1].at ? names[i].at : names[i - 1].at;
        REQUIRE(less(d, names[i - 1], names[i]), DUPLICATE_EXPORT, later);
    }
    return 1;
}

static int read_index(struct decoder *d, u8 kind, u32 *index)
{
    const struct module *m = d->module;
    u32 start = d->at;

    TRY(read_u32(d, index));
    switch (kind) {
    case 0:
        REQUIRE(*index < m->function_count, UNKNOWN_FUNCTION, start);
        return 1;
    case 1:
        REQUIRE(*index == 0 && m->has_table, UNKNOWN_TABLE, start);
        return 1;
    case 2:
        REQUIRE(*index == 0 && m->has_memory, UNKNOWN_MEMORY, start);
        return 1;
    default:
        REQUIRE(*index < m->global_count, UNKNOWN_GLOBAL, start);
        return 1;
    }
}

static int read_export(struct decoder *d, struct name *name)
{
    u32 index;
    u8 kind;

    TRY(read_name(d, &name->at, &name->length));
    TRY(read_byte(d, &kind));
    REQUIRE(kind <= 3, EXPORT_KIND, d->at - 1);
    TRY(read_index(d, kind, &index));
    if (kind == 0 && is_entry(d, name->at, name->length)) {
        const struct type *type = &d->types[d->functions[index].type];
        OBEY(type->parameters == 0 && type->results == 0, ENTRY_TYPE, name->at);
        d->module->entry = index;
        d->has_entry = 1;
    }
    return 1;
}

int export_section(struct decoder *d)
{
    u8 *high = d->high;
    struct name *names;
    u32 count;

    TRY(read_count(d, 3, &count));
    TRY(temporary(d, count, sizeof *names, &names));
    for (u32 i = 0; i < count; i++)
        TRY(read_export(d, &names[i]));
    TRY(names_differ(d, names, count));
    d->high = high;
    return 1;
}

/* A guest is entered by its export _start alone. */
int start_section(struct decoder *d)
{
    u32 start = d->at, index;

    TRY(read_u32(d, &index));
    REQUIRE(index < d->module->function_count, UNKNOWN_FUNCTION, start);
    const struct type *type = &d->types[d->functions[index].type];
    REQUIRE(type->parameters == 0 && type->results == 0, START_FUNCTION, start);
    OBEY(0, START_SECTION, start);
    return 1;
}
