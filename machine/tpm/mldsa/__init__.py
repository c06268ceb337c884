"""Reproducible ML-DSA-65 signatures: the deterministic variant of FIPS 204, as a WebAssembly module."""
