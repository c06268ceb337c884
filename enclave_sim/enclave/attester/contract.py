"""The contract of a verifier, as the attestation port uses it (RFC 9334, RATS: verifier and relying party)."""

from typing import Protocol

import msgspec

from enclave_sim.attestation import Evidence
from enclave_sim.errors import EnclaveError
from machine.state import State


class NoChallenge(EnclaveError):  # noqa: N818
    """No verifier gives a nonce. The text gives the reason, in one line."""


class Judgement(msgspec.Struct, frozen=True):
    """The decision of a verifier about one piece of evidence."""

    accepted: bool
    message: str
    """One line: which checks failed, or how many passed."""


class Verifier(Protocol):
    """The verifier of one run. When asked again after a snapshot was restored, it must give the same answers."""

    built_in: bool
    """True if its answers follow from the configuration of the run."""

    def challenge(self, cycle: int) -> bytes:
        """Return a nonce of 32 bytes for the quote of a cycle. Raises NoChallenge."""

    def judge(self, evidence: Evidence) -> Judgement:
        """Decide about the evidence for the cycle last challenged."""

    def save_state(self) -> State:
        """See `machine.state.Stateful`."""

    def load_state(self, state: State) -> None:
        """See `machine.state.Stateful`."""
