"""A remote verifier, reached by HTTP: docs/verifier-service.md."""

from pathlib import Path

from enclave_sim.attestation import EnvelopeKey, Evidence, EvidenceError
from enclave_sim.attestation.service.client import RemoteVerifier as Client
from enclave_sim.attestation.service.errors import VerifierUnavailable
from enclave_sim.enclave.attester.contract import Judgement, NoChallenge
from enclave_sim.enclave.attester.tpm_events import tpm_seed
from machine.state import Stateful


class RemoteVerifier(Stateful):
    """Asks the service at `url` once per cycle of a run, and repeats its answer when asked again.

    A service that is down, slow or faulty is a refusal with a reason, never an error of the run.
    """

    WIRING = ("_client", "_key", "_answers")

    built_in = False

    def __init__(self, url: str, ca_file: Path | None, seed_text: str) -> None:
        self._client = Client(url, ca_file=ca_file)
        self._key = EnvelopeKey.from_seed(tpm_seed(seed_text))
        self._answers = _Answers()

    def challenge(self, cycle: int) -> bytes:
        """See `Verifier`."""
        try:
            if cycle not in self._answers.nonces:
                self._answers.nonces[cycle] = self._client.challenge(cycle, None)
        except VerifierUnavailable as error:
            raise NoChallenge(str(error)) from None
        return self._answers.nonces[cycle]

    def judge(self, evidence: Evidence) -> Judgement:
        """See `Verifier`."""
        judgements = self._answers.judgements
        if evidence not in judgements:
            judgements[evidence] = self._ask(evidence)
        return judgements[evidence]

    def _ask(self, evidence: Evidence) -> Judgement:
        try:
            file = evidence.encode(self._key)
        except EvidenceError as error:  # nothing is sent
            return Judgement(False, str(error))
        verdict = self._client.judge(evidence.cycle, file)
        return Judgement(verdict.accepted, verdict.message)


class _Answers:
    """The service's answers. They are kept when the run goes backwards, because the outside world does not."""

    def __init__(self) -> None:
        self.nonces: dict[int, bytes] = {}
        self.judgements: dict[Evidence, Judgement] = {}
