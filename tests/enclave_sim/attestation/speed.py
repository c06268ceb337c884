"""Measures a verifier's time for one evidence file, and that of the bare signatures."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, utils

from enclave_sim.attestation import Evidence, verify
from enclave_sim.attestation.formats.public_area import parse_public, public_key
from enclave_sim.attestation.formats.signature import EcdsaSignature, MlDsaSignature, parse_signature
from tests.enclave_sim.attestation.nodes import BOTH, CHALLENGE, ENVELOPE_KEY, HONEST, reference


@dataclass(frozen=True)
class Speed:
    """Milliseconds, the least of several runs."""

    whole: float  # decode and verify, envelope and both signatures
    signatures: float  # two bare verifications, keys loaded


def measure(runs: int = 50) -> Speed:
    """Measure both in turn, so that load on the host slows both."""
    evidence = HONEST.evidence()
    file = evidence.encode(ENVELOPE_KEY)
    values = reference(envelope=True)
    bare = _bare(evidence)
    least = [float("inf"), float("inf")]
    for _ in range(runs):
        for index, work in enumerate((lambda: verify(Evidence.decode(file), CHALLENGE, values, BOTH).accepted, bare)):
            start = time.perf_counter()
            if not work():
                raise AssertionError("what is measured must be accepted")
            least[index] = min(least[index], (time.perf_counter() - start) * 1e3)
    return Speed(*least)


def _bare(evidence: Evidence) -> Callable[[], bool]:
    first, second = evidence.quotes
    keys = public_key(parse_public(first.public)), public_key(parse_public(second.public))
    signatures = parse_signature(first.signature), parse_signature(second.signature)

    def work() -> bool:
        match keys, signatures:
            case (ec.EllipticCurvePublicKey() as ecdsa, mldsa.MLDSA65PublicKey() as ml_dsa), (
                EcdsaSignature(r, s),
                MlDsaSignature(signature),
            ):
                encoded = utils.encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
                ecdsa.verify(encoded, first.attest, ec.ECDSA(hashes.SHA256()))
                ml_dsa.verify(signature, second.attest)
                return True
        return False

    return work


if __name__ == "__main__":
    speed = measure()
    print(f"decode and verify {speed.whole:.2f} ms, two bare verifications {speed.signatures:.2f} ms")
