"""The contract of a run that can be executed in both directions: a machine, and outside influences on it."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.inputs import AnyInput
from enclave_sim.recording.format import Header
from machine.boot.loader import Loaded
from machine.machine import Machine, Outcome


class Subject(Protocol):
    """An enclave, or a kernel on the bare machine. Re-running it from a snapshot must give the same events."""

    @property
    def machine(self) -> Machine:
        """The machine on which it runs."""

    @property
    def header(self) -> Header:
        """The header of a recording of the run."""

    @property
    def program(self) -> Program:
        """The kernel, which runs in ring 0."""

    @property
    def cancellation(self) -> Cancellation:
        """The token passed to its constructor. Its runner polls the same token, so that one cancellation ends both."""

    @property
    def loaded(self) -> Loaded:
        """The content that the loader has put into RAM, and its places."""

    @property
    def in_guest(self) -> bool:
        """True if a guest on a coprocessor runs next."""

    @property
    def between_steps(self) -> bool:
        """True if a step has just ended; see `Machine.between_steps`."""

    @property
    def ended(self) -> str | None:
        """A description of the end of the run; None while it may continue."""

    def guest_store(self, where: range) -> Callable[[], str | None] | None:
        """Return a function that finds the guest's last store so far to a range of physical memory.

        It may take as long as the guest has run, and may be called later, at another position of the run. It returns a
        description of the store, or None if something else changed the bytes. If no guest may have written there, this
        returns None.
        """

    def step(self) -> bool:
        """Execute one instruction, take one interrupt or input, or similar. Return False at the end of the run."""

    def take(self, one: AnyInput) -> None:
        """Let an input take effect now, as a step that takes no time. Raises ConfigurationError if it cannot."""

    @property
    def is_over(self) -> bool:
        """True once nothing more can happen, as far as is known without trying."""

    def conclude(self) -> bool:
        """Record the findings at the end of the run. Return False if there are none."""

    def advance(self, limit_ns: int | None = None) -> Outcome:
        """Run until something stops the machine: virtual time `limit_ns`, an address to stop at, or the end."""

    def snapshot(self) -> Any:
        """Return its complete state; the field `machine` has the machine's."""

    def restore(self, snapshot: Any) -> None:
        """Return to one of its own snapshots."""


S = TypeVar("S", bound=Subject)
