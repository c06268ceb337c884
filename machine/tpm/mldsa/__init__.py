"""ML-DSA-65 signatures that repeat: the deterministic variant of FIPS 204, as a WebAssembly module."""
