/* The checks of a payload's signatures, in their order (checks.h). */
#include "signatures.h"

#define DOMAIN_SIZE 10

/* What both algorithms sign: a domain, the first three bytes of the envelope, and the hash of the content. */
struct message { u8 domain[DOMAIN_SIZE], hash[HASH_SIZE]; };

static const u8 domain[DOMAIN_SIZE] = {'w', 'a', 's', 'm', 's', 'i', 'g', 1, 1, 1};

/* Nonzero if a record names this key: the id of a key is the beginning of its SHA-256. */
static int names(const struct record *record, const u8 *key, u32 size)
{
    u8 hash[HASH_SIZE] __attribute__((aligned(8)));

    digest(key, size, hash);
    return record->key_id.length == KEY_ID_SIZE && is_equal(record->key_id.at, hash, KEY_ID_SIZE);
}

/* Find the anchor with both keys. A copy with another purpose must not turn a development key into a production key. */
static int find_anchor(const struct envelope *envelope, struct bytes anchors, struct anchor *found)
{
    struct anchor anchor;
    int is_found = 0;

    for (int is_read = first_anchor(&anchors, &anchor); is_read; is_read = next_anchor(&anchors, &anchor)) {
        if (is_found && (found->is_development || !anchor.is_development))
            continue;
        if (names(&envelope->ed25519, anchor.ed25519, ED25519_KEY_SIZE)
            && names(&envelope->ml_dsa_65, anchor.ml_dsa_65, ML_DSA_65_KEY_SIZE)) {
            *found = anchor;
            is_found = 1;
        }
    }
    return is_found;
}

static enum check verify_envelope(const struct envelope *envelope, struct bytes anchors, int is_production)
{
    struct message message;
    struct anchor anchor;
    u8 hash[HASH_SIZE] __attribute__((aligned(8)));

    if (!find_anchor(envelope, anchors, &anchor))
        return UNKNOWN_KEY;
    if (is_production && anchor.is_development)
        return DEVELOPMENT_KEY;
    digest(envelope->content.at, envelope->content.length, hash);
    if (!is_equal(hash, envelope->stated_hash, HASH_SIZE))
        return BAD_ED25519;
    for (u32 i = 0; i < DOMAIN_SIZE; i++)
        message.domain[i] = domain[i];
    for (u32 i = 0; i < HASH_SIZE; i++)
        message.hash[i] = hash[i];
    if (!ed25519_verifies(anchor.ed25519, envelope->ed25519.signature.at, (const u8 *)&message, sizeof message))
        return BAD_ED25519;
    if (!ml_dsa_65_verifies(anchor.ml_dsa_65, envelope->ml_dsa_65.signature.at, (const u8 *)&message, sizeof message))
        return BAD_ML_DSA_65;
    return PASSED;
}

enum check verify_module(struct bytes module, struct bytes anchors, int is_production)
{
    struct envelope envelope;
    struct bytes payload, content;
    enum check failed = find_section(module, &payload, &content);

    if (failed == PASSED)
        failed = read_envelope(payload, &envelope);
    if (failed != PASSED)
        return failed;
    envelope.content = content;
    return verify_envelope(&envelope, anchors, is_production);
}
