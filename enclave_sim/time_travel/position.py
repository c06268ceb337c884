"""Positions in a run."""

from dataclasses import dataclass

from enclave_sim.errors import EnclaveError


@dataclass(frozen=True, order=True, slots=True)
class Position:
    """A moment between two steps of a run. A later position is greater."""

    at_ns: int
    """Virtual time in nanoseconds."""
    step: int = 0
    """Number of steps since this time was reached. Some steps, such as taking an interrupt, take no time."""

    def __str__(self) -> str:
        return f"{self.at_ns} ns" + (f" + {self.step}" if self.step else "")


class NoSuchPosition(EnclaveError):  # noqa: N818 - reads as a sentence
    """The run has no such position: it begins later, ends earlier, or the goal never occurs."""
