"""The contract of a run that can be executed in both directions: a machine, and what acts on it from outside."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.kernel.program import Program
from machine.machine import Machine, Outcome


class Subject(Protocol):
    """An enclave, or a kernel on the bare machine. Running it again from a snapshot must give the same events."""

    @property
    def machine(self) -> Machine:
        """The machine that it runs on."""

    @property
    def program(self) -> Program:
        """The kernel that is executed in ring 0."""

    @property
    def cancellation(self) -> Cancellation:
        """The token it was made with. Whoever runs it polls the same token, so that one cancellation ends both."""

    @property
    def in_guest(self) -> bool:
        """True if the next thing to be executed is a guest on a coprocessor."""

    @property
    def between_steps(self) -> bool:
        """True if a step has just ended; see `Machine.between_steps`."""

    @property
    def ended(self) -> str | None:
        """The end of the run, in words; None while it may continue."""

    def guest_store(self, where: range) -> Callable[[], str | None] | None:
        """Return a function that finds the last store of the guest, up to now, to a range of physical memory.

        It may take as long as the guest has run, and may be called when the run is elsewhere. It returns the store in
        words, or None if something else has changed the bytes. Without a guest that may have written there, this is
        None.
        """

    def step(self) -> bool:
        """Execute one instruction, take one interrupt or input, or the like. Return False at the end of the run."""

    def conclude(self) -> bool:
        """Record the findings at the end of the run. Return False if there are none."""

    def advance(self, limit_ns: int | None = None) -> Outcome:
        """Run until something stops the machine: virtual time `limit_ns`, an address to stop at, or the end."""

    def snapshot(self) -> Any:
        """Return all of its state; the field `machine` holds that of the machine."""

    def restore(self, snapshot: Any) -> None:
        """Return to a snapshot of its own."""


S = TypeVar("S", bound=Subject)
