/* The TPM's command response buffer (TCG PC Client Platform TPM Profile, 6.5.3): one command at a time, locality 0.

   For each command: make ready, copy the command in, start, wait, copy the response out, go idle. Waiting is bounded,
   so that a dead TPM causes an error and not a hang. */
#include "kernel.h"

#define REQUEST_ACCESS      1
#define RELINQUISH          2
#define GRANTED             1
#define INTERFACE_CRB       1
#define READY               1
#define IDLE                2
#define FATAL               1
#define PATIENCE            2000000
#define HEADER              10
#define RC_RETRY            0x922
#define RETRIES             8

static u32 load(u32 offset) { return load32(TPM + offset); }

/* Wait until the bits of `mask` read as `wanted`. Return 0 on a timeout or a fatal error. */
static NOINLINE int wait(u32 offset, u32 mask, u32 wanted)
{
    for (u32 i = 0; i < PATIENCE; i++) {
        if ((load(offset) & mask) == wanted)
            return 1;
        if (load(TPM_CTRL_STS) & FATAL)
            return 0;
    }
    return 0;
}

static u32 big_endian(const u8 *at)
{
    return (u32)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

/* Copy whole words of eight bytes: both buffers are multiples of that. */
static void copy_in(u32 to, const u8 *from, u32 length)
{
    for (u32 i = 0; i < length; i += 8)
        store64(to + i, *(const u64 *)(from + i));
}

static NOINLINE void copy_out(u8 *to, u32 from, u32 length)
{
    for (u32 i = 0; i < length; i += 8)
        *(u64 *)(to + i) = load64(from + i);
}

/* Return the length of the response, or 0. */
static NOINLINE u32 exchange(const u8 *command, u32 length, u8 *response, u32 room)
{
    u32 answer, size;

    store32(TPM + TPM_CTRL_REQ, READY);
    if (!wait(TPM_CTRL_REQ, READY, 0))
        return 0;
    copy_in(load(TPM_CMD_ADDR), command, length);
    store32(TPM + TPM_CTRL_START, 1);
    if (!wait(TPM_CTRL_START, 1, 0) || load(TPM_CTRL_STS) & FATAL)
        return 0;
    answer = load(TPM_RSP_ADDR);
    copy_out(response, answer, HEADER);
    size = big_endian(response + 2);
    if (size < HEADER || size > room || size > TPM_BUFFER_SIZE)
        return 0;
    if (size > 16)
        copy_out(response + 16, answer + 16, size - 16);
    store32(TPM + TPM_CTRL_REQ, IDLE);
    return wait(TPM_CTRL_REQ, IDLE, 0) ? size : 0;
}

/* Return the length of the response if the command succeeded, else 0. Both buffers are multiples of eight bytes;
   `room` is the size of the response's. */
u32 tpm_execute(const u8 *command, u32 length, u8 *response, u32 room)
{
    for (u32 i = 0; i < RETRIES; i++) {
        u32 size = exchange(command, length, response, room);
        u32 code = size ? big_endian(response + 6) : 0;
        if (code != RC_RETRY)
            return code ? 0 : size;
    }
    return 0;
}

/* Let the TPM finish an interrupted command, and discard its response. */
void tpm_abandon(void)
{
    wait(TPM_CTRL_START, 1, 0);
    store32(TPM + TPM_CTRL_REQ, IDLE);
    wait(TPM_CTRL_REQ, IDLE, 0);
}

int tpm_request(void)
{
    if ((load(TPM_INTF_ID) & 0xF) != INTERFACE_CRB)
        return 0;
    store32(TPM + TPM_LOC_CTRL, REQUEST_ACCESS);
    return wait(TPM_LOC_STS, GRANTED, GRANTED);
}

void tpm_relinquish(void)
{
    store32(TPM + TPM_LOC_CTRL, RELINQUISH);
}
