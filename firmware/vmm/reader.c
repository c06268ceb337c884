/* Reading bytes, integers and names (WebAssembly core specification, 5.2), and the arena. */
#include "decoder.h"

/* Reject the module. Only the first fault is reported. */
int reject(struct decoder *d, u32 reason, u32 offset)
{
    d->rejection = (struct rejection){reason, offset};
    return 0;
}

/* Note a breach of the guest profile. A module that is not valid is rejected for that instead. */
void breach(struct decoder *d, u32 reason, u32 offset)
{
    if (!d->contract.reason)
        d->contract = (struct rejection){reason, offset};
}

int read_byte(struct decoder *d, u8 *value)
{
    REQUIRE(d->at < d->end, UNEXPECTED_END, d->at);
    *value = d->bytes[d->at++];
    return 1;
}

int pass_over(struct decoder *d, u32 length)
{
    REQUIRE(length <= d->end - d->at, UNEXPECTED_END, d->at);
    d->at += length;
    return 1;
}

/* A little-endian number of 4 or 8 bytes. */
int read_fixed(struct decoder *d, u32 size, u64 *value)
{
    const u8 *bytes = d->bytes + d->at;

    TRY(pass_over(d, size));
    *value = 0;
    for (u32 i = 0; i < size; i++)
        *value |= (u64)bytes[i] << 8 * i;
    return 1;
}

/* A LEB128 integer of 32, 33 or 64 bits (5.2.2). In the last byte that such an integer may have, the bits beyond its
   width must be zero; if it is signed, they must equal its sign. */
static int read_integer(struct decoder *d, u32 bits, u32 is_signed, u64 *value)
{
    u32 start = d->at, shift = 0;
    u8 byte;

    *value = 0;
    do {
        TRY(read_byte(d, &byte));
        u32 left = bits - shift;
        if (left < 7) {
            u32 excess = (byte & 0x7F) >> (left - is_signed), sign = 0x7F >> (left - is_signed);
            REQUIRE(byte < 0x80, INTEGER_LONG, start);
            REQUIRE(excess == 0 || (is_signed && excess == sign), INTEGER_LARGE, start);
        }
        *value |= (u64)(byte & 0x7F) << shift;
        shift += 7;
    } while (byte >= 0x80);
    if (is_signed && byte & 0x40 && shift < 64)
        *value |= ~0ULL << shift;
    return 1;
}

int read_u32(struct decoder *d, u32 *value)
{
    u64 wide;

    if (d->at < d->end && d->bytes[d->at] < 0x80) {     /* most are one byte */
        *value = d->bytes[d->at++];
        return 1;
    }
    TRY(read_integer(d, 32, 0, &wide));
    *value = (u32)wide;
    return 1;
}

int read_i32(struct decoder *d, u32 *value)
{
    u64 wide;

    TRY(read_integer(d, 32, 1, &wide));
    *value = (u32)wide;
    return 1;
}

int read_i64(struct decoder *d, u64 *value)
{
    return read_integer(d, 64, 1, value);
}

/* The type index of a block: a signed integer of 33 bits that is not negative (5.4.1). */
int read_block_index(struct decoder *d, u32 *value)
{
    u64 wide;
    u32 start = d->at;

    TRY(read_integer(d, 33, 1, &wide));
    REQUIRE(wide <= 0xFFFFFFFF, BLOCK_TYPE, start);
    *value = (u32)wide;
    return 1;
}

/* The length of a vector whose elements have at least `least` bytes each. */
int read_count(struct decoder *d, u32 least, u32 *count)
{
    u32 start = d->at;

    TRY(read_u32(d, count));
    REQUIRE(*count <= (d->end - d->at) / least, LENGTH, start);
    return 1;
}

int read_value_type(struct decoder *d, u8 *type)
{
    TRY(read_byte(d, type));
    REQUIRE(*type >= F64 && *type <= I32, VALUE_TYPE, d->at - 1);
    return 1;
}

/* The number of bytes of the UTF-8 character at `text` (Unicode, table 3-7); 0 if there is none. */
static u32 character(const u8 *text, u32 left)
{
    u8 first = text[0], least = 0x80, most = 0xBF;
    u32 size = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;

    if (size > left)
        return 0;
    if (first == 0xE0)
        least = 0xA0;       /* else it has a shorter encoding */
    if (first == 0xED)
        most = 0x9F;        /* else it is a surrogate */
    if (first == 0xF0)
        least = 0x90;
    if (first == 0xF4)
        most = 0x8F;        /* else it is beyond U+10FFFF */
    if (size > 1 && (text[1] < least || text[1] > most))
        return 0;
    for (u32 i = 2; i < size; i++)
        if (text[i] < 0x80 || text[i] > 0xBF)
            return 0;
    return size;
}

/* A name of any length. */
int read_text(struct decoder *d, u32 *at, u32 *length)
{
    TRY(read_u32(d, length));
    *at = d->at;
    TRY(pass_over(d, *length));
    for (u32 i = *at; i < d->at;) {
        u32 size = character(d->bytes + i, d->at - i);
        REQUIRE(size, UTF8, i);
        i += size;
    }
    return 1;
}

int read_name(struct decoder *d, u32 *at, u32 *length)
{
    u32 start = d->at;

    TRY(read_text(d, at, length));
    REQUIRE(*length <= LIMIT_NAME, NAME_LONG, start);
    return 1;
}

/* Set `*(void **)allocated` to `count` elements that remain after validation. Their size is a multiple of 4. */
int permanent(struct decoder *d, u32 count, u32 size, void *allocated)
{
    u64 bytes = (u64)count * size, padding = size % 8 ? 0 : -(u64)d->low & 7;

    REQUIRE(padding + bytes <= (u64)(d->high - d->low), ARENA, d->at);
    *(void **)allocated = d->low + padding;
    d->low += padding + bytes;
    return 1;
}

/* The same for what only the validator needs. The caller frees it by restoring `high`. */
int temporary(struct decoder *d, u32 count, u32 size, void *allocated)
{
    u64 bytes = ((u64)count * size + 7) & ~7ULL;

    REQUIRE(bytes <= (u64)(d->high - d->low), ARENA, d->at);
    d->high -= bytes;
    *(void **)allocated = d->high;
    return 1;
}
