"""The built-in verifier.

Its nonces and verdicts follow from the configuration, so that runs are reproducible bit by bit.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256

from enclave_sim.attestation import Challenge, Evidence, Policy, Position, ReferenceValues, Verdict, verify
from enclave_sim.enclave.attester.contract import Judgement
from machine.state import Stateful
from machine.tpm.backend import TpmUnavailable

_NONCE = b"nonce of the built-in verifier"


class BuiltInVerifier(Stateful):
    """Accepts the values `given`, or else those returned by `find`, which is called when they are first needed.

    `seed` determines the nonces: they are predictable and protect against nothing.
    """

    STATE = ("_challenged", "_after")
    WIRING = ("built_in", "_values", "_seed")

    def __init__(
        self, given: ReferenceValues | None, find: Callable[[], ReferenceValues], policy: Policy, seed: bytes
    ) -> None:
        self.built_in = given is None
        self._values = _Values(given, find, policy)
        self._seed = seed
        self._challenged: tuple[bytes, int] = (b"", 0)
        self._after: tuple[Position, ...] = ()

    def challenge(self, cycle: int) -> bytes:
        """See `Verifier`."""
        nonce = sha256(_NONCE + self._seed + cycle.to_bytes(4, "big")).digest()
        self._challenged = (nonce, cycle)
        return nonce

    def judge(self, evidence: Evidence) -> Judgement:
        """See `Verifier`."""
        nonce, cycle = self._challenged
        try:
            verdict = self._values.verify(evidence, Challenge(nonce, cycle, self._after))
        except TpmUnavailable as error:  # an external TPM, which must be asked for the names of its keys
            return Judgement(False, f"no reference values: {error}")
        if verdict.accepted and verdict.position is not None:
            self._after = (verdict.position,)
        return judgement(verdict)


class _Values:
    """The reference values. They are not state of the run: they follow from the enclave's parts."""

    def __init__(self, given: ReferenceValues | None, find: Callable[[], ReferenceValues], policy: Policy) -> None:
        self._reference = given
        self._find = find
        self._policy = policy

    def verify(self, evidence: Evidence, challenge: Challenge) -> Verdict:
        if self._reference is None:
            self._reference = self._find()
        return _verdict(evidence, challenge, self._reference, self._policy)


_verdict = lru_cache(maxsize=64)(verify)  # runs of the same enclave submit the same evidence, which is in no file


def judgement(verdict: Verdict) -> Judgement:
    """Summarize a verdict in one line."""
    failures = verdict.failures
    if verdict.accepted:
        return Judgement(True, f"{len(verdict.checks)} checks passed")
    return Judgement(False, "; ".join(f"{check.name}: {check.message}" for check in failures))
