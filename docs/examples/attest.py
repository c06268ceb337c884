"""Challenge an enclave, judge its evidence, and refuse the same evidence for another challenge."""

from enclave_sim import Enclave
from enclave_sim.attestation import Challenge, verify

enclave = Enclave("beacon")
enclave.run()
evidence, expected = enclave.evidence, enclave.reference_values()
verdict = verify(evidence, Challenge(evidence.nonce, 0), expected)
print("accepted" if verdict.accepted else "refused", "after", len(verdict.checks), "checks")
later = verify(evidence, Challenge(bytes(32), 0), expected)
print("accepted" if later.accepted else "refused", "by", *(check.name for check in later.failures[:1]))
