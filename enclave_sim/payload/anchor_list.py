"""Trust anchors as passed to the kernel by the boot loader: a JSON array of anchor files, measured before use."""

from collections.abc import Iterable

import msgspec

from enclave_sim.payload.errors import KeyFileError
from enclave_sim.payload.keys import TrustAnchor


def pack(anchors: Iterable[TrustAnchor]) -> bytes:
    """Return a JSON array of anchors. The same anchors in the same order give the same bytes."""
    return b"[" + b",".join(anchor.to_json().strip() for anchor in anchors) + b"]"


def unpack(packed: bytes) -> tuple[TrustAnchor, ...]:
    """Return the anchors in the result of `pack`. Raises KeyFileError for anything else."""
    try:
        files = msgspec.json.decode(packed, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise KeyFileError("the trust anchors are no JSON array of anchor files") from None
    return tuple(TrustAnchor.from_json(bytes(file), f"trust anchor {i}") for i, file in enumerate(files))
