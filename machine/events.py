"""What the machine records: one type for each kind of transition, and the protocol of whoever takes them.

Nothing else lives here. Events are frozen and say when they happened: `seq` counts from 0, `at_ns` is virtual
time. Addresses are linear unless the field says physical.
"""

from typing import Literal, Protocol

import msgspec

InterruptSource = Literal["software", "exception", "external", "nmi"]
ProcessorMode = Literal["reset", "real", "protected", "compatibility", "long"]


class Event(msgspec.Struct, frozen=True, tag_field="kind", gc=False):
    """What all events share."""

    seq: int
    """Position in the run, from 0."""
    at_ns: int
    """Virtual time in nanoseconds."""


class ModeSwitched(Event, frozen=True, tag="mode_switched", gc=False):
    """The processor changed its operating mode (SDM volume 3, 2.2)."""

    previous: ProcessorMode
    mode: ProcessorMode
    rip: int
    """Of the instruction that did it."""


class RegisterWritten(Event, frozen=True, tag="register_written", gc=False):
    """CR0, CR3, CR4, EFER or DR7 changed its value."""

    register: str
    previous: int
    value: int
    rip: int


class DescriptorTableLoaded(Event, frozen=True, tag="descriptor_table_loaded", gc=False):
    """GDTR, IDTR, LDTR or TR was loaded."""

    register: str
    selector: int
    """0 for GDTR and IDTR, which have none."""
    base: int
    limit: int
    rip: int


class InterruptRaised(Event, frozen=True, tag="interrupt_raised", gc=False):
    """An interrupt or exception came up; delivery follows, or another exception if that fails."""

    vector: int
    source: InterruptSource
    error_code: int | None
    address: int | None
    """CR2, for a page fault."""
    rip: int
    """The address the handler will see as the return address."""
    ring: int
    """The privilege level it came up in."""


class InterruptDelivered(Event, frozen=True, tag="interrupt_delivered", gc=False):
    """The processor entered the handler: frame pushed, gate taken."""

    vector: int
    handler: int
    stack: int
    """RSP in the handler, below the frame."""


class InterruptReturned(Event, frozen=True, tag="interrupt_returned", gc=False):
    """The handler returned to where the interrupt came from."""

    vector: int
    rip: int


class RingTransition(Event, frozen=True, tag="ring_transition", gc=False):
    """The current privilege level changed."""

    from_ring: int
    to_ring: int
    cause: str
    """`software_interrupt`, `exception`, `external_interrupt`, `nmi`, `interrupt_return`, `far_return`, `call_gate`,
    `task_switch` or `fast_system_call`."""
    vector: int | None
    error_code: int | None
    rip: int
    """First instruction in the new ring."""
    rsp: int
    """Stack pointer in the new ring."""


class Halted(Event, frozen=True, tag="halted", gc=False):
    """HLT retired."""

    interruptible: bool
    """Whether a maskable interrupt can end it (RFLAGS.IF)."""


class Shutdown(Event, frozen=True, tag="shutdown", gc=False):
    """The processor gave up after a third fault (SDM volume 3, 6.15, interrupt 8)."""

    vector: int
    """Of the fault that could not be delivered."""
    rip: int


class Recorder(Protocol):
    """Takes events as they happen, in order."""

    def record(self, event: Event) -> None:
        """Take one event."""


class DiscardingRecorder:
    """Keeps nothing."""

    def record(self, event: Event) -> None:
        """Drop it."""
