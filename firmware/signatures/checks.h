/* The checks of a payload's signatures, in order: the first that fails is reported. The names are those of PayloadCheck
   in enclave_sim/payload/errors.py, which says what each of them demands. build.py exports them to Python. */
#ifndef AETHER_CHECKS_H
#define AETHER_CHECKS_H

#define CHECKS \
    CHECK(NOT_WASM) \
    CHECK(UNSIGNED) \
    CHECK(MALFORMED_SIGNATURE) \
    CHECK(MISSING_ED25519) \
    CHECK(MISSING_ML_DSA_65) \
    CHECK(UNKNOWN_KEY) \
    CHECK(DEVELOPMENT_KEY) \
    CHECK(BAD_ED25519) \
    CHECK(BAD_ML_DSA_65)

#define CHECK(name) name,
enum check { PASSED, CHECKS CHECK_COUNT };
#undef CHECK

#endif
