"""A library for verifiers of attestation evidence. It knows TPMs and files, and nothing about the emulator.

`Evidence.decode` reads an evidence file, and `verify` judges it:

evidence = Evidence.decode(Path("evidence.eat").read_bytes())
reference = ReferenceValues.load(Path("reference.json"))
verdict = verify(evidence, Challenge(nonce, cycle), reference)
print(verdict.accepted, verdict.failures)

The file's profile is in docs/attestation-evidence.md. Names are loaded when first used, so that importing the package
costs nothing.
"""

from typing import TYPE_CHECKING

from enclave_sim._lazy import lazily

if TYPE_CHECKING:
    from enclave_sim.attestation.errors import EvidenceError as EvidenceError
    from enclave_sim.attestation.evidence import Evidence as Evidence
    from enclave_sim.attestation.evidence import SignedQuote as SignedQuote
    from enclave_sim.attestation.formats.algorithms import ECDSA_P256 as ECDSA_P256
    from enclave_sim.attestation.formats.algorithms import ML_DSA_65 as ML_DSA_65
    from enclave_sim.attestation.formats.envelope import EnvelopeKey as EnvelopeKey
    from enclave_sim.attestation.formats.public_area import key_name as key_name
    from enclave_sim.attestation.formats.public_area import public_pem as public_pem
    from enclave_sim.attestation.reference_values import NO_TRUST_ANCHORS as NO_TRUST_ANCHORS
    from enclave_sim.attestation.reference_values import ReferenceValues as ReferenceValues
    from enclave_sim.attestation.verdict import Challenge as Challenge
    from enclave_sim.attestation.verdict import Check as Check
    from enclave_sim.attestation.verdict import Policy as Policy
    from enclave_sim.attestation.verdict import Position as Position
    from enclave_sim.attestation.verdict import Verdict as Verdict
    from enclave_sim.attestation.verification import verify as verify

_HOMES = {
    "ECDSA_P256": "formats.algorithms",
    "ML_DSA_65": "formats.algorithms",
    "NO_TRUST_ANCHORS": "reference_values",
    "Challenge": "verdict",
    "Check": "verdict",
    "EnvelopeKey": "formats.envelope",
    "Evidence": "evidence",
    "EvidenceError": "errors",
    "Policy": "verdict",
    "Position": "verdict",
    "ReferenceValues": "reference_values",
    "SignedQuote": "evidence",
    "Verdict": "verdict",
    "key_name": "formats.public_area",
    "public_pem": "formats.public_area",
    "verify": "verification",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 - the keys are strings
__getattr__ = lazily(__name__, _HOMES)
