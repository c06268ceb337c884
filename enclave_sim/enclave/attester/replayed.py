"""The answers of an external verifier in a recorded run."""

from collections.abc import Iterable

from enclave_sim.attestation import Evidence
from enclave_sim.enclave.attester.contract import Judgement, NoChallenge
from enclave_sim.events import AttestationDecided, VerifierChallenged
from machine.events import Event
from machine.state import Stateful


class RecordedVerifier(Stateful):
    """Repeats the answers among `events`, whatever the evidence: a replay compares runs and does not judge again."""

    WIRING = ("_nonces", "_judgements")

    built_in = False

    def __init__(self, events: Iterable[Event]) -> None:
        self._nonces: dict[int, bytes] = {}
        self._judgements: dict[int, Judgement] = {}
        for event in events:
            if isinstance(event, VerifierChallenged):
                self._nonces[event.cycle] = bytes.fromhex(event.nonce)
            elif isinstance(event, AttestationDecided):
                self._judgements[event.cycle] = Judgement(event.verdict == "accepted", event.message)

    def challenge(self, cycle: int) -> bytes:
        """See `Verifier`."""
        if cycle not in self._nonces:
            raise NoChallenge(self.judged(cycle).message)
        return self._nonces[cycle]

    def judge(self, evidence: Evidence) -> Judgement:
        """See `Verifier`."""
        return self.judged(evidence.cycle)

    def judged(self, cycle: int) -> Judgement:
        """Return the recorded judgement of the evidence for a cycle."""
        return self._judgements.get(cycle, Judgement(False, "the recording has no verdict for this cycle"))
