"""The Aether Enclave: a machine, the kernel booted on it, AetherHost and a guest engine, run as one.

from enclave_sim import Enclave

enclave = Enclave("counter", cycles=3)
enclave.run_to(Phase.MEM_MAP)      # phase by phase, or
result = enclave.run()             # to the end
print(result.outcome, result.signals, result.residue_bytes)
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

import firmware
from enclave_sim import events
from enclave_sim.attestation import ECDSA_P256, ML_DSA_65, Evidence, Policy, ReferenceValues
from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.attester import tpm_events
from enclave_sim.enclave.attester.built_in import BuiltInVerifier
from enclave_sim.enclave.attester.contract import Verifier
from enclave_sim.enclave.attester.expected_measurements import (
    Measured,
    attestation_key_names,
    model_key_names,
    reference_values,
)
from enclave_sim.enclave.configuration import EnclaveConfiguration, PayloadSource, read_payloads
from enclave_sim.enclave.engine.contract import Backtrace
from enclave_sim.enclave.host_limit import run_machine
from enclave_sim.enclave.inputs.environment import Outside
from enclave_sim.enclave.inputs.schedule import Schedule
from enclave_sim.enclave.inputs.validation import ordered
from enclave_sim.enclave.kernel.program import Program, aether
from enclave_sim.enclave.node import Node
from enclave_sim.errors import EnclaveError, KernelDied
from enclave_sim.inputs import AnyInput, ExternalInterrupt, GuestReplaced, Tamper
from enclave_sim.memory_map import region
from enclave_sim.payload import anchor_list
from enclave_sim.payload.keys import TrustAnchor, development_anchor
from enclave_sim.recording.embedded import embedded_anchors, embedded_payloads
from enclave_sim.recording.format import Digest, Header, Tee
from enclave_sim.recording.outcome.residue import Residue, scan
from enclave_sim.recording.outcome.summary import RunResult, Summary
from enclave_sim.recording.recording import Recording
from enclave_sim.recording.writer import RecordingWriter
from enclave_sim.specification import EngineName, Phase
from machine.boot import loader
from machine.errors import UnicornStopped
from machine.events import Event, Recorder
from machine.execution.deferred_signals import SignalsHeld
from machine.machine import Outcome
from machine.snapshot import MachineSnapshot
from machine.state import State, Stateful
from machine.tpm.backend import TpmBackend
from machine.tpm.model import TpmModel

EXTERNAL = "external"
"""How a recording's header names a TPM or a verifier that is not made from the configuration."""


@dataclass(frozen=True, slots=True)
class EnclaveSnapshot:
    """What `Enclave.snapshot` took."""

    machine: MachineSnapshot
    gate: State
    observers: tuple[State, ...]
    reached: frozenset[Phase]
    """The phases whose target state has been reached."""
    result: RunResult | None
    outside: State


