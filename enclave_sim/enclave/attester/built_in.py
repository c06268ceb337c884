"""The verifier built in: its nonces and verdicts follow from the configuration, so that runs repeat bit by bit."""

from collections.abc import Callable
from hashlib import sha256

from enclave_sim.attestation import Challenge, Evidence, Policy, ReferenceValues, Verdict, verify
from enclave_sim.enclave.attester.contract import Judgement
from machine.state import Stateful
from machine.tpm.backend import TpmUnavailable

_NONCE = b"nonce of the built-in verifier"


class BuiltInVerifier(Stateful):
    """Accepts what `given` allows; or else what `find` says, which is called when first needed.

    `seed` makes the nonces: known beforehand, they are no protection.
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
        self._after: tuple[int, int] | None = None

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
        except TpmUnavailable as error:  # a TPM elsewhere, which had to be asked for the names of its keys
            return Judgement(False, f"no reference values: {error}")
        if verdict.accepted and verdict.reset_count is not None:
            self._after = (verdict.reset_count, cycle)
        return judgement(verdict)


class _Values:
    """What is no state of the run: it follows from what the enclave was made of."""

    def __init__(self, given: ReferenceValues | None, find: Callable[[], ReferenceValues], policy: Policy) -> None:
        self._reference = given
        self._find = find
        self._policy = policy

    def verify(self, evidence: Evidence, challenge: Challenge) -> Verdict:
        if self._reference is None:
            self._reference = self._find()
        return verify(evidence, challenge, self._reference, self._policy)


def judgement(verdict: Verdict) -> Judgement:
    """A verdict in one line."""
    failures = verdict.failures
    if verdict.accepted:
        return Judgement(True, f"{len(verdict.checks)} checks passed")
    return Judgement(False, "; ".join(f"{check.name}: {check.message}" for check in failures))
