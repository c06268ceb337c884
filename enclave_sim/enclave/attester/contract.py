"""What the attestation port asks of a verifier (RFC 9334, RATS: the verifier, and who acts on its result)."""

from typing import Protocol

import msgspec

from enclave_sim.attestation import Evidence
from enclave_sim.errors import EnclaveError
from machine.state import State


class NoChallenge(EnclaveError):  # noqa: N818
    """There is no verifier that would give a nonce. The text says why, in one line."""


class Judgement(msgspec.Struct, frozen=True):
    """What a verifier says of one piece of evidence."""

    accepted: bool
    message: str
    """What it found, in one line: which checks failed, or how many passed."""


class Verifier(Protocol):
    """Answers for one run. Asked the same again, as behind a restored snapshot, it answers the same."""

    built_in: bool
    """Whether its answers follow from the configuration of the run."""

    def challenge(self, cycle: int) -> bytes:
        """A nonce of 32 bytes for the quote of a cycle. Raises NoChallenge."""

    def judge(self, evidence: Evidence) -> Judgement:
        """Decide about the evidence for the cycle last challenged."""

    def save_state(self) -> State:
        """See `machine.state.Stateful`."""

    def load_state(self, state: State) -> None:
        """See `machine.state.Stateful`."""
