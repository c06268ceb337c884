/* Signatures of payloads, verified in ring 0. The format is defined by enclave_sim/payload/signature.py: a custom
   section at the beginning of the module holds an Ed25519 and an ML-DSA-65 signature of the SHA-256 of the rest.

   Everything here is public: the module, the signatures, the keys. So nothing has to take the same time for all inputs,
   and nothing does. Every length in a module is compared with what is there before it is used. */
#ifndef AETHER_SIGNATURES_H
#define AETHER_SIGNATURES_H
#include "checks.h"
#include "vmm.h"

#define HASH_SIZE                   32
#define KEY_ID_SIZE                 16
#define ED25519_KEY_SIZE            32
#define ED25519_SIGNATURE_SIZE      64
#define ML_DSA_65_KEY_SIZE          1952
#define ML_DSA_65_SIGNATURE_SIZE    3309

/* Bytes that stay where they are. */
struct bytes { const u8 *at; u32 length; };

/* One signature of the section. `signature.length` is 0 if it is missing. */
struct record { struct bytes key_id, signature; };

/* What the section says, and the bytes for which it says so. Nothing of it is verified. */
struct envelope { const u8 *stated_hash; struct record ed25519, ml_dsa_65; struct bytes content; };

/* A key whose signatures are accepted. */
struct anchor { u8 is_development, ed25519[ED25519_KEY_SIZE], ml_dsa_65[ML_DSA_65_KEY_SIZE]; };

/* verify.c: return the first check that a module fails, or PASSED. The list of anchors is sound. */
enum check verify_module(struct bytes module, struct bytes anchors, int is_production);
/* anchors.c: the list is text; the next anchor is at `text->at`. */
int anchors_are_sound(struct bytes anchors);
int first_anchor(struct bytes *text, struct anchor *anchor);
int next_anchor(struct bytes *text, struct anchor *anchor);
/* framing.c, envelope.c */
enum check find_section(struct bytes module, struct bytes *payload, struct bytes *content);
enum check read_envelope(struct bytes payload, struct envelope *envelope);
u32 shortest(u32 value);
int is_equal(const u8 *left, const u8 *right, u32 length);
/* algorithms.zig: return 1 for a valid signature. */
int ed25519_verifies(const u8 *key, const u8 *signature, const u8 *message, u64 length);
int ml_dsa_65_verifies(const u8 *key, const u8 *signature, const u8 *message, u64 length);
/* The kernel's SHA-256. The result is aligned to 8 bytes. */
void digest(const void *data, u32 length, u8 *result);

#endif
