//! The two algorithms, by the standard library of Zig. They allocate no memory, but ML-DSA-65 has a frame of 198 KB.
//!
//! Ed25519 is verified without the cofactor (`verifyStrict`), as OpenSSL does: with it, a signer could make signatures
//! that one accepts and the other refuses. Keys and signatures with a point of small order, which no honest signer
//! makes, are refused here and accepted there.

const std = @import("std");
const Ed25519 = std.crypto.sign.Ed25519;
const MlDsa65 = std.crypto.sign.mldsa.MLDSA65;

pub const panic = std.debug.no_panic;

/// The FIPS 204 context string of every payload signature.
const context = "aether-payload";

export fn ed25519_verifies(
    key: *const [Ed25519.PublicKey.encoded_length]u8,
    signature: *const [Ed25519.Signature.encoded_length]u8,
    message: [*]const u8,
    length: usize,
) c_int {
    const public = Ed25519.PublicKey.fromBytes(key.*) catch return 0;
    Ed25519.Signature.fromBytes(signature.*).verifyStrict(message[0..length], public) catch return 0;
    return 1;
}

export fn ml_dsa_65_verifies(
    key: *const [MlDsa65.PublicKey.encoded_length]u8,
    signature: *const [MlDsa65.Signature.encoded_length]u8,
    message: [*]const u8,
    length: usize,
) c_int {
    const decoded = MlDsa65.Signature.fromBytes(signature.*) catch return 0;
    const public = MlDsa65.PublicKey.fromBytes(key.*) catch return 0;
    decoded.verifyWithContext(message[0..length], public, context) catch return 0;
    return 1;
}
