/* The TPM commands that the kernel uses (TPM 2.0 Library, part 3), and the parts of their responses that it needs.
   All numbers are big-endian; the only authorization is the empty password. */
#include "kernel.h"

#define NO_SESSIONS         0x8001
#define SESSIONS            0x8002
#define CC_SELF_TEST        0x0143
#define CC_STARTUP          0x0144
#define CC_SHUTDOWN         0x0145
#define CC_QUOTE            0x0158
#define CC_CREATE_PRIMARY   0x0131
#define CC_PCR_EXTEND       0x0182
#define RH_ENDORSEMENT      0x4000000B
#define RS_PW               0x40000009
#define SU_CLEAR            0
#define ALG_SHA256          0x000B
#define ALG_NULL            0x0010
#define ALG_ECDSA           0x0018
#define ALG_ECC             0x0023
#define ALG_MLDSA           0x00A1
#define ECC_NIST_P256       0x0003
#define MLDSA_65            0x0002
#define AK_ATTRIBUTES       0x00050472  /* fixed to this TPM, restricted to signing data made by the TPM */
#define HEADER              10
#define COMMAND_SIZE        160

struct command { u8 bytes[COMMAND_SIZE] __attribute__((aligned(8))); u32 length; };

static NOINLINE void put(struct command *command, u32 size, u32 value)
{
    while (size--)
        command->bytes[command->length++] = value >> 8 * size;
}

static NOINLINE void put_bytes(struct command *command, const u8 *bytes, u32 length)
{
    for (u32 i = 0; i < length; i++)
        command->bytes[command->length++] = bytes[i];
}

static NOINLINE void begin(struct command *command, u32 tag, u32 code)
{
    command->length = 0;
    put(command, 2, tag);
    put(command, 4, 0);
    put(command, 4, code);
}

/* Begin a command with one handle, authorized by the empty password. */
static NOINLINE void begin_authorized(struct command *command, u32 code, u32 handle)
{
    begin(command, SESSIONS, code);
    put(command, 4, handle);
    put(command, 4, 9);
    put(command, 4, RS_PW);
    put(command, 2, 0);
    put(command, 1, 0);
    put(command, 2, 0);
}

static NOINLINE u32 execute(struct command *command, u8 *response, u32 room)
{
    u32 length = command->length;

    command->length = 2;
    put(command, 4, length);
    return tpm_execute(command->bytes, length, response, room);
}

static int execute_simple(struct command *command)
{
    u8 response[32] __attribute__((aligned(8)));

    return execute(command, response, sizeof response) != 0;
}

static u32 get16(const u8 *at) { return at[0] << 8 | at[1]; }
static u32 get32(const u8 *at) { return get16(at) << 16 | get16(at + 2); }

/* PC firmware may have started the TPM already. A TPM that was not started refuses the self test. */
int tpm_startup(void)
{
    struct command command;

    begin(&command, NO_SESSIONS, CC_STARTUP);
    put(&command, 2, SU_CLEAR);
    execute_simple(&command);
    begin(&command, NO_SESSIONS, CC_SELF_TEST);
    put(&command, 1, 0);                /* test only functions not tested yet */
    return execute_simple(&command);
}

int tpm_shutdown(void)
{
    struct command command;

    begin(&command, NO_SESSIONS, CC_SHUTDOWN);
    put(&command, 2, SU_CLEAR);
    return execute_simple(&command);
}

int tpm_extend(u32 pcr, const u8 *digest)
{
    struct command command;

    begin_authorized(&command, CC_PCR_EXTEND, pcr);
    put(&command, 4, 1);
    put(&command, 2, ALG_SHA256);
    put_bytes(&command, digest, 32);
    return execute_simple(&command);
}

/* Create an attestation key in the endorsement hierarchy: ALG_ECC on P-256, or ALG_MLDSA. Return its handle, or 0 if
   the TPM does not have the algorithm; `public` is set to its TPM2B_PUBLIC within the response. */
u32 tpm_create_key(u32 algorithm, u8 *response, struct blob *public)
{
    struct command command;
    u32 sizes, size;

    begin_authorized(&command, CC_CREATE_PRIMARY, RH_ENDORSEMENT);
    put(&command, 2, 4);                /* TPM2B_SENSITIVE_CREATE: no password, no data */
    put(&command, 4, 0);
    sizes = command.length;
    put(&command, 2, 0);
    put(&command, 2, algorithm);
    put(&command, 2, ALG_SHA256);
    put(&command, 4, AK_ATTRIBUTES);
    put(&command, 2, 0);                /* no policy */
    if (algorithm == ALG_ECC) {
        put(&command, 2, ALG_NULL);     /* no symmetric cipher */
        put(&command, 2, ALG_ECDSA);
        put(&command, 2, ALG_SHA256);
        put(&command, 2, ECC_NIST_P256);
        put(&command, 2, ALG_NULL);     /* no key derivation */
        put(&command, 2, 0);
    } else {
        put(&command, 2, MLDSA_65);
        put(&command, 1, 0);            /* no external mu */
    }
    put(&command, 2, 0);                /* unique */
    size = command.length - sizes - 2;
    command.bytes[sizes + 1] = size;
    put(&command, 2, 0);                /* no outside information */
    put(&command, 4, 0);                /* no PCRs of its creation */
    size = execute(&command, response, TPM_BUFFER_SIZE);
    if (size < HEADER + 10)
        return 0;
    public->base = (u64)response + HEADER + 8;
    public->length = 2 + get16(response + HEADER + 8);
    return public->length <= size - HEADER - 8 ? get32(response + HEADER) : 0;
}

/* Quote the measured PCRs with `data`. Set the blobs to TPMS_ATTEST and TPMT_SIGNATURE within the response. */
int tpm_quote(u32 key, const u8 *data, u32 length, u8 *response, struct blob *attest, struct blob *signature)
{
    struct command command;
    u32 size, parameters;

    begin_authorized(&command, CC_QUOTE, key);
    put(&command, 2, length);
    put_bytes(&command, data, length);
    put(&command, 2, ALG_NULL);         /* the key's own scheme */
    put(&command, 4, 1);
    put(&command, 2, ALG_SHA256);
    put(&command, 1, 3);
    put(&command, 3, ((1 << (PCR_LAST + 1)) - (1 << PCR_FIRST)) & 0xFF00);
    size = execute(&command, response, TPM_BUFFER_SIZE);
    if (size < HEADER + 6)
        return 0;
    parameters = get32(response + HEADER);
    attest->base = (u64)response + HEADER + 6;
    attest->length = get16(response + HEADER + 4);
    if (parameters > size - HEADER - 4 || attest->length + 2 > parameters)
        return 0;
    signature->base = attest->base + attest->length;
    signature->length = parameters - 2 - attest->length;
    return 1;
}
