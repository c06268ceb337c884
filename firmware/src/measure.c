/* Measured boot: each measurement extends a PCR, and is added to a log that a verifier replays (TCG PC Client Platform
   Firmware Profile, 10: crypto-agile event log, SHA-256 only). A failed measurement causes annihilation. */
#include "kernel.h"

#define EV_NO_ACTION        3
#define EV_ACTION           5
#define EV_IPL              13
#define ALG_SHA256          0x000B
#define DIGEST_SIZE         32
#define CAP_TRIES           4

u8 tpm_started;
u8 event_log[EVENT_LOG_SIZE] __attribute__((aligned(8)));
u32 event_log_length;

static void fail(u32 detail)
{
    annihilate(CAUSE_ATTESTATION_REFUSED, detail);
}

static NOINLINE void log_bytes(const void *bytes, u32 length)
{
    if (length > EVENT_LOG_SIZE - event_log_length)
        fail(DETAIL_LOG_FULL);
    for (u32 i = 0; i < length; i++)
        event_log[event_log_length++] = ((const u8 *)bytes)[i];
}

static NOINLINE void log_word(u32 word)
{
    log_bytes(&word, 4);
}

/* Log the first event, which describes the format of the others: TCG_PCR_EVENT with a TCG_EfiSpecIDEvent. */
static void log_header(void)
{
    static const u8 no_digest[20];
    static const struct __attribute__((packed)) {
        char signature[16];
        u32 platform_class;
        u8 minor, major, errata, uintn_words;
        u32 algorithms;
        u16 algorithm, digest_size;
        u8 vendor_bytes;
    } specification = {"Spec ID Event03", 0, 0, 2, 0, 2, 1, ALG_SHA256, DIGEST_SIZE, 0};

    log_word(0);
    log_word(EV_NO_ACTION);
    log_bytes(no_digest, sizeof no_digest);
    log_word(sizeof specification);
    log_bytes(&specification, sizeof specification);
}

static NOINLINE void measure(u32 pcr, u32 type, const u8 *digest, const void *data, u32 length)
{
    static const u16 algorithm = ALG_SHA256;

    if (!tpm_started)
        return;
    log_word(pcr);
    log_word(type);
    log_word(1);
    log_bytes(&algorithm, 2);
    log_bytes(digest, DIGEST_SIZE);
    log_word(length);
    log_bytes(data, length);
    if (!tpm_extend(pcr, digest))
        fail(DETAIL_TPM_FAILED);
}

static NOINLINE u32 length_of(const char *text)
{
    u32 length = 0;

    while (text[length])
        length++;
    return length;
}

/* Measure a text, which the log contains unchanged. */
static NOINLINE void measure_text(u32 pcr, u32 type, const char *text)
{
    u8 of_text[DIGEST_SIZE] __attribute__((aligned(8)));
    u32 length = length_of(text);

    digest(text, length, of_text);
    measure(pcr, type, of_text, text, length);
}

void measure_range(u32 pcr, u32 base, u32 length, const char *name)
{
    u8 of_range[DIGEST_SIZE] __attribute__((aligned(8)));

    digest((const void *)(u64)base, length, of_range);
    measure(pcr, EV_IPL, of_range, name, length_of(name));
}

void measure_action(const char *action)
{
    measure_text(PCR_RUNTIME, EV_ACTION, action);
}

/* The kernel's digest was computed before any of its data was written. */
void measure_boot(const u8 *kernel_digest)
{
    static const char kernel[] = "kernel image";

    if (options.attestation == ATTESTATION_OFF)
        return;
    if (!tpm_request() || !tpm_startup())
        fail(DETAIL_NO_TPM);
    tpm_started = 1;
    log_header();
    measure(PCR_KERNEL, EV_IPL, kernel_digest, kernel, sizeof kernel - 1);
    measure_range(PCR_LOADER, (u64)boot_information, *(const u32 *)boot_information, "loader information");
    measure_text(PCR_CONFIGURATION, EV_IPL, command_line());
}

/* During annihilation nothing can be done about a failure but to report it. */
static void report_failure(u32 detail, const char *word)
{
    store32(ENCLAVE + ENCLAVE_DETAIL, detail);
    tell(word, 0);
}

/* Extend the runtime PCR, so that every quote from now on shows that the enclave has ended. What fails is tried again:
   extending twice says the same. */
void cap_tpm(void)
{
    static const char action[] = "AETHER ANNIHILATED";
    u8 of_action[DIGEST_SIZE] __attribute__((aligned(8)));
    u32 tries = 0;

    if (!tpm_started)
        return;
    digest(action, sizeof action - 1, of_action);
    do
        tpm_abandon();
    while (!tpm_extend(PCR_RUNTIME, of_action) && ++tries < CAP_TRIES);
    if (tries == CAP_TRIES)
        report_failure(DETAIL_UNCAPPED, "UNCAPPED");
    else if (!tpm_shutdown())
        report_failure(DETAIL_TPM_FAILED, "TPM_FAILED");
    tpm_relinquish();
}
