"""What can be gone through: a machine, and what acts on it from outside."""

from typing import Any, Protocol, TypeVar

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.kernel.program import Program
from machine.machine import Machine, Outcome


class Subject(Protocol):
    """An enclave, or a kernel on the bare machine. Running it again from a snapshot gives the same events."""

    @property
    def machine(self) -> Machine:
        """What it runs on."""

    @property
    def program(self) -> Program:
        """What is executed in ring 0."""

    @property
    def cancellation(self) -> Cancellation:
        """The token it was made with: polled by it and by those who run it, so that both end by one."""

    @property
    def in_guest(self) -> bool:
        """Whether a guest on a coprocessor goes on next."""

    @property
    def between_steps(self) -> bool:
        """Whether a step has just ended; see `Machine.between_steps`."""

    @property
    def ended(self) -> str | None:
        """How the run has ended, in words; None while it may go on."""

    def step(self) -> bool:
        """Let one thing happen. False at the end."""

    def advance(self, limit_ns: int | None = None) -> Outcome:
        """Go on until something stops the machine: virtual time `limit_ns`, an address to stop at, the end."""

    def snapshot(self) -> Any:
        """All of its state; that of the machine is its field `machine`."""

    def restore(self, snapshot: Any) -> None:
        """Return to a snapshot of its own."""


S = TypeVar("S", bound=Subject)
