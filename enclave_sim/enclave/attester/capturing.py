"""A verifier that issues one nonce, keeps the evidence for one cycle, and accepts everything."""

from collections.abc import Callable

from enclave_sim.attestation import Evidence
from enclave_sim.enclave.attester.contract import Judgement
from machine.state import Stateful


class CapturingVerifier(Stateful):
    """Waits for the evidence for `cycle` over `nonce`, and calls `on_evidence` with it."""

    STATE = ("evidence",)
    WIRING = ("_nonce", "_cycle", "on_evidence")

    built_in = False

    def __init__(self, nonce: bytes, cycle: int) -> None:
        self._nonce = nonce
        self._cycle = cycle
        self.evidence: Evidence | None = None
        self.on_evidence: Callable[[], None] = _nothing

    def challenge(self, _cycle: int) -> bytes:
        """See `Verifier`."""
        return self._nonce

    def judge(self, evidence: Evidence) -> Judgement:
        """See `Verifier`."""
        if evidence.cycle == self._cycle:
            self.evidence = evidence
            self.on_evidence()
        return Judgement(True, "kept")


def _nothing() -> None:
    pass
