"""The interface of a TPM to the CRB device."""

from typing import Protocol

from machine.errors import MachineError
from machine.state import State


class TpmUnavailable(MachineError):  # noqa: N818 - named for what the caller finds
    """The TPM did not answer, or answered incorrectly: a broken connection, a time limit, a wrong size."""


class TpmBackend(Protocol):
    """A TPM, which executes one command at a time."""

    def power_on(self) -> None:
        """Clear all volatile state and wait for TPM2_Startup: _TPM_Init. Raises TpmUnavailable."""

    def execute(self, command: bytes, locality: int) -> bytes:
        """Execute one command. Raises TpmUnavailable.

        Args:
            command: Any bytes. Errors in them are answered with response codes.
            locality: The caller's locality, 0 to 4.

        Returns:
            The whole response.
        """

    def save_state(self) -> State:
        """Return a copy of the state: see `Stateful`. Raises MachineError if the TPM cannot save its state."""

    def load_state(self, state: State) -> None:
        """Restore a state: see `Stateful`. Raises MachineError if the TPM cannot restore its state."""