class Enclave:
    """One enclave, from power-on to dormant.

    `payload` is a built-in name, a path, the module itself, or several of these that take turns; the other
    arguments are the fields of `EnclaveConfiguration`, which change what `configuration` says. `recorder` also gets
    every event; `writer` writes the recording to a file, during which no snapshot can be taken; `record=False` leaves
    out the recording in memory, for long runs. `digest` has begun with another header than this enclave's own. The
    other arguments are those of `EnclaveOptions`. `cancellation` is polled while a guest is run to where it was, after
    a restore or for a backtrace.

    Raises ConfigurationError for what cannot be run. A payload that is refused is not an error: it is an outcome.
    """

    def __init__(
        self,
        payload: PayloadSource | Sequence[PayloadSource] = "beacon",
        *,
        configuration: EnclaveConfiguration | None = None,
        trust_anchors: Sequence[TrustAnchor] | None = None,
        recorder: Recorder | None = None,
        writer: RecordingWriter | None = None,
        digest: Digest | None = None,
        record: bool = True,
        portable: bool = False,
        inputs: Iterable[AnyInput] = (),
        tpm: TpmBackend | None = None,
        verifier: Verifier | None = None,
        reference: ReferenceValues | None = None,
        cancellation: Cancellation | None = None,
        **options: Any,
    ) -> None:
        self.configuration = replace(configuration or EnclaveConfiguration(), **options)
        self.cancellation = cancellation or Cancellation()
        """Shared by all that may take long with this enclave."""
        # By name, so that what is said about them does not depend on the order in which they were given.
        anchors = sorted(
            [development_anchor()] if trust_anchors is None else trust_anchors, key=lambda anchor: anchor.label
        )
        self.anchors = tuple(anchors)
        """Whose signatures are accepted."""
        packed = None if self.configuration.engine is EngineName.NATIVE else anchor_list.pack(anchors)
        self._payloads = read_payloads(payload, self.configuration.engine, packed or b"")
        seed = tpm_events.tpm_seed(self.configuration.tpm_seed)
        self._tpm = tpm or TpmModel(seed, self.configuration.tpm_resets)
        self._verifier = verifier or BuiltInVerifier(reference, self.reference_values, self._policy(), seed)
        self.header = Header(
            configuration=self.configuration.describe(anchors)
            | {"tpm": _place(tpm is None), "verifier": _place(self._verifier.built_in)},
            firmware_sha256=hashlib.sha256(firmware.image()).hexdigest(),
            payload_sha256=tuple(hashlib.sha256(module).hexdigest() for module in self._payloads),
            inputs=ordered(inputs, region("heap").end),
            payloads=embedded_payloads(self._payloads),
            trust_anchors=embedded_anchors(anchors),
        )
        self.recording: Recording | None = Recording(self.header) if record else None
        if writer is not None:
            writer.begin(self.header)
        self._digest = writer or digest or Digest(self.header)
        self._summary = Summary()
        observers: list[Recorder | None] = [self._digest, self._summary, self.recording, recorder]
        self._stateful: list[Any] = [o for o in observers if isinstance(o, Stateful)]
        schedule = Schedule(self.header.inputs)
        every = Tee([*(o for o in observers if o is not None), schedule])
        node = Node(
            self.configuration,
            every,
            tpm=self._tpm,
            verifier=self._verifier,
            portable=portable,
            cancellation=self.cancellation,
        )
        self.machine, self.block, self._port = node.machine, node.block, node.port
        self._host, self._gate = node.host, node.gate
        self.block.on_target_state_reached(self._target_state_reached)
        modules = [loader.Module(module, f"payload{i}") for i, module in enumerate(self._payloads)]
        command_line = self.configuration.command_line(self._payloads)
        self._loaded = loader.load(
            self.machine,
            firmware.image(),
            command_line,
            modules if packed is None else [*modules, loader.Module(packed, "anchors")],
            unallocated_sections=False,  # debug information in RAM would be residue
        )
        information = self.machine.ram.read(*self._loaded.information)
        self._measured = Measured(information, command_line, packed, self._payloads)
        self._outside = Outside(self.machine, self.block, self._host, len(self._payloads), schedule)
        self._wanted: Phase | None = None
        self._reached: set[Phase] = set()
        self._result: RunResult | None = None
        self.residue = Residue((), 0)
        """What the scan at the end of the last run found."""

    # What a run can be asked

    @property
    def payloads(self) -> tuple[bytes, ...]:
        """What was given to run."""
        return self._payloads

    @property
    def program(self) -> Program:
        """The kernel, which is executed in ring 0."""
        return aether()

    @property
    def phase(self) -> Phase | None:
        """The boot phase last entered."""
        return self.block.phase

    @property
    def dormant(self) -> bool:
        """Whether annihilation is complete."""
        return self.block.dormant

    @property
    def ended(self) -> str | None:
        """How it has ended, in words; None while it goes on."""
        if self.dormant:
            return "dormant"
        return "triple fault" if self.machine.shut_down else None

    @property
    def signals(self) -> tuple[int, ...]:
        """What the guest has emitted so far."""
        return tuple(self._summary.signals)

    @property
    def serial(self) -> str:
        """What the kernel has said on the serial line."""
        return self.machine.uart.transmitted.decode("ascii", "replace")

    @property
    def evidence(self) -> Evidence | None:
        """What the enclave showed the verifier last."""
        return self._port.evidence

    def on_evidence(self, action: Callable[[Evidence], None]) -> None:
        """Call `action` with each piece of evidence, before it is judged."""
        self._port.on_evidence = action

    def reference_values(self) -> ReferenceValues:
        """What a verifier must hold to be good to accept this enclave, from what it is made of.

        The TPM is asked for the names of its keys: the model another one like it, so that nothing of the run changes.
        """
        if isinstance(self._tpm, TpmModel):
            return reference_values(self._measured, model_key_names(self._tpm.seed))
        return reference_values(self._measured, attestation_key_names(self._tpm))

    def run_to(self, phase: Phase) -> bool:
        """Run until a phase has reached its target state, unless it has. Return False if the run ended before that."""
        if phase in self._reached:
            return True
        self._wanted = phase
        while self._wanted is not None and not self.dormant:
            if self._continue(None) is not Outcome.STOPPED:
                break
        reached, self._wanted = self._wanted is None, None
        return reached

    def boot(self) -> bool:
        """Run until the first guest is about to be entered. False when the enclave annihilated itself first."""
        return self.run_to(Phase.EXEC_LOOP)

    def run(self, limit_ns: int | None = None) -> RunResult:
        """Run to the end, or until virtual time reaches `limit_ns`; the outcome is then `LIMIT`.

        Raises KernelDied or EmulatorFault when not the guest but the kernel or the emulator is at fault, and
        HostLimitReached within a `HostLimit`: to run on is to call it again. Where a memory
        fault was given as an input, a kernel that stops is the outcome `KERNEL_STOPPED` instead.
        """
        if self._result is not None:
            return self._result
        try:
            while (outcome := self._continue(limit_ns)) is Outcome.STOPPED:
                pass
            if outcome is not Outcome.LIMIT and not self.dormant:
                self._kernel_stopped("triple fault" if outcome is Outcome.SHUTDOWN else "halted for good")
        except (KernelDied, UnicornStopped) as error:
            if not self._damaged:
                raise
            outcome = Outcome.HALTED
            self._kernel_stopped(str(error))
        residue = Residue((), 0)
        if outcome is Outcome.LIMIT and limit_ns is not None:
            self._digest.stop_at(limit_ns)
            if self.recording is not None:
                self.recording.stop_at(limit_ns)
        if self.dormant:
            residue = self.residue = self.scan_residue()
            self.machine.journal.emit(events.ResidueScanned, residue.scanned_bytes, residue.total_bytes)
        result = self._summary.result(
            halted=self.dormant,
            residue=residue,
            virtual_ns=self.machine.clock.now_ns,
            events=self._digest.events,
            digest=self._digest.hexdigest(),
            firmware_sha256=self.header.firmware_sha256,
            payload_sha256=self.header.payload_sha256,
            serial=self.serial,
        )
        if outcome is not Outcome.LIMIT:
            self._result = result
        return result

    def advance(self, limit_ns: int | None = None) -> Outcome:
        """Go on until something stops the machine: virtual time `limit_ns`, an address to stop at, the end.

        Unlike `run` it takes no account of the end. Raises KernelDied, EmulatorFault, HostLimitReached as it does.
        """
        outcome = self._run_with_inputs(limit_ns)
        self._check_alive(outcome)
        return outcome

    def step(self) -> bool:
        """Let one thing happen: an input, an interrupt, an instruction, a stay in the guest. False at the end."""
        next_ns = self._outside.next_ns
        if next_ns is not None and next_ns <= self.machine.clock.now_ns:
            self._outside.take_next()
            return True
        return self.machine.step(next_ns) is None

    @property
    def in_guest(self) -> bool:
        """Whether a guest on a coprocessor goes on next."""
        machine = self.machine
        registers = machine.cpu.registers
        return machine.coprocessor is not None and registers.cpl == 3 and machine.coprocessor.address == registers.rip

    @property
    def between_steps(self) -> bool:
        """Whether a step has just ended; see `Machine.between_steps`."""
        next_ns = self._outside.next_ns
        return self.machine.between_steps or (next_ns is not None and next_ns <= self.machine.clock.now_ns)

    def scan_residue(self) -> Residue:
        """Compare all of RAM with what may remain in it."""
        return scan(self.machine.ram, self._loaded.executable.segments)

    def take(self, one: AnyInput) -> None:
        """Let an input take effect now, whatever its time. Raises ConfigurationError for one that cannot be."""
        ordered([one], self.machine.ram.size)
        self._outside.take(one)

    def tamper(self) -> None:
        """Pull the tamper line: a non-maskable interrupt, as soon as the run goes on and the kernel can take one."""
        self._outside.take(Tamper(at_ns=self.machine.clock.now_ns))

    def interrupt(self) -> None:
        """Raise the external interrupt: it wakes a sleeping enclave."""
        self._outside.take(ExternalInterrupt(at_ns=self.machine.clock.now_ns))

    def replace_guest(self, code: bytes, payload: int = 0) -> None:
        """Put another, unsigned guest in the place of an admitted payload that has not started.

        Raises PayloadRejected for a module outside profile or contract, ConfigurationError where it cannot be done.
        """
        self._outside.take(GuestReplaced(at_ns=self.machine.clock.now_ns, payload=payload, code=code))

    def guest_backtrace(self) -> Backtrace | None:
        """Find where in its module a suspended guest is, or where the last one trapped; None where that is not known.

        It takes as long as the guest has computed, and changes nothing. Raises Cancelled.
        """
        if self._host is None:
            return None
        with SignalsHeld():
            return self._host.guest_backtrace()

    # Snapshots

    def portable_host(self) -> State | None:
        """What the VMM has, as modules instead of what they were compiled to; None without a VMM."""
        return None if self._host is None else self._host.save_portable()

    def snapshot(self) -> EnclaveSnapshot:
        """All of the enclave's state, recording included.

        A suspended guest is run again from its start when it is resumed behind a restore: exactly, but it takes time.
        Raises EnclaveError while a recording is written to a file.
        """
        if isinstance(self._digest, RecordingWriter):  # what is written cannot be taken back
            raise EnclaveError("no snapshot can be taken of an enclave whose recording is being written to a file")
        gate = self._gate.save_state() if self._gate is not None else {}
        observers = tuple(observer.save_state() for observer in self._stateful)
        reached, outside = frozenset(self._reached), self._outside.save_state()
        return EnclaveSnapshot(self.machine.snapshot(), gate, observers, reached, self._result, outside)

    def restore(self, snapshot: EnclaveSnapshot) -> None:
        """Return to a snapshot of this enclave. Going on from there gives the same events as it did then."""
        self.machine.restore(snapshot.machine)
        if self._gate is not None:
            self._gate.load_state(snapshot.gate)
        for observer, state in zip(self._stateful, snapshot.observers, strict=True):
            observer.load_state(state)
        self._reached, self._wanted, self._result = set(snapshot.reached), None, snapshot.result
        self._outside.load_state(snapshot.outside)

    def resume(self, snapshot: EnclaveSnapshot, events_so_far: Sequence[Event], host: State | None) -> None:
        """Take the place of another enclave of the same making: its state, its events, and what its VMM had."""
        if self._host is not None and host is not None:
            self._host.load_portable(host)
            vmm = {"_vmm": self._host.save_state()}
            devices = tuple({**state, **vmm} if "_vmm" in state else state for state in snapshot.machine.devices)
            snapshot = replace(snapshot, machine=replace(snapshot.machine, devices=devices))
        self.restore(replace(snapshot, observers=tuple(o.save_state() for o in self._stateful)))
        for event in events_so_far:
            self._summary.record(event)
        self._begin_digest(events_so_far)
        if self.recording is not None:
            self.recording.events[:] = events_so_far

    def restart(self, snapshot: EnclaveSnapshot, inputs: Iterable[AnyInput]) -> None:
        """Return to a snapshot of a run without inputs, and go on from there as a run with these inputs would.

        Those of the moment itself take effect at once. Needs a recording in memory. Raises ConfigurationError for an
        input that was due before.
        """
        scheduled = ordered(inputs, self.machine.ram.size)
        self.restore(snapshot)
        if self.recording is None:
            raise EnclaveError("an enclave without a recording cannot take other inputs")
        self._outside.schedule(scheduled, self.recording.events, self.machine.clock.now_ns)
        self.header = self.recording.header = msgspec.structs.replace(self.header, inputs=scheduled)
        self._begin_digest(self.recording.events)
        while self._outside.next_ns == self.machine.clock.now_ns:
            self._outside.take_next()

    def _begin_digest(self, events_so_far: Sequence[Event]) -> None:
        if isinstance(self._digest, RecordingWriter):
            raise EnclaveError("an enclave whose recording is being written to a file cannot take another's place")
        self._digest.begin(self.header, events_so_far)

    def _policy(self) -> Policy:
        signatures = [ECDSA_P256, ML_DSA_65] if self.configuration.post_quantum else [ECDSA_P256]
        return Policy(signatures=frozenset(signatures))

    # What the devices report

    def _continue(self, limit_ns: int | None) -> Outcome:
        outcome = self._run_with_inputs(limit_ns)
        if outcome is Outcome.LIMIT and self.dormant:  # what is left is to halt
            outcome = self._run_with_inputs(None)
        self._check_alive(outcome)
        return outcome

    def _check_alive(self, outcome: Outcome) -> None:
        ended = outcome in (Outcome.HALTED, Outcome.SHUTDOWN)
        if ended and not self.dormant and not self._damaged:
            post, rip = self.machine.post_code.code, self.machine.cpu.rip
            raise KernelDied(f"the kernel stopped before annihilation: POST code {post:#x}, RIP {rip:#x}")

    @property
    def _damaged(self) -> bool:
        """Whether an input has changed memory, so that the kernel may do anything."""
        return self._summary.memory_faults > 0

    def _kernel_stopped(self, reason: str) -> None:
        post, rip = self.machine.post_code.code, self.machine.cpu.rip
        self.machine.journal.emit(events.KernelStopped, reason, post, rip)

    def _run_with_inputs(self, limit_ns: int | None) -> Outcome:
        while (at_ns := self._outside.next_ns) is not None and (limit_ns is None or at_ns < limit_ns):
            outcome = run_machine(self.machine, at_ns)
            overrun = limit_ns is not None and self.machine.clock.now_ns >= limit_ns
            if outcome is not Outcome.LIMIT or overrun:
                return outcome
            self._outside.take_next()
        return run_machine(self.machine, limit_ns)

    def _target_state_reached(self, phase: Phase) -> None:
        self._reached.add(phase)
        if phase is self._wanted:
            self._wanted = None
            self.machine.request_stop()


def _place(inside: bool) -> str:
    """Whether a part of the run is made by the emulator, and so again by a replay."""
    return "built-in" if inside else EXTERNAL
