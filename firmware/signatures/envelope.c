/* The payload of the signature section. Only one encoding is accepted: every number in its shortest form, every length
   exact, the signatures in the order of their algorithms, each at most once. */
#include "decoder.h"
#include "signatures.h"

#define ED25519     0x01
#define ML_DSA_65   0x65

/* Specification version, content type, hash function; one set of hashes. */
static const u8 head[] = {1, 1, 1, 1};

static int read_length(struct decoder *d, u32 *value)
{
    u32 start = d->at;

    TRY(read_u32(d, value));
    return d->at - start == shortest(*value);
}

static int read_bytes(struct decoder *d, u32 length, struct bytes *bytes)
{
    *bytes = (struct bytes){d->bytes + d->at, length};
    return pass_over(d, length);
}

static int read_record(struct decoder *d, struct envelope *envelope)
{
    struct record record, *kept;
    u32 size, start, length;
    u8 algorithm;

    TRY(read_length(d, &size));
    start = d->at;
    TRY(read_length(d, &length));
    TRY(read_bytes(d, length, &record.key_id));
    TRY(read_byte(d, &algorithm));
    TRY(algorithm == ED25519 || algorithm == ML_DSA_65);
    TRY(read_length(d, &length));
    TRY(length == (algorithm == ED25519 ? ED25519_SIGNATURE_SIZE : ML_DSA_65_SIGNATURE_SIZE));
    TRY(read_bytes(d, length, &record.signature));
    TRY(size == d->at - start);
    TRY(!envelope->ml_dsa_65.signature.length);         /* the last one, if it is there */
    kept = algorithm == ED25519 ? &envelope->ed25519 : &envelope->ml_dsa_65;
    TRY(!kept->signature.length);
    *kept = record;
    return 1;
}

static int read_signed(struct decoder *d, struct envelope *envelope)
{
    struct bytes found;
    u32 length, count;

    TRY(read_bytes(d, sizeof head, &found));
    TRY(is_equal(found.at, head, sizeof head));
    TRY(read_length(d, &length));
    TRY(length == d->end - d->at);
    TRY(read_length(d, &count));
    TRY(count == 1);                                    /* hash: the module is signed as a whole */
    TRY(read_bytes(d, HASH_SIZE, &found));
    envelope->stated_hash = found.at;
    TRY(read_length(d, &count));
    for (u32 i = 0; i < count; i++)
        TRY(read_record(d, envelope));
    return d->at == d->end;
}

enum check read_envelope(struct bytes payload, struct envelope *envelope)
{
    struct decoder d = {.bytes = payload.at, .end = payload.length};

    *envelope = (struct envelope){0};
    if (!read_signed(&d, envelope))
        return MALFORMED_SIGNATURE;
    if (!envelope->ed25519.signature.length)
        return MISSING_ED25519;
    return envelope->ml_dsa_65.signature.length ? PASSED : MISSING_ML_DSA_65;
}
