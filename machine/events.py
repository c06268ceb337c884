"""Events that the machine records: one type for each kind of transition, and the protocol of a recorder.

Events are frozen. `seq` counts them from 0, `at_ns` is virtual time. Addresses are linear unless
the field says physical.
"""

from typing import Literal, Protocol

import msgspec

InterruptSource = Literal["software", "exception", "external", "nmi"]
ProcessorMode = Literal["reset", "real", "protected", "compatibility", "long"]


class Event(msgspec.Struct, frozen=True, tag_field="kind", gc=False):
    """Base class of all events."""

    seq: int
    """Position in the run, from 0."""
    at_ns: int
    """Virtual time in nanoseconds."""


class ModeSwitched(Event, frozen=True, tag="mode_switched", gc=False):
    """The processor changed its operating mode (SDM volume 3, 2.2)."""

    previous: ProcessorMode
    mode: ProcessorMode
    rip: int
    """The address of the instruction that switched it."""


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
    """0 for GDTR and IDTR, which have no selector."""
    base: int
    limit: int
    rip: int


class InterruptRaised(Event, frozen=True, tag="interrupt_raised", gc=False):
    """An interrupt or exception was raised. Its delivery follows, or another exception if the delivery fails."""

    vector: int
    source: InterruptSource
    error_code: int | None
    address: int | None
    """CR2, for a page fault."""
    rip: int
    """The return address that the handler will see."""
    ring: int
    """The privilege level at which it was raised."""


class InterruptDelivered(Event, frozen=True, tag="interrupt_delivered", gc=False):
    """The processor entered the handler: it pushed the frame and went through the gate."""

    vector: int
    handler: int
    stack: int
    """RSP in the handler, below the frame."""


class InterruptReturned(Event, frozen=True, tag="interrupt_returned", gc=False):
    """The handler returned to the interrupted code."""

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
    """True if a maskable interrupt can end the halt (RFLAGS.IF)."""


class Shutdown(Event, frozen=True, tag="shutdown", gc=False):
    """The processor shut down after a third fault (SDM volume 3, 6.15, interrupt 8)."""

    vector: int
    """The vector of the fault that could not be delivered."""
    rip: int


class SerialReceived(Event, frozen=True, tag="serial_received", gc=False):
    """Bytes arrived at the serial port from outside."""

    data: str
    """The bytes, in hexadecimal."""


class Recorder(Protocol):
    """Receives events, in order."""

    def record(self, event: Event) -> None:
        """Receive one event."""


class DiscardingRecorder:
    """A recorder that discards everything."""

    def record(self, event: Event) -> None:
        """Discard the event."""
