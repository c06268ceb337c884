"""A library for verifiers of attestation evidence. It knows TPMs and files, and nothing of the emulator.

`Evidence.decode` reads an evidence file, `verify` judges it. The file's profile is in docs/attestation-evidence.md.
"""

from enclave_sim.attestation.algorithms import ECDSA_P256, ML_DSA_65
from enclave_sim.attestation.envelope import EnvelopeKey
from enclave_sim.attestation.errors import EvidenceError
from enclave_sim.attestation.evidence import Evidence, SignedQuote
from enclave_sim.attestation.public_area import key_name, public_pem
from enclave_sim.attestation.reference_values import NO_TRUST_ANCHORS, ReferenceValues
from enclave_sim.attestation.verdict import Challenge, Check, Policy, Verdict
from enclave_sim.attestation.verification import verify

__all__ = [
    "ECDSA_P256",
    "ML_DSA_65",
    "NO_TRUST_ANCHORS",
    "Challenge",
    "Check",
    "EnvelopeKey",
    "Evidence",
    "EvidenceError",
    "Policy",
    "ReferenceValues",
    "SignedQuote",
    "Verdict",
    "key_name",
    "public_pem",
    "verify",
]
