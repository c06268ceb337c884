"""The outcome of a run with a fault, exactly defined; docs/campaigns.md has the definitions as a table.

They are tried in the order of `Outcome`, and the first that applies is the outcome. A run is compared with the golden
run, the same run without the fault. *Output* is what leaves the enclave: its signals in order, the number of cycles,
and how it ended.
"""

from enum import Enum

import msgspec

from enclave_sim.campaigns.faults import Injection
from enclave_sim.recording.outcome.summary import KERNEL_STOPPED, RunResult

DETECTIONS = frozenset(["PAYLOAD_REJECTED", "GUEST_FAULT", "ATTESTATION_REFUSED", "KERNEL_FAULT", "TAMPER"])
"""Causes of annihilation that mean: something was noticed."""


class Outcome(Enum):
    """The outcomes, in the order in which they are tried."""

    EMULATOR_LIMIT = "emulator limit"
    """The emulator could not go on, or ran out of host time: nothing is known about the enclave."""
    NOT_ACTIVATED = "not activated"
    """The fault changed nothing that anything used: its moment never came, or its value was never read."""
    GUARANTEE_BROKEN = "guarantee broken"
    """A judge of the guarantees found a violation."""
    KERNEL_DIED = "kernel died"
    """The kernel stopped for good before annihilation, so nothing was erased."""
    HANG = "hang"
    """Virtual time reached the limit."""
    DETECTED_LATE = "detected late"
    """The enclave annihilated itself for a reason that the golden run does not have, after a wrong signal had left."""
    DETECTED = "detected and annihilated"
    """The same, before any wrong signal had left."""
    CORRUPTION = "silent data corruption"
    """The run ended as if all were well, with another output."""
    MASKED = "masked"
    """The fault was used, and the output is the right one."""

    @property
    def failure(self) -> bool:
        """True if the enclave failed: what a designer counts."""
        return self in _FAILURES


_FAILURES = frozenset(
    [Outcome.GUARANTEE_BROKEN, Outcome.KERNEL_DIED, Outcome.HANG, Outcome.DETECTED_LATE, Outcome.CORRUPTION]
)


class Record(msgspec.Struct, frozen=True):
    """One run of a campaign: its injection, its outcome, and the evidence."""

    injection: Injection
    outcome: Outcome
    guarantees: tuple[str, ...] = ()
    """The guarantees that were broken, by name."""
    at_ns: int | None = None
    """Virtual time at which the fault took effect, in ns; None if its moment never came."""
    instructions: int | None = None
    """Instructions retired before it."""
    rip: int | None = None
    """Address of the instruction before which it took effect."""
    phase: str = ""
    """The boot phase then."""
    region: str = ""
    """The region of memory, or the kind of register, that it hit."""
    place: str = ""
    """Function and offset of that instruction."""
    cause: str = ""
    """The outcome of the run, as in its result."""
    detail: str = ""
    """Details from the kernel about its end."""
    end_ns: int = 0
    """Virtual time of the end, in ns since reset."""
    same: bool = False
    """The run has the events of the golden run, at the same times."""
    digest: str = ""
    """SHA-256 of the recording: a repetition has the same."""
    evidence: tuple[str, ...] = ()
    """Lines that show the outcome: what was found, the first event that differs."""


def classify(result: RunResult, golden: RunResult, broken: tuple[str, ...]) -> Outcome:
    """Return the outcome of a run that the emulator finished, and whose fault is not known to be without effect.

    Args:
        result: The result.
        golden: That of the golden run.
        broken: The guarantees that judges found broken.

    Returns:
        The outcome.
    """
    if broken:
        return Outcome.GUARANTEE_BROKEN
    if result.outcome == KERNEL_STOPPED:
        return Outcome.KERNEL_DIED
    if result.outcome == "LIMIT":
        return Outcome.HANG
    if result.outcome in DETECTIONS and result.outcome != golden.outcome:
        right = golden.signals[: len(result.signals)] == result.signals
        return Outcome.DETECTED if right else Outcome.DETECTED_LATE
    output, expected = [(one.outcome, one.cycles, one.signals) for one in (result, golden)]
    return Outcome.MASKED if output == expected else Outcome.CORRUPTION
