"""The enclave's events (in addition to the machine's), the union of both, and the registry of kinds.

`machine.events` has the base type, the recorder protocol and the machine's kinds.
"""

from typing import get_args

import machine.events as _machine
from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import AnyInput
from enclave_sim.similar import did_you_mean
from machine.events import Event


class PhaseEntered(Event, frozen=True, tag="phase_entered", gc=False):
    """A boot phase began."""

    phase: str


class PhaseCompleted(Event, frozen=True, tag="phase_completed", gc=False):
    """The kernel verified that a phase has reached its target state."""

    phase: str
    state: str
    status: int
    """The new status word."""


class PayloadMeasured(Event, frozen=True, tag="payload_measured", gc=False):
    """A staged payload was hashed, before any of its content was used."""

    payload: int
    size: int
    sha256: str


class PayloadVerified(Event, frozen=True, tag="payload_verified", gc=False):
    """Both signatures of a payload verified under one trust anchor."""

    payload: int
    anchor: str
    development: bool
    artefact: bool
    """True if it contains compiled code."""


class PayloadCompiled(Event, frozen=True, tag="payload_compiled", gc=False):
    """A payload is ready to be instantiated: compiled, or loaded from its artefact."""

    payload: int
    ahead_of_time: bool


class PayloadRejected(Event, frozen=True, tag="payload_rejected", gc=False):
    """A payload was refused; annihilation follows."""

    payload: int
    check: str
    """Name of the check that failed (`PayloadCheck`)."""
    message: str


class PcrExtended(Event, frozen=True, tag="pcr_extended", gc=False):
    """A platform configuration register of the TPM was extended with a measurement."""

    pcr: int
    measured: str
    """Name of the thing measured (docs/attestation.md)."""
    sha256: str
    """The digest extended into it."""


class Quoted(Event, frozen=True, tag="quoted", gc=False):
    """The TPM signed its registers, together with the nonce and the cycle."""

    algorithm: str
    """`ecdsa-p256` or `ml-dsa-65`."""
    reset_count: int
    pcr_digest: str
    """SHA-256 over the selected registers."""


class TpmCommandFailed(Event, frozen=True, tag="tpm_command_failed", gc=False):
    """The TPM answered a command with a response code other than success."""

    command: int
    code: int


class VerifierChallenged(Event, frozen=True, tag="verifier_challenged", gc=False):
    """The verifier issued a nonce for the quote of a cycle."""

    cycle: int
    nonce: str


class AttestationDecided(Event, frozen=True, tag="attestation_decided", gc=False):
    """The verifier decided on the evidence for a cycle."""

    cycle: int
    verdict: str
    """`accepted` or `refused`."""
    message: str = ""
    """The checks that failed, or the number of checks that passed."""


class CycleBegan(Event, frozen=True, tag="cycle_began", gc=False):
    """EXEC_LOOP began a cycle."""

    cycle: int


class CycleEnded(Event, frozen=True, tag="cycle_ended", gc=False):
    """The guest returned, and everything that it could have written was scrubbed."""

    cycle: int


class GuestInstantiated(Event, frozen=True, tag="guest_instantiated", gc=False):
    """A fresh guest was made in a zeroed heap."""

    payload: int
    cycle: int
    memory_bytes: int


class GuestTrapped(Event, frozen=True, tag="guest_trapped", gc=False):
    """WebAssembly trapped. The equivalent exception in ring 3 follows."""

    trap: str
    detail: str


class GuestDestroyed(Event, frozen=True, tag="guest_destroyed", gc=False):
    """The guest, suspended or finished, was discarded."""


class HostCalled(Event, frozen=True, tag="host_called", gc=False):
    """The guest called a host function. INT 80h follows, or was executed if the guest is a flat binary."""

    number: int
    name: str
    argument: int


class HostReturned(Event, frozen=True, tag="host_returned", gc=False):
    """The result of a host call reached the guest."""

    number: int
    result: int


class SignalEmitted(Event, frozen=True, tag="signal_emitted", gc=False):
    """The uplink sent a value."""

    value: int


class ArenaAllocated(Event, frozen=True, tag="arena_allocated", gc=False):
    """The kernel allocated memory in the host arena."""

    base: int
    size: int


class Scrubbed(Event, frozen=True, tag="scrubbed", gc=False):
    """The scrub engine zeroed a range."""

    region: str
    base: int
    size: int
    cause: str
    """`boot`, `host_call`, `interrupt`, `cycle` or `annihilation`."""
    verified: bool
    """True if the range was read back and is zero."""


