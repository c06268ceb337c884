// ML-DSA-65 (FIPS 204) from the Zig standard library: a key from a seed, and deterministic signatures with an empty
// context. The module imports nothing. The caller writes to the buffers whose addresses these functions return.
const ML = @import("std").crypto.sign.mldsa.MLDSA65;

var seed: [32]u8 = undefined;
var message: [4096]u8 = undefined;
var public_key: [ML.PublicKey.encoded_length]u8 = undefined;
var signature: [ML.Signature.encoded_length]u8 = undefined;
var key: ML.KeyPair = undefined;

export fn seed_address() *anyopaque {
    return &seed;
}

export fn message_address() *anyopaque {
    return &message;
}

export fn public_key_address() *anyopaque {
    return &public_key;
}

export fn signature_address() *anyopaque {
    return &signature;
}

/// Make the key of the seed, and erase the seed. Return 0 on success.
export fn generate() u32 {
    key = ML.KeyPair.generateDeterministic(seed) catch return 1;
    seed = @splat(0);
    public_key = key.public_key.toBytes();
    return 0;
}

/// Sign the first `length` bytes of the message. Return 0 on success.
export fn sign(length: u32) u32 {
    if (length > message.len) return 1;
    const made = key.sign(message[0..length], null) catch return 2;
    signature = made.toBytes();
    return 0;
}
