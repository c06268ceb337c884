"""Payloads that nobody knows in advance, signed by the judge. Their signatures, and so digests of their runs, vary."""

from hashlib import sha256

from wasmtime import wat2wasm

from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.payload.wasm.sections import custom_section


def signed(module: bytes) -> bytes:
    """Sign a module with the development key. The signature is another one each time."""
    return sign(module, development_key())


def unknown_payload(seed: bytes, size: int) -> bytes:
    """Return a payload that does nothing, signed, with bytes that depend on a seed."""
    stream = b"".join(sha256(seed + number.to_bytes(4, "big")).digest() for number in range(-(-size // 32)))[:size]
    return signed(bytes(wat2wasm('(module (func (export "_start")))')) + custom_section("secret", stream))
