/* The list of trust anchors: a JSON array of anchor files, as enclave_sim/payload/anchor_list.py makes it. The members
   of an anchor come in the order in which its file has them, and no string has an escape. White space is free. */
#include "signatures.h"

#define NAME_SIZE 64

static int is_space(u8 c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Pass over a literal, and the white space before it. If it is not there, return 0 and stay. */
static int accept(struct bytes *text, const char *literal)
{
    struct bytes rest = *text;

    while (rest.length && is_space(*rest.at))
        rest = (struct bytes){rest.at + 1, rest.length - 1};
    for (; *literal; literal++, rest = (struct bytes){rest.at + 1, rest.length - 1})
        if (!rest.length || *rest.at != (u8)*literal)
            return 0;
    *text = rest;
    return 1;
}

/* Return a hexadecimal digit's value, or 16. */
static u32 value_of(u8 digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10u : 16;
}

static int accept_key(struct bytes *text, const char *member, u8 *key, u32 size)
{
    if (!accept(text, member) || !accept(text, ":") || !accept(text, "\"") || text->length < 2 * size)
        return 0;
    for (u32 i = 0; i < size; i++) {
        u32 high = value_of(text->at[2 * i]), low = value_of(text->at[2 * i + 1]);
        if (high > 15 || low > 15)
            return 0;
        key[i] = (u8)(high << 4 | low);
    }
    *text = (struct bytes){text->at + 2 * size, text->length - 2 * size};
    return text->length && *text->at == '"' && accept(text, "\"");
}

static int is_of_a_name(u8 c, int is_first)
{
    int is_alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

    return is_alphanumeric || (!is_first && (c == '.' || c == '_' || c == '-'));
}

static int accept_name(struct bytes *text)
{
    u32 length = 0;

    if (!accept(text, "\"name\"") || !accept(text, ":") || !accept(text, "\""))
        return 0;
    while (text->length && is_of_a_name(*text->at, !length)) {
        *text = (struct bytes){text->at + 1, text->length - 1};
        length++;
    }
    return length && length <= NAME_SIZE && text->length && *text->at == '"' && accept(text, "\"");
}

static int accept_purpose(struct bytes *text, u8 *is_development)
{
    if (!accept(text, "\"purpose\"") || !accept(text, ":"))
        return 0;
    *is_development = (u8)accept(text, "\"development, never for production\"");
    return *is_development || accept(text, "\"production\"");
}

static int accept_anchor(struct bytes *text, struct anchor *anchor)
{
    return accept(text, "{")
        && accept(text, "\"format\"") && accept(text, ":") && accept(text, "\"aether-trust-anchor/1\"")
        && accept(text, ",") && accept_name(text)
        && accept(text, ",") && accept_purpose(text, &anchor->is_development)
        && accept(text, ",") && accept_key(text, "\"ed25519_public_key\"", anchor->ed25519, ED25519_KEY_SIZE)
        && accept(text, ",") && accept_key(text, "\"ml_dsa_65_public_key\"", anchor->ml_dsa_65, ML_DSA_65_KEY_SIZE)
        && accept(text, "}");
}

/* Read an anchor after a bracket or a comma. If there is none that is sound, return 0 and stay. */
static int read_anchor(struct bytes *text, const char *before, struct anchor *anchor)
{
    struct bytes rest = *text;

    if (!accept(&rest, before) || !accept_anchor(&rest, anchor))
        return 0;
    *text = rest;
    return 1;
}

int first_anchor(struct bytes *text, struct anchor *anchor)
{
    return read_anchor(text, "[", anchor);
}

int next_anchor(struct bytes *text, struct anchor *anchor)
{
    return read_anchor(text, ",", anchor);
}

int anchors_are_sound(struct bytes anchors)
{
    struct anchor anchor;
    struct bytes text = anchors;

    if (accept(&text, "[") && accept(&text, "]"))
        return accept(&text, "") && !text.length;
    text = anchors;
    if (!first_anchor(&text, &anchor))
        return 0;
    while (next_anchor(&text, &anchor))
        ;
    return accept(&text, "]") && accept(&text, "") && !text.length;
}
