"""The outcome of a run, gathered from its events as they happen: what `run --json` prints."""

from array import array
from collections import Counter
from typing import TypedDict

import msgspec

import machine.events as machine_events
from enclave_sim import events
from enclave_sim.inputs import WRITES
from enclave_sim.recording.format import Receiver
from enclave_sim.recording.outcome.residue import Residue
from enclave_sim.recording.text import plural
from enclave_sim.specification import Cause
from machine.events import Event
from machine.state import Stateful

KERNEL_STOPPED = "KERNEL_STOPPED"
"""The outcome if the kernel stopped before annihilation: after a memory fault, or by its own mistake."""
_SIGNALS_SHOWN = 16


class PhaseSummary(msgspec.Struct, frozen=True):
    """One phase of the boot."""

    name: str
    state: str | None
    """The target state, if it was reached."""
    at_ns: int
    """Virtual time at which the phase was entered."""
    reached_at_ns: int | None
    """Virtual time at which its target state was reached, or None."""


class StepSummary(msgspec.Struct, frozen=True):
    """One step of annihilation."""

    step: str
    meaning: str
    at_ns: int


class AttestationSummary(msgspec.Struct, frozen=True):
    """The verdicts on the evidence for the cycles."""

    accepted: int
    refused: int
    message: str
    """The last message of the verifier; empty if it was never asked."""


class ResidueSummary(TypedDict):
    """One range of residue."""

    region: str
    """Name of the region; `unmapped` where nothing is mapped."""
    base: int
    """Physical address."""
    bytes: str
    """The bytes in hex."""


class RunResult(msgspec.Struct, frozen=True):
    """The result of a run, as `Enclave.run` returns it."""

    outcome: str
    """Cause of annihilation, `KERNEL_STOPPED`, or `LIMIT` if virtual time reached a limit."""
    detail: str
    """Details from the kernel or the VMM; empty if there are none."""
    phases: tuple[PhaseSummary, ...]
    signals: tuple[int, ...]
    """The signals emitted, 32 bits each."""
    cycles: int
    """Number of cycles begun."""
    transitions: dict[str, int]
    """Numbers of ring transitions by cause."""
    host_calls: int
    preemptions: int
    """Number of timer interrupts of the guest in ring 3."""
    annihilation: tuple[StepSummary, ...]
    residue_bytes: int
    halted: bool
    """The machine is dormant: only a reset leaves that state."""
    virtual_ns: int
    """Virtual time at the end, in ns since reset."""
    events: int
    """Number of events."""
    digest: str
    """SHA-256 of the recording, in hex."""
    firmware_sha256: str
    payload_sha256: str | tuple[str, ...]
    """SHA-256 of the payload, or of each if there are several."""
    serial: str
    """The text that the kernel sent to the serial line."""
    residue: tuple[ResidueSummary, ...]
    """Each range of residue."""
    attestation: AttestationSummary
    flaws: tuple[str, ...]
    """Parts of its promise that annihilation could not keep; empty if it kept all."""

    @property
    def clean(self) -> bool:
        """True if the enclave is dormant, left no residue, and its annihilation did all that it promises."""
        return self.halted and self.residue_bytes == 0 and not self.flaws

    def __repr__(self) -> str:
        residue = plural(self.residue_bytes, "byte") + " of residue" if self.residue_bytes else "no residue"
        if not self.halted:
            residue = "residue not looked for"
        counts = (
            f"{plural(self.cycles, 'cycle')}, {plural(len(self.signals), 'signal')}, {plural(self.events, 'event')}"
        )
        return f"<RunResult {self.outcome}: {self.virtual_ns:,} ns, {counts}, {residue}, digest {self.digest[:12]}...>"

    def _repr_html_(self) -> str:
        """Return the view in a notebook: each short field."""
        from enclave_sim.recording.html_elements import element  # noqa: PLC0415 - only a notebook needs it

        shown = ", ".join(f"{value:#x}" for value in self.signals[:_SIGNALS_SHOWN])
        more = ", ..." if len(self.signals) > _SIGNALS_SHOWN else ""
        rows = [
            ("outcome", self.outcome),
            ("detail", self.detail or "none"),
            ("virtual time", f"{self.virtual_ns:,} ns"),
            *((f"phase {phase.name}", _reached(phase)) for phase in self.phases),
            ("cycles begun", f"{self.cycles:,}"),
            ("host calls", f"{self.host_calls:,}"),
            ("preemptions", f"{self.preemptions:,}"),
            ("signals", f"{len(self.signals):,}: {shown}{more}" if shown else "none"),
            ("attestation", f"{self.attestation.accepted:,} accepted, {self.attestation.refused:,} refused"),
            ("residue", f"{plural(self.residue_bytes, 'byte')}" if self.halted else "not looked for"),
            ("events", f"{self.events:,}"),
            ("digest", self.digest),
        ]
        return element("Result of the run", rows)

    def to_json(self) -> str:
        """Encode the result.

        Returns:
            One JSON object, with the fields of this class.
        """
        return msgspec.json.encode(self).decode()


def _reached(phase: PhaseSummary) -> str:
    at_ns = phase.reached_at_ns
    return "not reached" if at_ns is None else f"{phase.state} at {at_ns:,} ns"


