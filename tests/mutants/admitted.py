"""Admitted: no payload passes whose two signatures do not verify, as seen by a check that shares no code with AetherHost's.

A signed file has one encoding, so the signature section that a payload ought to have is written anew from its content
and its signatures alone, and compared; then both signatures are verified.
"""

from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

from enclave_sim import events
from enclave_sim.configuration import read_payloads
from enclave_sim.guarantees import Finding, Report, Run
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.specification import EngineName

_HEADER = b"\0asm\1\0\0\0"
_HEAD = b"\1\1\1"


def admitted(runs: Sequence[Run]) -> Report:
    """What was measured and then verified is a payload that was given, signed twice by an anchor that was given."""
    findings, payloads = [], 0
    for run in runs:
        if run.scenario.options.get("engine") == EngineName.NATIVE.value:  # the kernel's own business: no signatures
            continue
        anchors = run.scenario.options.get("trust_anchors") or [development_anchor()]
        given = read_payloads(run.scenario.payload)
        genuine = {sha256(one).hexdigest() for one in given if any(_is_signed_by(one, a) for a in anchors)}
        measured: dict[int, str] = {}
        for event in run.events:
            if isinstance(event, events.PayloadMeasured):
                measured[event.payload] = event.sha256
            elif isinstance(event, events.PayloadVerified):
                payloads += 1
                if measured.get(event.payload) not in genuine:
                    what = f"payload {event.payload} was admitted, and its signatures do not verify"
                    findings.append(Finding(what, event.at_ns))
    return Report("admitted", tuple(findings), {"runs": len(runs), "payloads": payloads})


def _is_signed_by(file: bytes, anchor: TrustAnchor) -> bool:
    shape = _section(anchor, bytes(32), bytes(64), bytes(3309))
    end = len(_HEADER) + len(shape)
    content = file[end:]
    digest = sha256(content).digest()
    ml_dsa_65, at = file[end - 3309 : end], end - 3309 - 2 - 1 - 17 - 2 - 64
    ed25519 = file[at : at + 64]
    if file != _HEADER + _section(anchor, digest, ed25519, ml_dsa_65) + content:
        return False
    message = b"wasmsig" + _HEAD + digest
    try:
        Ed25519PublicKey.from_public_bytes(anchor.ed25519_public_key).verify(ed25519, message)
        MLDSA65PublicKey.from_public_bytes(anchor.ml_dsa_65_public_key).verify(ml_dsa_65, message, b"aether-payload")
    except InvalidSignature:
        return False
    return True


def _section(anchor: TrustAnchor, digest: bytes, ed25519: bytes, ml_dsa_65: bytes) -> bytes:
    """The section as docs/payloads.md has it."""
    records = [
        _long(_long(anchor.ed25519_key_id) + b"\x01" + _long(ed25519)),
        _long(_long(anchor.ml_dsa_65_key_id) + b"\x65" + _long(ml_dsa_65)),
    ]
    signed = b"\1" + digest + b"\2" + b"".join(records)
    return b"\0" + _long(_long(b"signature") + _HEAD + b"\1" + _long(signed))


def _long(data: bytes) -> bytes:
    """With its length in front, as unsigned LEB128."""
    length, prefix = len(data), bytearray()
    while length > 127:
        prefix.append(length & 127 | 128)
        length >>= 7
    return bytes([*prefix, length]) + data
