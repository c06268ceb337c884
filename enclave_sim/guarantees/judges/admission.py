"""Admitted: no module runs unless both of its signatures verify, checked independently of the VMM."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

from enclave_sim import events
from enclave_sim.enclave.configuration import read_payloads
from enclave_sim.guarantees.observation import Run
from enclave_sim.guarantees.report import Finding, Report
from enclave_sim.payload.errors import PayloadRejected
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.payload.signature import ML_DSA_CONTEXT, inspect
from enclave_sim.payload.wasm.sections import sections
from machine.events import RingTransition

_MESSAGE = b"wasmsig\1\1\1"


def admitted(runs: Sequence[Run]) -> Report:
    """Judge that ring 3 is entered only after every payload was verified, and that none is forged.

    Args:
        runs: The runs, of any scenarios.

    Returns:
        The report. If payloads were rejected, it has their number and the checks that they failed.
    """
    findings: list[Finding] = []
    checked = 0
    rejections = [one.check for run in runs for one in run.events if isinstance(one, events.PayloadRejected)]
    for run in runs:
        configuration = run.scenario.configuration
        if configuration.engine.is_flat:
            checked += run.looked_at["measurement"]["flat guests"]
            findings += run.findings["measurement"]
            continue
        modules = read_payloads(run.scenario.payload)
        anchors = run.scenario.options.trust_anchors or [development_anchor()]
        verified = {event.payload for event in run.events if isinstance(event, events.PayloadVerified)}
        entered = any(isinstance(event, RingTransition) and event.to_ring == 3 for event in run.events)
        for number, module in enumerate(modules):
            checked += 1
            fault = forgery(module, tuple(anchors), production=configuration.production)
            if fault is not None and number in verified:
                findings.append(Finding(f"payload {number} was accepted, but {fault}"))
            if entered and number not in verified:
                findings.append(Finding(f"ring 3 was entered before payload {number} was verified"))
    looked: dict[str, Any] = {"runs": len(runs), "payloads": checked}
    if rejections:
        looked |= {"rejected": len(rejections), "rejected by": " and ".join(sorted(set(rejections)))}
    return Report("admitted", tuple(findings), looked)


@lru_cache(maxsize=16)  # a campaign judges the same modules in each of its runs
def forgery(module: bytes, anchors: tuple[TrustAnchor, ...], *, production: bool) -> str | None:
    """Describe what is wrong with a module's signatures; None if they are valid."""
    try:
        found = inspect(module)
    except PayloadRejected as rejected:
        return rejected.message
    if len(found.records) != 2:
        return f"it has {len(found.records)} signatures, not 2"
    first, second = found.records
    for anchor in anchors:
        if (first.key_id, second.key_id) == (anchor.ed25519_key_id, anchor.ml_dsa_65_key_id):
            break
    else:
        return "no trust anchor has its keys"
    if production and anchor.development:
        return "its key is a development key"
    signed = next(sections(module))
    message = _MESSAGE + hashlib.sha256(module[signed.end :]).digest()
    try:
        Ed25519PublicKey.from_public_bytes(anchor.ed25519_public_key).verify(first.signature, message)
    except InvalidSignature:
        return "its Ed25519 signature is not by the key it names"
    try:
        key = MLDSA65PublicKey.from_public_bytes(anchor.ml_dsa_65_public_key)
        key.verify(second.signature, message, ML_DSA_CONTEXT)
    except InvalidSignature:
        return "its ML-DSA-65 signature is not by the key it names"
    return None