class MemoryWritten(Event, frozen=True, tag="memory_written", gc=False):
    """A traced region was written (`run --trace-memory`) since the previous event."""

    region: str
    base: int
    size: int
    """Size in bytes of the smallest range that contains these writes."""
    by: str
    """`kernel`, `guest`, `device`, `processor` or `input`; `limit` at the end of the trace."""
    writer: str
    """The function of the kernel or the guest, or the name of another writer."""


class WakeScheduled(Event, frozen=True, tag="wake_scheduled", gc=False):
    """The kernel armed the timer and is going to sleep."""

    deadline_ns: int


class Woken(Event, frozen=True, tag="woken", gc=False):
    """The sleep has ended."""

    source: str
    """`timer` or `external`."""
    deadline_ns: int | None
    latency_ns: int | None
    """Virtual time in ns from the deadline to the first instruction of the handler."""


class AnnihilationBegan(Event, frozen=True, tag="annihilation_began", gc=False):
    """Annihilation began; it cannot be stopped."""

    cause: str
    detail: int
    """Vector of the exception, or a DETAIL_ constant of layout.h."""
    description: str


class AnnihilationStep(Event, frozen=True, tag="annihilation_step", gc=False):
    """A step of annihilation is complete."""

    step: str
    meaning: str


class AnnihilationFlawed(Event, frozen=True, tag="annihilation_flawed", gc=False):
    """Annihilation could not do a part of what it promises, and continued with the next."""

    detail: int
    """Vector of the exception, or a DETAIL_ constant of layout.h."""
    description: str


class InputTaken(Event, frozen=True, tag="input_taken", gc=False):
    """An input reached the enclave from outside (enclave_sim.inputs)."""

    input: str
    """Its kind: `external_interrupt`, `tamper`, ..."""
    scheduled_ns: int | None
    """The virtual time for which it was scheduled, or None if it was not scheduled."""
    given: AnyInput | None = None
    """The complete input, if it was not scheduled: scheduled ones are in the header."""


class GuestReplaced(Event, frozen=True, tag="guest_replaced", gc=False):
    """Another guest replaced an admitted payload."""

    payload: int
    sha256: str
    memory_bytes: int


class KernelStopped(Event, frozen=True, tag="kernel_stopped", gc=False):
    """The kernel stopped before it could annihilate itself: after a memory fault, or by its own mistake."""

    reason: str
    post_code: int
    """The last POST code, which shows the progress of the boot."""
    rip: int


class ResidueScanned(Event, frozen=True, tag="residue_scanned", gc=False):
    """In DORMANT, all of RAM was scanned for residue."""

    scanned_bytes: int
    residue_bytes: int


AnyEvent = (
    _machine.ModeSwitched
    | _machine.RegisterWritten
    | _machine.DescriptorTableLoaded
    | _machine.InterruptRaised
    | _machine.InterruptDelivered
    | _machine.InterruptReturned
    | _machine.RingTransition
    | _machine.Halted
    | _machine.Shutdown
    | _machine.SerialReceived
    | PhaseEntered
    | PhaseCompleted
    | PayloadMeasured
    | PayloadVerified
    | PayloadCompiled
    | PayloadRejected
    | PcrExtended
    | Quoted
    | TpmCommandFailed
    | VerifierChallenged
    | AttestationDecided
    | CycleBegan
    | CycleEnded
    | GuestInstantiated
    | GuestTrapped
    | GuestDestroyed
    | HostCalled
    | HostReturned
    | SignalEmitted
    | ArenaAllocated
    | Scrubbed
    | MemoryWritten
    | WakeScheduled
    | Woken
    | AnnihilationBegan
    | AnnihilationStep
    | AnnihilationFlawed
    | InputTaken
    | GuestReplaced
    | KernelStopped
    | ResidueScanned
)
"""Every kind of event that a recording can contain."""
KINDS: dict[str, type[Event]] = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyEvent)}
"""Every kind of event by its name in recordings."""
EventKind = str | type[Event]
"""A kind of event: its name in recordings (`cycle_began`), or its type (`CycleBegan`)."""


def kind_of_event(kind: EventKind) -> type[Event]:
    """Return the type of a kind of event. Raises ConfigurationError, which lists all kinds, for an unknown one."""
    if isinstance(kind, type):
        return kind
    if kind not in KINDS:
        raise ConfigurationError(
            f"{kind!r} is not a kind of event; {did_you_mean(kind, KINDS)}there are {', '.join(KINDS)}"
        )
    return KINDS[kind]


def name_of_kind(kind: Event | type[Event]) -> str:
    """Return the name in recordings of a kind of event, or of an event's kind."""
    return str(kind.__struct_config__.tag)
