"""A recording as a timeline: beginnings, ends and instants on tracks.

Events report changes; a timeline shows durations. The conversion rules are here, once, for all formats. Nothing is read
ahead, so memory does not depend on the recording's length.

An interrupt lasts from its delivery to its return. A handler that never returns (the last host call of a cycle, a fault
that ends in annihilation) ends when the guest to which it would return is gone.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, NamedTuple

from enclave_sim import events as enclave
from enclave_sim.recording.format import Header
from enclave_sim.specification import Step
from machine import events as machine
from machine.events import Event


def of_an_enclave(header: Header) -> bool:
    """Return True if an enclave ran, and False if another kernel was booted (`enclave-sim boot`)."""
    return "engine" in header.configuration


class Track(Enum):
    """A line of the timeline; the value is its title."""

    PHASES = "Phases"
    CYCLES = "Cycles"
    ATTESTATION = "Attestation"
    PAYLOADS = "Payloads"
    GUEST = "Guest"
    RING = "Ring (CPL)"
    INTERRUPTS = "Interrupts"
    HOST_CALLS = "Host calls"
    SIGNALS = "Signals"
    WAKES = "Wakes"
    SLEEP = "Sleep"
    MEMORY = "Memory"
    PROCESSOR = "Processor"
    INPUTS = "Inputs"
    ANNIHILATION = "Annihilation"
    __hash__ = object.__hash__  # that of Enum is slow, and each event looks up several tracks


class Begin(NamedTuple):
    """A duration begins. On one track, the last to begin is the first to end."""

    track: Track
    at_ns: int
    name: str
    event: Event
    """The event that reported it."""


class End(NamedTuple):
    """The last open duration on the track ends."""

    track: Track
    at_ns: int
    event: Event | None
    """The event that reported it; None at the end of the recording."""


class Instant(NamedTuple):
    """An instant, or the end of something whose beginning no event reports."""

    track: Track
    at_ns: int
    name: str
    event: Event


Mark = Begin | End | Instant


class MarkReader:
    """Turns events into marks, one event at a time."""

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        self._open: Counter[Track] = Counter()
        self._raised: machine.InterruptRaised | None = None
        self._now_ns = 0

    def read(self, event: Event) -> list[Mark]:
        """Return the marks of one event: first those that end a duration."""
        self._marks = []
        if not isinstance(event, machine.InterruptDelivered):
            self._flush_raised()
        self._now_ns = event.at_ns
        _RULES[type(event)](self, event)
        return self._marks

    def finish(self) -> list[Mark]:
        """Return the marks at the end of the recording: everything ends at the time of the last event."""
        self._marks = []
        self._flush_raised()
        for track in Track:
            self._end_all(track, None)
        return self._marks

    def _begin(self, track: Track, name: str, event: Event) -> None:
        self._open[track] += 1
        self._marks.append(Begin(track, self._now_ns, name, event))

    def _end(self, track: Track, event: Event | None) -> None:
        if self._open[track]:
            self._open[track] -= 1
            self._marks.append(End(track, self._now_ns, event))

    def _end_all(self, track: Track, event: Event | None) -> None:
        while self._open[track]:
            self._end(track, event)

    def _instant(self, track: Track, name: str, event: Event) -> None:
        self._marks.append(Instant(track, event.at_ns, name, event))

    # Rules that need more than a line

    def _flush_raised(self) -> None:
        """Mark an interrupt that was raised but not delivered, because of another one or a shutdown."""
        if self._raised is not None:
            self._instant(Track.INTERRUPTS, f"vector {self._raised.vector:#04x} not delivered", self._raised)
            self._raised = None

    def _interrupt_raised(self, event: machine.InterruptRaised) -> None:
        self._end_all(Track.SLEEP, event)
        self._raised = event

    def _interrupt_delivered(self, event: machine.InterruptDelivered) -> None:
        shown: Event = event
        if self._raised is not None and self._raised.vector == event.vector:
            shown, self._raised = self._raised, None  # it has more fields
        self._flush_raised()
        self._begin(Track.INTERRUPTS, f"vector {event.vector:#04x}", shown)

    def _ring_transition(self, event: machine.RingTransition) -> None:
        if event.to_ring > event.from_ring:
            self._end_all(Track.INTERRUPTS, event)
        self._end_all(Track.RING, event)
        self._begin(Track.RING, f"ring {event.to_ring}", event)

    def _mode_switched(self, event: machine.ModeSwitched) -> None:
        if event.previous == "reset":
            self._end_all(Track.RING, event)
            self._begin(Track.RING, "ring 0", event)
        self._instant(Track.PROCESSOR, f"{event.mode} mode", event)

    def _halted(self, event: machine.Halted) -> None:
        if event.interruptible:
            self._begin(Track.SLEEP, "asleep", event)
        else:
            self._instant(Track.PROCESSOR, "halted", event)

    def _guest_gone(self, event: Event) -> None:
        for track in (Track.HOST_CALLS, Track.INTERRUPTS, Track.GUEST):
            self._end_all(track, event)

    def _cycle_ended(self, event: enclave.CycleEnded) -> None:
        self._guest_gone(event)
        self._end_all(Track.CYCLES, event)

    def _cycle_began(self, event: enclave.CycleBegan) -> None:
        self._end_all(Track.CYCLES, event)
        self._begin(Track.CYCLES, f"cycle {event.cycle}", event)

    def _guest_instantiated(self, event: enclave.GuestInstantiated) -> None:
        self._end_all(Track.GUEST, event)
        self._begin(Track.GUEST, f"payload {event.payload}", event)

    def _host_called(self, event: enclave.HostCalled) -> None:
        self._end_all(Track.HOST_CALLS, event)
        self._begin(Track.HOST_CALLS, event.name, event)

    def _annihilation_began(self, event: enclave.AnnihilationBegan) -> None:
        self._end_all(Track.PHASES, event)
        self._end_all(Track.CYCLES, event)
        self._begin(Track.ANNIHILATION, event.cause, event)

    def _annihilation_step(self, event: enclave.AnnihilationStep) -> None:
        if event.step == Step.A2.name:
            self._guest_gone(event)
        self._instant(Track.ANNIHILATION, f"{event.step} {event.meaning}", event)


def _at_once(track: Track, name: Callable[[Any], str]) -> Callable[[MarkReader, Any], None]:
    return lambda reader, event: reader._instant(track, name(event), event)


_RULES: dict[type[Event], Callable[[MarkReader, Any], None]] = {
    machine.ModeSwitched: MarkReader._mode_switched,
    machine.RegisterWritten: _at_once(Track.PROCESSOR, lambda event: f"{event.register} written"),
    machine.DescriptorTableLoaded: _at_once(Track.PROCESSOR, lambda event: f"{event.register} loaded"),
    machine.InterruptRaised: MarkReader._interrupt_raised,
    machine.InterruptDelivered: MarkReader._interrupt_delivered,
    machine.InterruptReturned: lambda reader, event: reader._end(Track.INTERRUPTS, event),
    machine.RingTransition: MarkReader._ring_transition,
    machine.Halted: MarkReader._halted,
    machine.Shutdown: _at_once(Track.PROCESSOR, lambda _event: "shutdown"),
    machine.SerialReceived: _at_once(Track.INPUTS, lambda event: f"serial line: {len(event.data) // 2} bytes"),
    enclave.PhaseEntered: lambda reader, event: reader._begin(Track.PHASES, event.phase, event),
    enclave.PhaseCompleted: lambda reader, event: reader._end(Track.PHASES, event),
    enclave.PayloadMeasured: _at_once(Track.PAYLOADS, lambda event: f"payload {event.payload} measured"),
    enclave.PayloadVerified: _at_once(Track.PAYLOADS, lambda event: f"payload {event.payload} verified"),
    enclave.PayloadCompiled: _at_once(Track.PAYLOADS, lambda event: f"payload {event.payload} compiled"),
    enclave.PayloadRejected: _at_once(Track.PAYLOADS, lambda event: f"payload {event.payload} rejected: {event.check}"),
    enclave.PcrExtended: _at_once(Track.ATTESTATION, lambda event: f"PCR {event.pcr}: {event.measured}"),
    enclave.Quoted: _at_once(Track.ATTESTATION, lambda event: f"quote by {event.algorithm}"),
    enclave.TpmCommandFailed: _at_once(
        Track.ATTESTATION, lambda event: f"TPM command {event.command:#x} failed: {event.code:#x}"
    ),
    enclave.VerifierChallenged: _at_once(Track.ATTESTATION, lambda event: f"nonce for cycle {event.cycle}"),
    enclave.AttestationDecided: _at_once(Track.ATTESTATION, lambda event: f"attestation {event.verdict}"),
    enclave.CycleBegan: MarkReader._cycle_began,
    enclave.CycleEnded: MarkReader._cycle_ended,
    enclave.GuestInstantiated: MarkReader._guest_instantiated,
    enclave.GuestTrapped: _at_once(Track.GUEST, lambda event: event.trap),
    enclave.GuestDestroyed: MarkReader._guest_gone,
    enclave.HostCalled: MarkReader._host_called,
    enclave.HostReturned: lambda reader, event: reader._end(Track.HOST_CALLS, event),
    enclave.SignalEmitted: _at_once(Track.SIGNALS, lambda event: f"signal {event.value:#010x}"),
    enclave.ArenaAllocated: _at_once(Track.MEMORY, lambda event: f"arena: {event.size} bytes taken"),
    enclave.Scrubbed: _at_once(Track.MEMORY, lambda event: f"{event.region} scrubbed"),
    enclave.MemoryWritten: _at_once(Track.MEMORY, lambda event: f"{event.region} written by {event.writer}"),
    enclave.WakeScheduled: _at_once(Track.WAKES, lambda _event: "scheduled"),
    enclave.Woken: _at_once(Track.WAKES, lambda event: f"woken by {event.source}"),
    enclave.AnnihilationBegan: MarkReader._annihilation_began,
    enclave.AnnihilationStep: MarkReader._annihilation_step,
    enclave.AnnihilationFlawed: _at_once(Track.ANNIHILATION, lambda event: f"flaw: {event.description}"),
    enclave.InputTaken: _at_once(Track.INPUTS, lambda event: event.input),
    enclave.GuestReplaced: _at_once(Track.GUEST, lambda event: f"payload {event.payload} replaced"),
    enclave.KernelStopped: _at_once(Track.ANNIHILATION, lambda event: f"kernel stopped: {event.reason}"),
    enclave.ResidueScanned: _at_once(Track.ANNIHILATION, lambda event: f"residue: {event.residue_bytes} bytes"),
}


def marks(events: Iterable[Event]) -> Iterator[Mark]:
    """Yield the marks of a whole recording, in order."""
    reader = MarkReader()
    for event in events:
        yield from reader.read(event)
    yield from reader.finish()
