"""Reproducible ML-DSA-65 signatures: the deterministic variant of FIPS 204, as a WebAssembly module."""

from pathlib import Path

MODULE = Path(__file__).parent / "mldsa65.wasm"
