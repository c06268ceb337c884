"""Snapshots of an enclave in memory. enclave_sim/time_travel/snapshot_file.py writes them to files."""

from dataclasses import dataclass, replace

from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.specification import Phase
from machine.snapshot import MachineSnapshot
from machine.state import State

_VMM = "_vmm"


@dataclass(frozen=True, slots=True)
class EnclaveSnapshot:
    """The state of an enclave at one moment, as `Enclave.snapshot` returns it."""

    machine: MachineSnapshot
    gate: State
    """Of the gate coprocessor; empty where the guest is a flat binary."""
    observers: tuple[State, ...]
    """Of the recorders that have state, in the order in which they get events."""
    reached: frozenset[Phase]
    """The phases whose target state has been reached."""
    result: RunResult | None
    outside: State
    """Of the environment: the inputs that are still to come."""

    def with_vmm(self, vmm: State) -> "EnclaveSnapshot":
        """Return this snapshot with another state of AetherHost, which is part of the mailbox's."""
        devices = tuple({**state, _VMM: vmm} if _VMM in state else state for state in self.machine.devices)
        return replace(self, machine=replace(self.machine, devices=devices))
