"""Faults as plain data: what fails, and when. Nothing here knows how a fault is applied (injection.py).

A fault has no randomness of its own: a plan with a seed chooses faults, and the same fault at the same moment gives the
same run. Masks of bits are little-endian: bit 8 of a mask is bit 0 of the next byte.
"""

import msgspec

from enclave_sim.inputs import AfterEvent

WIDEST = 8
"""The most bytes of RAM that one fault inverts: a burst."""
MILLION = 1_000_000


class Fault(msgspec.Struct, frozen=True, tag_field="fault"):
    """Base class of all faults."""


class MemoryBits(Fault, frozen=True, tag="memory_bits"):
    """Bits of RAM are inverted once: one bit, or a burst in up to eight bytes."""

    address: int
    """Physical address of the first byte."""
    bits: int
    """The inverted bits, as a little-endian mask."""

    @property
    def inverted(self) -> dict[int, int]:
        """The inverted bits of each byte, by its address."""
        return {self.address + n: bits for n, bits in enumerate(self.bits.to_bytes(WIDEST, "little")) if bits}


class StuckMemory(Fault, frozen=True, tag="stuck_memory"):
    """Bits of one byte of RAM keep a value, whatever is written."""

    address: int
    """Physical address of the byte."""
    bits: int
    """The bits that are stuck."""
    value: int
    """0 or 1."""
    for_ns: int
    """The duration, in virtual ns."""


class RegisterBits(Fault, frozen=True, tag="register_bits"):
    """Bits of a register are inverted once."""

    register: str
    """A general, control, table or segment register, as in `hardware_fault` inputs: `rax`, `cr4`, `idtr_base`."""
    bits: int


class StuckRegister(Fault, frozen=True, tag="stuck_register"):
    """Bits of a general register keep a value, whatever is written. The run is stepped meanwhile, so keep it short."""

    register: str
    """`rax` to `r15`."""
    bits: int
    value: int
    """0 or 1."""
    instructions: int
    """The duration, in instructions."""


class PartFault(Fault, frozen=True, tag="part_fault"):
    """Another part fails, as in `hardware_fault` inputs: an instruction, an interrupt, the clock or the counter."""

    part: str
    effect: str
    value: int


class InterruptStorm(Fault, frozen=True, tag="interrupt_storm"):
    """An interrupt without a source is raised again and again."""

    vector: int
    """16 to 255, or 2 for an NMI."""
    count: int
    every_ns: int


class ClockDrift(Fault, frozen=True, tag="clock_drift"):
    """The clock runs fast: it jumps forward again and again."""

    advance_ns: int
    count: int
    every_ns: int


class Answer(Fault, frozen=True, tag="answer"):
    """A sensor answers with another value from now on, which may be out of its physical range."""

    sensor: int
    """0 or 1."""
    value: int
    """32 bits."""


class PowerLoss(Fault, frozen=True, tag="power_loss"):
    """Power is lost, and comes back: the enclave boots again, with what RAM still holds."""

    decay: int
    """The probability with which a bit of RAM that is 1 becomes 0, in millionths: 1,000,000 is a cold boot."""
    seed: int = 0
    """Chooses the bits."""


AnyFault = (
    MemoryBits
    | StuckMemory
    | RegisterBits
    | StuckRegister
    | PartFault
    | InterruptStorm
    | ClockDrift
    | Answer
    | PowerLoss
)


class Trigger(msgspec.Struct, frozen=True, tag_field="at"):
    """Base class of all triggers. A fault takes effect before an instruction."""


class AtTime(Trigger, frozen=True, tag="time"):
    """Before the first instruction at or after a virtual time."""

    ns: int
    """In ns since reset."""


class AtInstruction(Trigger, frozen=True, tag="instruction"):
    """Once so many instructions have been retired since reset."""

    count: int


class AtEvent(Trigger, frozen=True, tag="event"):
    """At an event, or some time after it."""

    after: AfterEvent
    delay_ns: int = 0


class AtAddress(Trigger, frozen=True, tag="address"):
    """Before the instruction at a linear address is executed."""

    address: int
    count: int = 1
    """The number of the visit, from 1."""


AnyTrigger = AtTime | AtInstruction | AtEvent | AtAddress


class Injection(msgspec.Struct, frozen=True):
    """A fault and its moment: with the scenario, all that determines a run."""

    fault: AnyFault
    trigger: AnyTrigger
