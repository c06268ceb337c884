/* The sections of a module (WebAssembly core specification, 5.5.2), among which is the one with the signatures. All of
   them are walked: a second such section would be no part of what was signed, or of what was meant. */
#include "decoder.h"
#include "signatures.h"

#define CUSTOM 0

static const u8 header[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
static const u8 label[] = {9, 's', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e'};     /* the name, after its length */

struct section { u32 start, body, payload, end, is_signature; };

int is_equal(const u8 *left, const u8 *right, u32 length)
{
    for (u32 i = 0; i < length; i++)
        if (left[i] != right[i])
            return 0;
    return 1;
}

/* Return the number of bytes of a number's shortest encoding in LEB128. */
u32 shortest(u32 value)
{
    u32 size = 1;

    while (value >>= 7)
        size++;
    return size;
}

static int read_section(struct decoder *d, struct section *section)
{
    u32 size, name, length, end = d->end;
    u8 id;

    *section = (struct section){.start = d->at};
    TRY(read_byte(d, &id));
    TRY(read_u32(d, &size));
    TRY(size <= d->end - d->at);
    section->body = d->at;
    section->end = d->end = d->at + size;
    if (id == CUSTOM) {
        TRY(read_text(d, &name, &length));
        section->is_signature = length == label[0] && is_equal(d->bytes + name, label + 1, length);
        section->payload = d->at;
    }
    d->at = section->end;
    d->end = end;
    return 1;
}

/* Nonzero if the first section, which is not well-formed, has the name of a signature section. */
static int begins_signed(struct bytes module)
{
    struct decoder d = {.bytes = module.at, .at = sizeof header + 1, .end = module.length};
    u32 size;

    return read_u32(&d, &size) && sizeof label <= d.end - d.at && is_equal(d.bytes + d.at, label, sizeof label);
}

static int is_shortest(const struct section *section)
{
    return section->body - section->start == 1 + shortest(section->end - section->body)
        && section->payload - section->body == sizeof label;
}

/* Find the payload of the only signature section, and the content that it signs: everything after it. */
enum check find_section(struct bytes module, struct bytes *payload, struct bytes *content)
{
    struct decoder d = {.bytes = module.at, .at = sizeof header, .end = module.length};
    struct section section, found = {0};
    u32 count = 0;

    if (module.length < sizeof header || !is_equal(module.at, header, sizeof header))
        return NOT_WASM;
    while (d.at < d.end) {
        u32 is_first = d.at == sizeof header;
        if (!read_section(&d, &section))
            return is_first && begins_signed(module) ? MALFORMED_SIGNATURE : NOT_WASM;
        if (section.is_signature && !count++)
            found = section;
    }
    if (!count)
        return UNSIGNED;
    if (found.start != sizeof header || count > 1 || !is_shortest(&found))
        return MALFORMED_SIGNATURE;
    *payload = (struct bytes){module.at + found.payload, found.end - found.payload};
    *content = (struct bytes){module.at + found.end, module.length - found.end};
    return PASSED;
}
