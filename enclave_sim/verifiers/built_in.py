"""The verifier built in: its nonces and verdicts follow from the configuration, so that runs repeat bit by bit."""

from collections.abc import Callable
from hashlib import sha256

from enclave_sim.attestation import Challenge, Evidence, Policy, ReferenceValues, Verdict, verify
from enclave_sim.verifiers.contract import Judgement
from machine.state import Stateful

_NONCE = b"nonce of the built-in verifier"


class BuiltInVerifier(Stateful):
    """`reference` is called when first needed. `seed` makes the nonces; they are known beforehand, so no protection."""

    built_in = True

    def __init__(self, reference: Callable[[], ReferenceValues], policy: Policy, seed: bytes) -> None:
        self._find_reference = reference
        self._policy = policy
        self._seed = seed
        self._reference: list[ReferenceValues] | None = None
        self._challenged: tuple[bytes, int] = (b"", 0)
        self._after: tuple[int, int] | None = None

    def challenge(self, cycle: int) -> bytes:
        """See `Verifier`."""
        nonce = sha256(_NONCE + self._seed + cycle.to_bytes(4, "big")).digest()
        self._challenged = (nonce, cycle)
        return nonce

    def judge(self, evidence: Evidence) -> Judgement:
        """See `Verifier`."""
        if self._reference is None:
            self._reference = [self._find_reference()]
        nonce, cycle = self._challenged
        verdict = verify(evidence, Challenge(nonce, cycle, self._after), self._reference[0], self._policy)
        if verdict.accepted and verdict.reset_count is not None:
            self._after = (verdict.reset_count, cycle)
        return judgement(verdict)


def judgement(verdict: Verdict) -> Judgement:
    """A verdict in one line."""
    failures = verdict.failures
    if verdict.accepted:
        return Judgement(True, f"{len(verdict.checks)} checks passed")
    return Judgement(False, "; ".join(f"{check.name}: {check.message}" for check in failures))
