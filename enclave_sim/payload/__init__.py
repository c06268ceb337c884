"""Payloads: the signed WebAssembly modules that the enclave runs, their keys and artefacts."""
