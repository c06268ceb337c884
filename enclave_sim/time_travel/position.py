"""Where in a run one is."""

from dataclasses import dataclass

from enclave_sim.errors import EnclaveError


@dataclass(frozen=True, order=True, slots=True)
class Position:
    """A moment between two steps of a run. Positions are ordered as the run goes through them."""

    at_ns: int
    """Virtual time."""
    step: int = 0
    """Steps since this time was reached: taking an interrupt takes none."""

    def __str__(self) -> str:
        return f"{self.at_ns} ns" + (f" + {self.step}" if self.step else "")


class NoSuchPosition(EnclaveError):  # noqa: N818 - what it says to a user
    """There is nothing before the beginning of a run, behind its end, or of the kind that was asked for."""
