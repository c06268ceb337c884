"""The exit codes of `enclave-sim`. They do not change: scripts depend on them."""

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enclave_sim.recording.outcome.summary import RunResult


class ExitCode(IntEnum):
    """The exit codes of all commands. If several apply to a run, the highest is used.

    `boot` uses only even ones: a kernel that exits through isa-debug-exit chooses an odd one.
    """

    OK = 0
    """The payload completed, or called `shred_self`."""
    USAGE = 2
    """The command cannot be carried out: an option, a file or a key is invalid, or its output cannot be written."""
    REJECTED = 3
    """The payload failed a check and was not run."""
    GUEST_FAULT = 4
    """The payload raised an exception in ring 3."""
    KERNEL_FAULT = 5
    """A fault of the kernel, tampering, attestation refused, or an annihilation that could not do all."""
    LIMIT = 6
    """Virtual time reached `--limit-ns` (`boot`: `--timeout-ns`) before the end."""
    RESIDUE = 7
    """The dormant enclave left residue in RAM."""
    HALTED = 8
    """`boot`: the kernel halted, and nothing can wake it."""
    GUARANTEE = 9
    """`verify`: a guarantee is broken."""
    SHUTDOWN = 10
    """`boot`: triple fault."""
    DIVERGED = 11
    """`replay`: the run differs from the recording. `campaign rerun`: it differs from the stored run."""
    DIFFERENT = 12
    """`diff`: the recordings differ."""
    REFUSED = 13
    """`verify-evidence`: the evidence was refused. `lab verify`: the receipt was refused."""
    KERNEL_STOPPED = 14
    """The kernel stopped before annihilation, by a memory fault from `--inputs` or a mistake of its own."""
    HOST_LIMIT = 16
    """The host-time limit `--host-limit` expired: there is no result. A recording has the events until then."""
    UNSIGNED = 18
    """`lab verify`: the judgement is the same, but no signer was named, so nobody says who made the receipt."""
    DEFECT = 70
    """A bug in the emulator or the firmware, not in the payload: please report it."""
    INTERRUPTED = 130
    """Ctrl-C."""


_OF_OUTCOME = {
    "COMPLETED": ExitCode.OK,
    "SHRED_SELF": ExitCode.OK,
    "PAYLOAD_REJECTED": ExitCode.REJECTED,
    "GUEST_FAULT": ExitCode.GUEST_FAULT,
    "KERNEL_FAULT": ExitCode.KERNEL_FAULT,
    "TAMPER": ExitCode.KERNEL_FAULT,
    "ATTESTATION_REFUSED": ExitCode.KERNEL_FAULT,
    "KERNEL_STOPPED": ExitCode.KERNEL_STOPPED,
    "LIMIT": ExitCode.LIMIT,
}


def of_run(result: "RunResult") -> ExitCode:
    """Return the exit code of a run."""
    if result.residue_bytes:
        return ExitCode.RESIDUE
    known = _OF_OUTCOME[result.outcome]
    return max(known, ExitCode.KERNEL_FAULT) if result.flaws else known
