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
    """State of the gate coprocessor; empty for a flat guest."""
    observers: tuple[State, ...]
    """States of the recorders that have one, in the order in which they receive events."""
    reached: frozenset[Phase]
    """The phases that have reached their target state."""
    result: RunResult | None
    outside: State
    """State of the environment: the pending inputs."""

    def with_vmm(self, vmm: State) -> "EnclaveSnapshot":
        """Return this snapshot with another AetherHost state, which is part of the mailbox's."""
        devices = tuple({**state, _VMM: vmm} if _VMM in state else state for state in self.machine.devices)
        return replace(self, machine=replace(self.machine, devices=devices))
