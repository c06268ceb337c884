/* SHA-256 (FIPS 180-4) of data in memory. */
#include "kernel.h"

#define BLOCK 64
#define LENGTH_FIELD 8

static const u32 constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
static const u32 initial[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static u32 rotate(u32 word, u32 by)
{
    return word >> by | word << (32 - by);
}

static u32 big_endian(u32 word)
{
    return __builtin_bswap32(word);
}

static void compress(u32 *state, const u8 *block)
{
    u32 w[64], v[8];

    for (u32 t = 0; t < 16; t++)
        w[t] = big_endian(((const u32 *)block)[t]);
    for (u32 t = 16; t < 64; t++) {
        u32 s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        u32 s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    for (u32 i = 0; i < 8; i++)
        v[i] = state[i];
    for (u32 t = 0; t < 64; t++) {
        u32 s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        u32 s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        u32 t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + constants[t] + w[t];
        u32 t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        for (u32 i = 7; i; i--)
            v[i] = v[i - 1];
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (u32 i = 0; i < 8; i++)
        state[i] += v[i];
}

void sha256(const u8 *data, u32 length, u8 *digest)
{
    u32 *state = (u32 *)digest, rest = length % BLOCK;
    u8 last[2 * BLOCK];
    u32 size = rest < BLOCK - LENGTH_FIELD ? BLOCK : 2 * BLOCK;

    for (u32 i = 0; i < 8; i++)
        state[i] = initial[i];
    for (u32 at = 0; at + BLOCK <= length; at += BLOCK)
        compress(state, data + at);
    for (u32 i = 0; i < size; i++)
        last[i] = i < rest ? data[length - rest + i] : i == rest ? 0x80 : 0;
    *(u32 *)(last + size - 8) = big_endian(length >> 29);
    *(u32 *)(last + size - 4) = big_endian(length << 3);
    for (u32 at = 0; at < size; at += BLOCK)
        compress(state, last + at);
    for (u32 i = 0; i < 8; i++)
        state[i] = big_endian(state[i]);
}
