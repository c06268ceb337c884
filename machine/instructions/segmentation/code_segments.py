"""Loading CS: the checks shared by control transfers (SDM volume 3, 5.8.1)."""

import msgspec

from machine.architecture.descriptors import ACCESSED, Segment
from machine.architecture.exceptions import GP, NP, Fault
from machine.architecture.paging import is_canonical
from machine.instructions.segmentation.descriptor_tables import find, mark_accessed
from machine.processor.cpu import EFER_LMA, Cpu


class Destination(msgspec.Struct, frozen=True):
    """The target of a control transfer: a checked code segment, and an offset that must still be checked."""

    selector: int
    at: int
    """Linear address of the descriptor."""
    segment: Segment
    offset: int
    ring: int
    """The privilege level after the transfer."""


def descriptor(cpu: Cpu, selector: int, vector: int = GP) -> tuple[int, Segment]:
    """Find the descriptor of a selector.

    Args:
        cpu: The processor.
        selector: The selector.
        vector: The exception for a null selector or one beyond its table.

    Returns:
        The linear address of the descriptor, and the descriptor.

    Raises:
        Fault: `vector`, or #PF.
    """
    if not selector & 0xFFFC:
        raise Fault(vector, 0)
    found = find(cpu, selector)
    if found is None:
        raise Fault(vector, selector & 0xFFFC)
    return found


def check_default_size(cpu: Cpu, segment: Segment, error: int) -> None:
    """Raise Fault (#GP) for a code segment with L and D in IA-32e mode."""
    if segment.long and segment.default_32 and cpu.registers.efer & EFER_LMA:
        raise Fault(GP, error)


def direct_destination(cpu: Cpu, selector: int, at: int, segment: Segment, offset: int) -> Destination:
    """Return the checked target of a far CALL or JMP without a gate. Raises Fault."""
    error, ring = selector & 0xFFFC, cpu.registers.cpl
    check_default_size(cpu, segment, error)
    if segment.level > ring if segment.conforming else segment.level != ring or selector & 3 > ring:
        raise Fault(GP, error)
    if not segment.present:
        raise Fault(NP, error)
    return Destination(selector, at, segment, offset, ring)


def check_return(cpu: Cpu, selector: int) -> tuple[int, Segment]:
    """Return the linear address and descriptor of a far RET's or IRET's code segment. Raises Fault."""
    at, segment = descriptor(cpu, selector)
    error, ring = selector & 0xFFFC, selector & 3
    if not segment.is_code or ring < cpu.registers.cpl:
        raise Fault(GP, error)
    if segment.level > ring if segment.conforming else segment.level != ring:
        raise Fault(GP, error)
    check_default_size(cpu, segment, error)
    if not segment.present:
        raise Fault(NP, error)
    return at, segment


def is_64_bit(cpu: Cpu, segment: Segment) -> bool:
    """Return whether code in this segment runs in 64-bit mode."""
    return segment.long and bool(cpu.registers.efer & EFER_LMA)


def enter(cpu: Cpu, destination: Destination, length: int) -> None:
    """Transfer control, after all checks. Raises PageFault before anything is loaded.

    Args:
        cpu: The processor; SS must have been loaded.
        destination: The target.
        length: Length of the instruction in bytes.
    """
    ring = destination.ring
    load_code(cpu, destination.selector & 0xFFFC | ring, destination.at, destination.segment)
    cpu.skip(length)
    cpu.registers.rip = destination.offset
    cpu.set_privilege(ring)


def check_target(cpu: Cpu, segment: Segment, offset: int) -> None:
    """Raise Fault (#GP) if the target is beyond the segment's limit, or not canonical in 64-bit mode."""
    if not is_canonical(offset) if is_64_bit(cpu, segment) else offset > segment.limit:
        raise Fault(GP, 0)


def load_code(cpu: Cpu, selector: int, at: int, segment: Segment) -> None:
    """Load CS, after all checks, and mark its descriptor as accessed. Raises PageFault before anything is loaded.

    64-bit mode ignores the base of CS (SDM volume 3, 3.2.4), but Unicorn would add it.
    """
    mark_accessed(cpu, at, segment)
    base = 0 if is_64_bit(cpu, segment) else segment.base
    cpu.registers.cs.load(selector, base, segment.limit, segment.flags | ACCESSED << 8)
