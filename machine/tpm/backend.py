"""What the CRB device needs of a TPM."""

from typing import Protocol

from machine.errors import MachineError
from machine.state import State


class TpmUnavailable(MachineError):  # noqa: N818 - named for what the caller finds
    """The TPM gave no answer, or one that is not a TPM's: a connection that broke, a time limit, a wrong size."""


class TpmBackend(Protocol):
    """A TPM: commands in, responses out, one after the other."""

    def power_on(self) -> None:
        """_TPM_Init: the TPM forgets what is not kept without power and waits for TPM2_Startup.

        Raises TpmUnavailable.
        """

    def execute(self, command: bytes, locality: int) -> bytes:
        """Run one command as the caller at `locality` (0-4) and return the whole response.

        Whatever the command holds, the response is a TPM's: errors are response codes. Raises TpmUnavailable.
        """

    def save_state(self) -> State:
        """See `Stateful`. Raises MachineError for a TPM whose state cannot be taken."""

    def load_state(self, state: State) -> None:
        """See `Stateful`. Raises MachineError for a TPM whose state cannot be set."""
