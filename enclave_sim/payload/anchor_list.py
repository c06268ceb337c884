"""Trust anchors as the boot loader hands them to the kernel: a JSON array of anchor files, measured before use."""

from collections.abc import Iterable

import msgspec

from enclave_sim.payload.errors import KeyFileError
from enclave_sim.payload.keys import TrustAnchor


def pack(anchors: Iterable[TrustAnchor]) -> bytes:
    """The bytes of these anchors; the same for the same anchors in the same order."""
    return b"[" + b",".join(anchor.to_json().strip() for anchor in anchors) + b"]"


def unpack(packed: bytes) -> tuple[TrustAnchor, ...]:
    """The anchors in what `pack` made. Raises KeyFileError for anything else."""
    try:
        files = msgspec.json.decode(packed, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise KeyFileError("the trust anchors are no JSON array of anchor files") from None
    return tuple(TrustAnchor.from_json(bytes(file), f"trust anchor {i}") for i, file in enumerate(files))
