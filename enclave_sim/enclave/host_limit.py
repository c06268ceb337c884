"""Runs of a machine under a limit of host time (machine/host_limit.py)."""

from enclave_sim.errors import HostLimitReached
from machine.host_limit import HostLimit, is_reached
from machine.machine import Machine, Outcome

__all__ = ["HostLimit", "poll_host_limit", "run_machine"]


def run_machine(machine: Machine, limit_ns: int | None, *, input_follows: bool = True) -> Outcome:
    """Run like `Machine.run`, but raise HostLimitReached at a host limit, because there is no result."""
    outcome = machine.run(limit_ns, input_follows=input_follows)
    if outcome is Outcome.HOST_LIMIT:
        where = f"{machine.clock.now_ns} ns of virtual time, RIP {machine.cpu.rip:#x}"
        raise HostLimitReached(f"the host limit is reached at {where}; the run is not over")
    return outcome


def poll_host_limit() -> None:
    """Raise HostLimitReached at a host limit. A replayed guest calls this at its checkpoints.

    Raises:
        HostLimitReached: The limit expired. The guest is unchanged.
    """
    if is_reached():
        raise HostLimitReached("the host limit is reached while a guest is replayed; nothing has changed")
