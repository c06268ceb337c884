/* Attestation: before every cycle the TPM signs the measurements, the verifier's nonce and the cycle's number.
   It uses two keys: P-256, and ML-DSA-65 if the TPM has it. */
#include "kernel.h"

#define ALG_ECC             0x0023
#define ALG_MLDSA           0x00A1
#define KEYS                2
#define PUBLIC_SIZE         2048

/* The evidence for the port: the log, and for each key its quote, signature and public area. Length 0: none. */
struct evidence { struct blob event_log; struct { struct blob attest, signature, public; } quotes[KEYS]; };

static struct { u32 handle, public_length; u8 public[PUBLIC_SIZE]; } keys[KEYS];

static NOINLINE void create_key(u32 number, u32 algorithm)
{
    u8 *response = arena_allocate(TPM_BUFFER_SIZE);
    struct blob public;
    u32 handle = tpm_create_key(algorithm, response, &public);

    if (!handle || public.length > PUBLIC_SIZE)
        return;
    keys[number].handle = handle;
    keys[number].public_length = public.length;
    for (u32 i = 0; i < public.length; i++)
        keys[number].public[i] = ((const u8 *)(u64)public.base)[i];
}

/* Make the last measurement: from now on the runtime PCR says "active". */
void attest_init(void)
{
    if (options.attestation == ATTESTATION_OFF)
        return;
    measure_action("AETHER ACTIVE");
    create_key(0, ALG_ECC);
    create_key(1, ALG_MLDSA);
    if (!keys[0].handle)
        annihilate(CAUSE_ATTESTATION_REFUSED, DETAIL_TPM_FAILED);
}

static void tell_blob(const char *what, struct blob blob)
{
    tell(what, blob.length);
    for (u32 i = 0; i < blob.length; i += 4)
        print_number("", __builtin_bswap32(load32(blob.base + i)));
}

/* On a machine without the port, print the evidence on the serial line. Its nonce is zero. */
static void tell_evidence(const struct evidence *evidence)
{
    tell_blob("LOG", evidence->event_log);
    for (u32 i = 0; i < KEYS; i++) {
        tell_blob("ATTEST", evidence->quotes[i].attest);
        tell_blob("SIGNATURE", evidence->quotes[i].signature);
        tell_blob("PUBLIC", evidence->quotes[i].public);
    }
}

/* Make the qualifying data of the quotes: the nonce, and the cycle as four bytes, big-endian. */
static void challenge(u32 cycle, int port, u8 *data)
{
    if (port)
        store32(VERIFIER + VERIFIER_CHALLENGE, cycle);
    for (u32 i = 0; i < NONCE_SIZE; i += 8)
        *(u64 *)(data + i) = port ? load64(VERIFIER + VERIFIER_NONCE + i) : 0;
    *(u32 *)(data + NONCE_SIZE) = __builtin_bswap32(cycle);
}

/* Return nonzero if the verifier accepted this cycle's evidence. */
int attested(u32 cycle)
{
    struct evidence *evidence = arena_allocate(sizeof *evidence);
    int port = load32(VERIFIER + VERIFIER_ID) == VERIFIER_PRESENT;
    u8 data[NONCE_SIZE + 4] __attribute__((aligned(8)));

    challenge(cycle, port, data);
    evidence->event_log = (struct blob){(u64)event_log, event_log_length};
    for (u32 i = 0; i < KEYS; i++) {
        struct blob attest = {0, 0}, signature = {0, 0};
        u8 *response = arena_allocate(TPM_BUFFER_SIZE);
        if (!keys[i].handle)
            continue;
        if (!tpm_quote(keys[i].handle, data, sizeof data, response, &attest, &signature))
            annihilate(CAUSE_ATTESTATION_REFUSED, DETAIL_TPM_FAILED);
        evidence->quotes[i].attest = attest;
        evidence->quotes[i].signature = signature;
        evidence->quotes[i].public = (struct blob){(u64)keys[i].public, keys[i].public_length};
    }
    if (!port) {
        tell_evidence(evidence);
        return 0;
    }
    store32(VERIFIER + VERIFIER_EVIDENCE, (u64)evidence);
    return load32(VERIFIER + VERIFIER_RESULT) == VERIFIER_ACCEPTED;
}
