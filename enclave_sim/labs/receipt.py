"""Receipts: what was judged, with which result, signed if the course has a key.

A receipt is a claim: to verify it, the files are judged again. Its signatures, by both algorithms of a payload signing
key, cover the time of submission and the judgement, each as compact JSON in a line, after the line
"aether-lab-receipt"; ML-DSA-65 also has that as its context.
"""

from datetime import datetime
from pathlib import Path

import msgspec

from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import SMALL, read_file
from enclave_sim.labs.judging import Judgement
from enclave_sim.payload.keys import SigningKey, TrustAnchor
from enclave_sim.recording.text import printable

RECEIPT = "receipt.json"
FORMAT = "aether-lab-receipt/2"
_CONTEXT = b"aether-lab-receipt"


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signatures of a course's key."""

    anchor: str
    ed25519: bytes
    ml_dsa_65: bytes


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A judgement, and perhaps its signature."""

    format: str
    judgement: Judgement
    submitted: datetime | None = None
    """When the work was handed in, as whoever made the receipt says."""
    signature: Signature | None = None


def make_receipt(judgement: Judgement, key: SigningKey | None = None, submitted: datetime | None = None) -> bytes:
    """Return the content of a receipt file.

    Args:
        judgement: The judgement.
        key: The course's key.
        submitted: When the work was handed in.

    Returns:
        JSON.
    """
    signature = None
    if key is not None:
        message = _message(judgement, submitted)
        signature = Signature(
            key.name,
            key.ed25519_private_key().sign(message),
            key.ml_dsa_65_private_key().sign(message, _CONTEXT),
        )
    return msgspec.json.format(msgspec.json.encode(Receipt(FORMAT, judgement, submitted, signature)), indent=2) + b"\n"


def read_receipt(path: Path) -> Receipt:
    """Read a receipt. Raises ConfigurationError if it cannot be read or is not one."""
    return decode_receipt(read_file(path, SMALL), path)


def decode_receipt(data: bytes, path: Path) -> Receipt:
    """Decode the content of a receipt file. Raises ConfigurationError, which names the file, if it is none."""
    try:
        receipt = msgspec.json.decode(data, type=Receipt)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigurationError(f"{path} is not a receipt of enclave-sim lab submit") from None
    if receipt.format != FORMAT:
        raise ConfigurationError(f"{path} is a receipt of another format than {FORMAT}")
    return receipt


def signed_by(receipt: Receipt, anchor: TrustAnchor) -> bool:
    """Return True if both signatures are those of an anchor's key."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey  # noqa: PLC0415

    if receipt.signature is None:
        return False
    message = _message(receipt.judgement, receipt.submitted)
    try:
        Ed25519PublicKey.from_public_bytes(anchor.ed25519_public_key).verify(receipt.signature.ed25519, message)
        MLDSA65PublicKey.from_public_bytes(anchor.ml_dsa_65_public_key).verify(
            receipt.signature.ml_dsa_65, message, _CONTEXT
        )
    except InvalidSignature:
        return False
    return True


def differences(claimed: Judgement, repeated: Judgement) -> list[str]:
    """Return what a receipt claims and the repeated judgement does not confirm, in words."""
    return [
        f"{field}: the receipt claims {_short(before)}, judged again {_short(after)}"
        for field in Judgement.__struct_fields__
        if (before := getattr(claimed, field)) != (after := getattr(repeated, field))
    ]


def _short(value: object) -> str:
    text = printable(msgspec.json.encode(value).decode())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _message(judgement: Judgement, submitted: datetime | None) -> bytes:
    # Ed25519 has no context: the prefix keeps the message apart from other messages signed by the same key.
    return b"\n".join((_CONTEXT, msgspec.json.encode(submitted), msgspec.json.encode(judgement)))
