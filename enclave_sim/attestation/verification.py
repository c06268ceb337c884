"""`verify`: from evidence to a verdict."""

from enclave_sim.attestation.evidence import Evidence
from enclave_sim.attestation.reference_values import ReferenceValues
from enclave_sim.attestation.verdict import Challenge, Policy, Verdict


def verify(
    evidence: Evidence, challenge: Challenge, reference: ReferenceValues, policy: Policy | None = None
) -> Verdict:
    """Every check, made or not. Never raises for bad evidence: whatever is malformed is a failed check."""
    raise NotImplementedError
