"""Runs of a machine under a limit in seconds of the host (machine/host_limit.py)."""

from enclave_sim.errors import HostLimitReached
from machine.host_limit import HostLimit, is_reached
from machine.machine import Machine, Outcome

__all__ = ["HostLimit", "poll_host_limit", "run_machine"]


def run_machine(machine: Machine, limit_ns: int | None) -> Outcome:
    """Run as `Machine.run` does, but raise HostLimitReached at a limit of the host, where there is no result."""
    outcome = machine.run(limit_ns)
    if outcome is Outcome.HOST_LIMIT:
        where = f"{machine.clock.now_ns} ns of virtual time, RIP {machine.cpu.rip:#x}"
        raise HostLimitReached(f"the host limit is reached at {where}; the run is not over")
    return outcome


def poll_host_limit() -> None:
    """Raise HostLimitReached at a limit of the host. A guest that is replayed calls this at its checkpoints.

    Raises:
        HostLimitReached: The time is over. The guest is as it was before the replay.
    """
    if is_reached():
        raise HostLimitReached("the host limit is reached while a guest is replayed; nothing has changed")
