/*
 * digest: computes SHA-256 (FIPS 180-4) of two known messages.
 *
 * Expected: sixteen signals, then `_start` returns. The first eight are the hash of "abc" as eight big-endian
 * words, ba7816bf 8f01cfea 414140de 5dae2223 b00361a3 96177a9c b410ff61 f20015ad; the next eight are the hash of
 * the letter a, repeated 10,000 times. Any implementation of SHA-256 confirms both.
 *
 * There is no C library and no main(): the enclave calls `_start`, and this file is the whole program.
 */

/* WebAssembly imports are functions with two names: a module and a field. */
__attribute__((import_module("aether"), import_name("emit_signal"))) void emit_signal(unsigned value);

typedef unsigned int word; /* 32 bits in the wasm32 data model */
typedef unsigned char byte;

enum { BLOCK = 64, LETTERS = 10000 };

/* Fractional parts of the cube roots of the first 64 primes (4.2.2). They are in a data segment,
 * which is copied to linear memory whenever a guest is instantiated. */
static const word K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* The state of a hash computation (5.3.3, 6.2). */
struct sha256 {
    word state[8];
    byte block[BLOCK];
    word filled; /* bytes waiting in `block` */
    word length; /* bytes hashed in total; far below 2^29 here, so that the length in bits fits a word */
};

static word rotate_right(word x, int count) { return x >> count | x << (32 - count); }

static void compress(struct sha256 *hash)
{
    word w[64];
    for (int t = 0; t < 16; t++) {
        const byte *p = hash->block + 4 * t;
        w[t] = (word)p[0] << 24 | (word)p[1] << 16 | (word)p[2] << 8 | p[3];
    }
    for (int t = 16; t < 64; t++) {
        word s0 = rotate_right(w[t - 15], 7) ^ rotate_right(w[t - 15], 18) ^ w[t - 15] >> 3;
        word s1 = rotate_right(w[t - 2], 17) ^ rotate_right(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }

    word a = hash->state[0], b = hash->state[1], c = hash->state[2], d = hash->state[3];
    word e = hash->state[4], f = hash->state[5], g = hash->state[6], h = hash->state[7];
    for (int t = 0; t < 64; t++) {
        word sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        word choice = (e & f) ^ (~e & g);
        word t1 = h + sum1 + choice + K[t] + w[t];
        word sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        word majority = (a & b) ^ (a & c) ^ (b & c);
        word t2 = sum0 + majority;
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    hash->state[0] += a, hash->state[1] += b, hash->state[2] += c, hash->state[3] += d;
    hash->state[4] += e, hash->state[5] += f, hash->state[6] += g, hash->state[7] += h;
}

static void begin(struct sha256 *hash)
{
    /* Fractional parts of the square roots of the first eight primes (5.3.3). */
    static const word initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    for (int i = 0; i < 8; i++)
        hash->state[i] = initial[i];
    hash->filled = hash->length = 0;
}

static void put(struct sha256 *hash, byte value)
{
    hash->block[hash->filled++] = value;
    hash->length++;
    if (hash->filled == BLOCK) {
        compress(hash);
        hash->filled = 0;
    }
}

/* Pad (5.1.1), and emit the eight words of the hash. */
static void finish(struct sha256 *hash)
{
    word bits = hash->length * 8;
    put(hash, 0x80);
    while (hash->filled != BLOCK - 8)
        put(hash, 0);
    for (int i = 0; i < 4; i++) /* the upper half of the length, which is a 64-bit count of bits */
        put(hash, 0);
    for (int shift = 24; shift >= 0; shift -= 8)
        put(hash, (byte)(bits >> shift));
    for (int i = 0; i < 8; i++)
        emit_signal(hash->state[i]);
}

__attribute__((export_name("_start"))) void _start(void)
{
    struct sha256 hash;

    begin(&hash);
    put(&hash, 'a');
    put(&hash, 'b');
    put(&hash, 'c');
    finish(&hash);

    begin(&hash);
    for (int i = 0; i < LETTERS; i++)
        put(&hash, 'a');
    finish(&hash);
}
