"""Running a machine with outside inputs, each taken at its virtual time between two steps."""

from typing import Protocol

from enclave_sim.enclave.host_limit import run_machine
from machine.machine import Machine, Outcome


class DueInputs(Protocol):
    """Inputs, ordered by time."""

    @property
    def next_ns(self) -> int | None:
        """The virtual time of the next input, or None."""

    def take_next(self) -> None:
        """Take the next input."""


def run(machine: Machine, inputs: DueInputs, limit_ns: int | None) -> Outcome:
    """Run until something stops the machine. Inputs due at the limit are not taken. Raises HostLimitReached."""
    while (at_ns := inputs.next_ns) is not None and (limit_ns is None or at_ns < limit_ns):
        outcome = run_machine(machine, at_ns)
        overrun = limit_ns is not None and machine.clock.now_ns >= limit_ns
        if outcome is not Outcome.LIMIT or overrun:
            return outcome
        inputs.take_next()
    return run_machine(machine, limit_ns, input_follows=at_ns is not None)  # so that it ends where `step` ends


def step(machine: Machine, inputs: DueInputs) -> bool:
    """Take a due input, or make the machine take one step. Return False at the end of the run."""
    if is_due(machine, inputs):
        inputs.take_next()
        return True
    return machine.step(inputs.next_ns) is None


def between_steps(machine: Machine, inputs: DueInputs) -> bool:
    """Return True if a step has just ended: the machine's, or one followed by a due input.

    A sleep in which an input was taken is a step that goes on, unless nothing can end it.
    """
    return machine.between_steps or is_due(machine, inputs) or (machine.waits and inputs.next_ns is None)


def is_due(machine: Machine, inputs: DueInputs) -> bool:
    """Return True if the next input is due now."""
    next_ns = inputs.next_ns
    return next_ns is not None and next_ns <= machine.clock.now_ns
