"""Snapshots of an enclave in memory. enclave_sim/time_travel/snapshot_file.py writes them to files."""

from collections.abc import Iterable, Sequence

import msgspec

from enclave_sim.enclave.assembly import Assembly
from enclave_sim.enclave.end_of_run import EndOfRun
from enclave_sim.enclave.inputs.validation import ordered
from enclave_sim.errors import EnclaveError
from enclave_sim.inputs import AnyInput
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.specification import Phase
from machine.events import Event
from machine.snapshot import MachineSnapshot
from machine.state import State

_VMM = "_vmm"


class EnclaveSnapshot(msgspec.Struct, frozen=True):
    """The state of an enclave at one moment, as `Enclave.snapshot` returns it."""

    machine: MachineSnapshot
    gate: State
    """State of the gate coprocessor; empty for a flat guest."""
    observers: tuple[State, ...]
    """States of the recorders that have one, in the order in which they receive events."""
    trace: State
    """State of the memory trace; empty without one."""
    reached: frozenset[Phase]
    """The phases that have reached their target state."""
    result: RunResult | None
    outside: State
    """State of the environment: the pending inputs."""

    def with_vmm(self, vmm: State) -> "EnclaveSnapshot":
        """Return this snapshot with another AetherHost state, which is part of the mailbox's."""
        devices = tuple({**state, _VMM: vmm} if _VMM in state else state for state in self.machine.devices)
        return msgspec.structs.replace(self, machine=msgspec.structs.replace(self.machine, devices=devices))


class Snapshots:
    """Takes snapshots of one enclave and returns to them. `Enclave` documents how they are used."""

    def __init__(self, parts: Assembly, end: EndOfRun) -> None:
        self._parts = parts
        self._end = end
        self._machine, self._host, self._gate = parts.node.machine, parts.node.host, parts.node.gate

    def take(self) -> EnclaveSnapshot:
        """Take a snapshot; see `Enclave.snapshot`."""
        parts = self._parts
        observers = parts.recorders.save_states()
        gate = self._gate.save_state() if self._gate is not None else {}
        trace = parts.trace.save_state() if parts.trace is not None else {}
        reached, outside = frozenset(parts.loop.reached), parts.environment.save_state()
        return EnclaveSnapshot(self._machine.snapshot(), gate, observers, trace, reached, self._end.result, outside)

    def restore(self, snapshot: EnclaveSnapshot) -> None:
        """Return to a snapshot; see `Enclave.restore`."""
        self._machine.restore(snapshot.machine)
        if self._gate is not None:
            self._gate.load_state(snapshot.gate)
        self._parts.recorders.load_states(snapshot.observers)
        if self._parts.trace is not None:
            self._parts.trace.load_state(snapshot.trace)
        self._parts.loop.load_reached(snapshot.reached)
        self._end.result = snapshot.result
        self._parts.environment.load_state(snapshot.outside)

    def resume(self, snapshot: EnclaveSnapshot, events_so_far: Sequence[Event], host: State | None) -> None:
        """Continue the run of another enclave with the same arguments.

        Args:
            snapshot: A snapshot of the other one. The states of its recorders are not used.
            events_so_far: Its events up to the snapshot.
            host: The value of its `portable_host` at the snapshot.

        Raises:
            EnclaveError: The recording of this enclave is being written to a file.
        """
        if self._host is not None and host is not None:
            self._host.load_portable(host)
            snapshot = snapshot.with_vmm(self._host.save_state())
        self.restore(msgspec.structs.replace(snapshot, observers=self._parts.recorders.states))
        self._parts.recorders.continue_run(events_so_far)

    def restart(self, snapshot: EnclaveSnapshot, inputs: Iterable[AnyInput]) -> None:
        """Return to a snapshot of a run without inputs, and continue from there like a run with these inputs.

        Args:
            snapshot: A snapshot that this enclave took.
            inputs: The inputs. Those due at the snapshot's time take effect at once.

        Raises:
            ConfigurationError: An input is impossible, or was due before the snapshot.
            EnclaveError: The enclave keeps no recording in memory, or is writing one to a file.
        """
        recorders, environment, clock = self._parts.recorders, self._parts.environment, self._machine.clock
        scheduled = ordered(inputs, self._machine.ram.size)
        self.restore(snapshot)
        if recorders.recording is None:
            raise EnclaveError("an enclave without a recording cannot take other inputs")
        environment.schedule(scheduled, recorders.recording.events, clock.now_ns)
        recorders.reschedule(scheduled)
        while environment.next_ns == clock.now_ns:
            environment.take_next()
