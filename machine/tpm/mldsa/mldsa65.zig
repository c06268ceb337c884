// ML-DSA-65 (FIPS 204): a key from a seed, and deterministic signatures with the empty context, by the Zig standard
// library. The module imports nothing. The caller writes into the buffers whose addresses it asks for.
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

/// Make the key of the seed, which is then forgotten. 0: done.
export fn generate() u32 {
    key = ML.KeyPair.generateDeterministic(seed) catch return 1;
    seed = @splat(0);
    public_key = key.public_key.toBytes();
    return 0;
}

/// Sign the first `length` bytes of the message. 0: done.
export fn sign(length: u32) u32 {
    if (length > message.len) return 1;
    const made = key.sign(message[0..length], null) catch return 2;
    signature = made.toBytes();
    return 0;
}
