"""The contract between a verifier and the attestation port (RFC 9334, RATS: verifier and relying party)."""

from typing import Protocol

import msgspec

from enclave_sim.attestation import Evidence
from enclave_sim.errors import EnclaveError
from machine.state import State


class NoChallenge(EnclaveError):  # noqa: N818
    """No verifier gives a nonce. The text is the reason, in one line."""


class Judgement(msgspec.Struct, frozen=True):
    """A verifier's decision on one piece of evidence."""

    accepted: bool
    message: str
    """One line: the failed checks, or the number that passed."""


class Verifier(Protocol):
    """The verifier of one run. After a snapshot is restored, it must repeat the same answers."""

    built_in: bool
    """True if its answers follow from the configuration of the run."""

    def challenge(self, cycle: int) -> bytes:
        """Return a nonce of 32 bytes for the quote of a cycle. Raises NoChallenge."""

    def judge(self, evidence: Evidence) -> Judgement:
        """Decide on the evidence for the last challenged cycle."""

    def save_state(self) -> State:
        """See `machine.state.Stateful`."""

    def load_state(self, state: State) -> None:
        """See `machine.state.Stateful`."""
