"""The Aether Enclave: a machine, the kernel booted on it, AetherHost and a guest engine, run as one."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from enclave_sim.attestation import Evidence, ReferenceValues
from enclave_sim.cancellation import Cancellation
from enclave_sim.enclave.assembly import Assembly
from enclave_sim.enclave.attester.contract import Verifier
from enclave_sim.enclave.configuration import EnclaveConfiguration, PayloadSource, configured
from enclave_sim.enclave.end_of_run import EndOfRun
from enclave_sim.enclave.engine.contract import Backtrace
from enclave_sim.enclave.header import EXTERNAL
from enclave_sim.enclave.inputs.validation import ordered
from enclave_sim.enclave.recorders import Outlets
from enclave_sim.enclave.snapshot import EnclaveSnapshot, Snapshots
from enclave_sim.following import made
from enclave_sim.inputs import AnyInput, ExternalInterrupt, GuestReplaced, Tamper
from enclave_sim.payload.keys import TrustAnchor
from enclave_sim.recording.embedded import payload_names
from enclave_sim.recording.format import Digest, Header
from enclave_sim.recording.outcome.residue import Residue
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.recording.text import plural
from enclave_sim.specification import Phase
from machine.boot.loader import Loaded
from machine.events import Event, Recorder
from machine.machine import Outcome
from machine.state import State
from machine.tpm.backend import TpmBackend

if TYPE_CHECKING:
    from enclave_sim.enclave.kernel.program import Program
    from enclave_sim.recording.writer import RecordingWriter

__all__ = ["EXTERNAL", "Enclave", "EnclaveSnapshot"]
_OTHER_OPTIONS = (
    *("configuration", "trust_anchors", "recorder", "writer", "digest", "record"),
    *("portable", "inputs", "tpm", "verifier", "reference", "cancellation"),
)
"""The options of an enclave that are not part of its configuration."""


class Enclave:
    """One enclave, from power-on to DORMANT.

        from enclave_sim import Enclave, Phase

        enclave = Enclave("counter", cycles=3)
        enclave.run_to(Phase.MEM_MAP)  # phase by phase, or
        result = enclave.run()  # to the end
        print(result.outcome, result.signals, result.residue_bytes)

    It executes only inside `run_to`, `boot`, `run`, `advance` and `step`, and is paused when they return. It boots
    (`phase` is the last boot phase entered), runs its cycles, and annihilates itself. Then `dormant` is True, and only
    `restore` makes it run again. Times are virtual nanoseconds since reset.

    A guest fault or a refused payload raises no exception: it is the outcome of the run. All methods that execute raise
    KernelDied or EmulatorFault if the kernel or the emulator is at fault, and HostLimitReached within a `HostLimit`.

    Attributes: `machine` is the PC with its registers, RAM and devices, to be read between calls; `recording` is the
    recording in memory, or None; `configuration`, `anchors` and `payloads` are the enclave's inputs; `block` is the
    device through which the kernel reports phases and status; `residue` is the result of the scan after the last run.

    `Template` boots once and starts many runs, `enclave_sim.time_travel.Session` runs in both directions, and
    `enclave_sim.guarantees.observe` runs under the watchers of the guarantees.

    Args:
        payload: A built-in name, a path, the payload itself, or up to 8 of these, which take turns cycle by cycle.
        configuration: The options; by default those of `EnclaveConfiguration()`.
        trust_anchors: The anchors whose signatures are accepted; by default only the development anchor.
        recorder: Gets every event as it happens.
        writer: Writes the recording to a file. No snapshot can be taken then.
        digest: A digest that began with a header other than this enclave's.
        record: Keep the recording in memory, as `recording`. False saves memory in long runs.
        portable: Run without native code on the host. Nothing else changes.
        inputs: The inputs of the run, in any order.
        tpm: Replaces the TPM model.
        verifier: Replaces the built-in verifier.
        reference: The built-in verifier's accepted values; by default those of `reference_values`.
        cancellation: Polled while a suspended guest is re-executed from its start, after a restore or for a backtrace.
        **options: Fields of `EnclaveConfiguration`, which take precedence over `configuration`.

    Raises:
        ConfigurationError: An option is out of range, a payload cannot be read, or an input is impossible.
    """

    def __init__(
        self,
        payload: PayloadSource | Sequence[PayloadSource] = "beacon",
        *,
        configuration: EnclaveConfiguration | None = None,
        trust_anchors: Sequence[TrustAnchor] | None = None,
        recorder: Recorder | None = None,
        writer: "RecordingWriter | None" = None,
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
        self.configuration = configured(configuration or EnclaveConfiguration(), options, _OTHER_OPTIONS)
        self.cancellation = cancellation or Cancellation()
        """The token shared by all long operations on this enclave."""
        parts = self._parts = Assembly(
            self.configuration,
            payload,
            inputs,
            Outlets(recorder, writer, digest, record),
            self.cancellation,
            trust_anchors=trust_anchors,
            reference=reference,
            verifier=verifier,
            tpm=tpm,
            portable=portable,
        )
        self._recorders, self._environment, self._loop = parts.recorders, parts.environment, parts.loop
        self._tpm, self._host = parts.tpm, parts.node.host
        self.machine, self.block = parts.node.machine, parts.node.block
        self._end = EndOfRun(self.machine, self.block, self._loop, self._recorders, parts.loaded.executable.segments)
        self._snapshots = Snapshots(parts, self._end)
        self.anchors, self.payloads = parts.anchors, parts.payloads
        """The trust anchors, sorted by label, and the payloads, in the order given."""
        self.recording = parts.recorders.recording
        """The recording in memory; None if `record` was False."""
        for follow in made:
            follow(self.machine, lambda: self.program)

    # What it shows of itself

    def __repr__(self) -> str:
        now_ns, events_so_far = self.machine.clock.now_ns, self.machine.journal.seq
        names = ", ".join(payload_names(self.header))
        return f"<Enclave {names}: {self._state}, {now_ns:,} ns, {plural(events_so_far, 'event')}>"

    def _repr_html_(self) -> str:
        """Return the view in a notebook: its state, and its recording, if there is one."""
        from enclave_sim.recording.exports.html import notebook_view  # noqa: PLC0415 - only a notebook needs it

        rows = [
            ("payloads", ", ".join(payload_names(self.header))),
            ("state", self._state),
            ("virtual time", f"{self.machine.clock.now_ns:,} ns"),
        ]
        events_so_far = [] if self.recording is None else self.recording.events
        return notebook_view("Enclave", rows, self.header, events_so_far)

    @property
    def _state(self) -> str:
        return self.ended or (self.phase.name if self.phase is not None else "before the first phase")

    # Queries

    @property
    def header(self) -> Header:
        """The header of the recording: everything that determines the run."""
        return self._recorders.header

    @property
    def program(self) -> "Program":
        """The kernel, which runs in ring 0."""
        from enclave_sim.enclave.kernel.program import aether  # noqa: PLC0415 - only debuggers need symbols

        return aether(self.configuration.kernel)

    @property
    def loaded(self) -> Loaded:
        """The kernel, its boot information, payloads and trust anchors, as the loader has put them into RAM."""
        return self._parts.loaded

    @property
    def phase(self) -> Phase | None:
        """The last boot phase entered."""
        return self.block.phase

    @property
    def dormant(self) -> bool:
        """True once annihilation is complete."""
        return self.block.dormant

    @property
    def ended(self) -> str | None:
        """The way in which it has ended, in words; None while it goes on."""
        if self.dormant:
            return "dormant"
        return "triple fault" if self.machine.shut_down else None

    @property
    def in_guest(self) -> bool:
        """True if a guest on a coprocessor runs next."""
        machine = self.machine
        registers = machine.cpu.registers
        return machine.coprocessor is not None and registers.cpl == 3 and machine.coprocessor.address == registers.rip

    @property
    def between_steps(self) -> bool:
        """True if a step has just ended; see `Machine.between_steps`."""
        return self._loop.between_steps

    @property
    def signals(self) -> tuple[int, ...]:
        """The signals that the guest has emitted so far, 32 bits each."""
        return tuple(self._recorders.summary.signals)

    @property
    def serial(self) -> str:
        """The text that the kernel has sent to the serial line so far."""
        return self._end.serial

    @property
    def residue(self) -> Residue:
        """The residue found by the scan at the end of the last run."""
        return self._end.residue

    @property
    def evidence(self) -> Evidence | None:
        """The last evidence submitted to the verifier."""
        return self._parts.node.port.evidence

    def on_evidence(self, action: Callable[[Evidence], None]) -> None:
        """Call `action` with each piece of evidence, before it is judged.

        Args:
            action: Replaces the previous action, if any.
        """
        self._parts.node.port.on_evidence = action

    def reference_values(self) -> ReferenceValues:
        """Compute the values with which a verifier accepts this enclave.

        The TPM is asked for the names of its keys. For the TPM model a second model answers, so that the run is not
        changed.

        Returns:
            Digests of everything measured, and the Names of the attestation keys.

        Raises:
            TpmUnavailable: A TPM in another process does not answer.
            EvidenceError: Its answer is not an attestation key.
        """
        return self._parts.reference_values()

    def scan_residue(self) -> Residue:
        """Scan all of RAM for residue.

        Returns:
            Every byte that is neither zero nor that of the measured read-only image.
        """
        return self._end.scan()

    def guest_backtrace(self) -> Backtrace | None:
        """Find the active calls in a suspended guest, or in the last one that trapped.

        It takes as long as the guest has computed, and changes nothing.

        Returns:
            The module and its calls, the innermost first; None if unknown, as for a flat guest.

        Raises:
            Cancelled: `cancellation` was cancelled.
        """
        return None if self._host is None else self._host.guest_backtrace()

    def guest_module(self, payload: int) -> bytes | None:
        """Return the module from which the guests of a payload are made, without signatures.

        Args:
            payload: The number of the payload, from 0.

        Returns:
            The module; None if the host executes no guests, or has not verified the payload.
        """
        return None if self._host is None else self._host.module(payload)

    def guest_store(self, where: range) -> Callable[[], str | None] | None:
        """See `Subject.guest_store`."""
        return None if self._host is None else self._host.guest_store(where)

    # Execution

    def run_to(self, phase: Phase) -> bool:
        """Run until a boot phase has reached its target state.

        Args:
            phase: The phase. If it is already complete, nothing is run.

        Returns:
            False if the run ended before that.
        """
        return self._loop.run_to(phase)

    def boot(self) -> bool:
        """Run until the first guest is about to be entered.

        Returns:
            False if the enclave annihilated itself first.
        """
        return self.run_to(Phase.EXEC_LOOP)

    def run(self, limit_ns: int | None = None) -> RunResult:
        """Run to the end, or until virtual time reaches a limit.

        Args:
            limit_ns: The limit, in ns since reset. If it is reached, the outcome is `LIMIT`, and the run can continue.

        Returns:
            The result. If a memory fault was among the inputs, the outcome of a stopped kernel is `KERNEL_STOPPED`.

        Raises:
            KernelDied: The kernel stopped without annihilating itself, and no input had changed memory.
            EmulatorFault: The emulator is at fault.
            HostLimitReached: A `HostLimit` expired; to continue, call `run` again.
        """
        return self._end.run(limit_ns)

    @property
    def is_over(self) -> bool:
        """True if the enclave is dormant and halted, and no input is due."""
        return self.dormant and self.machine.halted and not self._loop.input_is_due

    def conclude(self) -> bool:
        """Record the end of the run, as `run` does: the residue, or why the kernel stopped.

        Returns:
            False if there is nothing to record.
        """
        return self._end.conclude()

    def advance(self, limit_ns: int | None = None) -> Outcome:
        """Run until something stops the machine: a limit, an address to stop at, the end.

        Unlike `run`, it gives no result.

        Args:
            limit_ns: The limit of virtual time, in ns since reset.

        Returns:
            The reason why the machine stopped.
        """
        return self._loop.advance(limit_ns)

    def step(self) -> bool:
        """Execute one step: an input, an interrupt, an instruction, a stay in the guest, a sleep.

        Returns:
            False at the end, where nothing can happen any more.
        """
        return self._loop.step()

    # Inputs that take effect at once

    def take(self, one: AnyInput) -> None:
        """Apply an input now, whatever its time.

        Args:
            one: The input.

        Raises:
            ConfigurationError: The input is impossible, or cannot take effect now.
        """
        ordered([one], self.machine.ram.size)
        self._environment.take(one)

    def tamper(self) -> None:
        """Pull the tamper line: a non-maskable interrupt, as soon as the run continues and the kernel can take one."""
        self._environment.take(Tamper(at_ns=self.machine.clock.now_ns))

    def interrupt(self) -> None:
        """Raise the external interrupt, which wakes a sleeping enclave."""
        self._environment.take(ExternalInterrupt(at_ns=self.machine.clock.now_ns))

    def replace_guest(self, code: bytes, payload: int = 0) -> None:
        """Replace an admitted payload, whose guest has not started, by another, unsigned guest.

        Args:
            code: A WebAssembly module, or a flat binary.
            payload: The number of the payload, from 0.

        Raises:
            PayloadRejected: The module is outside the profile or the contract.
            ConfigurationError: There is no such payload, or the enclave is not in EXEC_LOOP.
        """
        self._environment.take(GuestReplaced(at_ns=self.machine.clock.now_ns, payload=payload, code=code))

    # Snapshots

    def portable_host(self) -> State | None:
        """Return the state of AetherHost as plain values, for `resume` in another process.

        Returns:
            The modules (not their compiled code) and the guest's progress; None without AetherHost.
        """
        return None if self._host is None else self._host.save_portable()

    def snapshot(self) -> EnclaveSnapshot:
        """Take a snapshot of the enclave's complete state, including the recording.

        Returns:
            The snapshot. A guest suspended in it is re-executed from its start when it is resumed after a restore: it
            reaches the same state, but that takes time.

        Raises:
            EnclaveError: The recording is being written to a file.
        """
        return self._snapshots.take()

    def restore(self, snapshot: EnclaveSnapshot) -> None:
        """Return to a snapshot of this enclave. From there the run repeats, event by event.

        Args:
            snapshot: A snapshot that this enclave took.
        """
        self._snapshots.restore(snapshot)

    def resume(self, snapshot: EnclaveSnapshot, events_so_far: Sequence[Event], host: State | None) -> None:
        """See `Snapshots.resume`: continue the run of another enclave with the same arguments."""
        self._snapshots.resume(snapshot, events_so_far, host)

    def restart(self, snapshot: EnclaveSnapshot, inputs: Iterable[AnyInput]) -> None:
        """See `Snapshots.restart`: return to a snapshot, and continue like a run with these inputs."""
        self._snapshots.restart(snapshot, inputs)