class Summary(Stateful):
    """A recorder that keeps counts and no events."""

    STATE = (
        "transitions",
        "signals",
        "host_calls",
        "preemptions",
        "cycles",
        "phases",
        "annihilation",
        "outcome",
        "detail",
        "memory_faults",
        "kernel_stopped",
        "attestation",
        "flaws",
    )
    WIRING = ("_handlers",)

    def __init__(self) -> None:
        self.transitions: Counter[tuple[int, int, str]] = Counter()
        self.signals = array("I")
        self.host_calls = self.preemptions = self.cycles = 0
        self.phases: list[PhaseSummary] = []
        self.annihilation: list[StepSummary] = []
        self.outcome: str | None = None
        self.detail = ""
        self.memory_faults = 0
        """Number of inputs that changed memory or registers."""
        self.kernel_stopped = False
        self.attestation = AttestationSummary(0, 0, "")
        self.flaws: list[str] = []
        self._handlers: dict[type[Event], Receiver] = {
            machine_events.RingTransition: self._ring_transition,
            events.HostCalled: self._host_called,
            events.SignalEmitted: self._signal_emitted,
            events.CycleBegan: self._cycle_began,
            events.AttestationDecided: self._attestation_decided,
            events.PhaseEntered: self._phase_entered,
            events.PhaseCompleted: self._phase_completed,
            events.PayloadRejected: self._payload_rejected,
            events.GuestTrapped: self._guest_trapped,
            events.AnnihilationBegan: self._annihilation_began,
            events.AnnihilationStep: self._annihilation_step,
            events.AnnihilationFlawed: self._annihilation_flawed,
            events.InputTaken: self._input_taken,
            events.KernelStopped: self._kernel_stopped,
        }

    def record(self, event: Event) -> None:
        """Take one event."""
        handler = self.receiver(type(event))
        if handler is not None:
            handler(event)

    def receiver(self, kind: type[Event]) -> Receiver | None:
        """Return the function that takes events of a type; None if they are ignored."""
        return self._handlers.get(kind)

    def result(
        self,
        *,
        halted: bool,
        residue: Residue,
        virtual_ns: int,
        events: int,
        digest: str,
        firmware_sha256: str,
        payload_sha256: tuple[str, ...],
        serial: str,
    ) -> RunResult:
        """Return the result, given the values known only at the end of the run."""
        return RunResult(
            outcome=self.outcome if (halted or self.kernel_stopped) and self.outcome else "LIMIT",
            detail=self.detail,
            phases=tuple(self.phases),
            signals=tuple(self.signals),
            cycles=self.cycles,
            transitions={f"{a}->{b} {cause}": n for (a, b, cause), n in sorted(self.transitions.items())},
            host_calls=self.host_calls,
            preemptions=self.preemptions,
            annihilation=tuple(self.annihilation),
            residue_bytes=residue.total_bytes,
            halted=halted,
            virtual_ns=virtual_ns,
            events=events,
            digest=digest,
            firmware_sha256=firmware_sha256,
            payload_sha256=payload_sha256[0] if len(payload_sha256) == 1 else payload_sha256,
            serial=serial,
            residue=tuple(ResidueSummary(region=r.region, base=r.base, bytes=r.data.hex()) for r in residue.ranges),
            attestation=self.attestation,
            flaws=tuple(self.flaws),
        )

    def _ring_transition(self, event: machine_events.RingTransition) -> None:
        self.transitions[event.from_ring, event.to_ring, event.cause] += 1
        if event.from_ring == 3 and event.cause == "external_interrupt":
            self.preemptions += 1

    def _host_called(self, _event: events.HostCalled) -> None:
        self.host_calls += 1

    def _signal_emitted(self, event: events.SignalEmitted) -> None:
        self.signals.append(event.value)

    def _cycle_began(self, event: events.CycleBegan) -> None:
        self.cycles = event.cycle + 1

    def _attestation_decided(self, event: events.AttestationDecided) -> None:
        accepted = event.verdict == "accepted"
        before = self.attestation
        self.attestation = AttestationSummary(
            before.accepted + accepted, before.refused + (not accepted), event.message
        )

    def _phase_entered(self, event: events.PhaseEntered) -> None:
        self.phases.append(PhaseSummary(event.phase, None, event.at_ns, None))

    def _phase_completed(self, event: events.PhaseCompleted) -> None:
        entered = self.phases.pop()
        self.phases.append(PhaseSummary(event.phase, event.state, entered.at_ns, event.at_ns))

    def _payload_rejected(self, event: events.PayloadRejected) -> None:
        self.detail = f"{event.check}: {event.message}"

    def _guest_trapped(self, event: events.GuestTrapped) -> None:
        self.detail = event.detail

    def _annihilation_began(self, event: events.AnnihilationBegan) -> None:
        self.outcome = event.cause
        refused = event.cause == Cause.ATTESTATION_REFUSED.name and self.attestation.refused
        said = self.attestation.message if refused else self.detail
        self.detail = ", ".join(part for part in (event.description, said) if part)

    def _annihilation_step(self, event: events.AnnihilationStep) -> None:
        self.annihilation.append(StepSummary(event.step, event.meaning, event.at_ns))

    def _annihilation_flawed(self, event: events.AnnihilationFlawed) -> None:
        if event.description in self.flaws:
            return
        self.flaws.append(event.description)
        if event.description not in self.detail:
            self.detail = ", ".join(part for part in (self.detail, event.description) if part)

    def _input_taken(self, event: events.InputTaken) -> None:
        self.memory_faults += event.input in WRITES

    def _kernel_stopped(self, event: events.KernelStopped) -> None:
        before = f", {self.outcome} under way" if self.outcome else ""
        self.kernel_stopped, self.outcome = True, KERNEL_STOPPED
        self.detail = f"{event.reason}, POST code {event.post_code:#x}, RIP {event.rip:#x}{before}"
