"""The hash algorithms that the model implements, and the key derivation of the TPM 2.0 Library, Part 1 (KDFa)."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from machine.tpm.constants import Alg

HASHES: dict[int, Callable[[bytes], Any]] = {
    Alg.SHA1: hashlib.sha1,
    Alg.SHA256: hashlib.sha256,
    Alg.SHA384: hashlib.sha384,
    Alg.SHA512: hashlib.sha512,
}


def digest(algorithm: int, data: bytes) -> bytes:
    """Return the digest of `data`."""
    found: bytes = HASHES[algorithm](data).digest()
    return found


def kdf_a(key: bytes, label: bytes, context: bytes, size: int) -> bytes:
    """Derive `size` bytes by SP 800-108 in counter mode with HMAC-SHA-256."""
    fixed = label + b"\0" + context + (8 * size).to_bytes(4, "big")
    blocks = [
        hmac.digest(key, counter.to_bytes(4, "big") + fixed, "sha256") for counter in range(1, -(-size // 32) + 1)
    ]
    return b"".join(blocks)[:size]
