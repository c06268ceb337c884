"""Loading SS, DS, ES, FS and GS (SDM volume 3, 5.6 and 5.7; 5.4.1 for null selectors)."""

from machine.architecture.descriptors import ACCESSED, Segment
from machine.architecture.exceptions import GP, NP, SS, Fault
from machine.architecture.processor_state import SegmentRegister
from machine.instructions.segmentation.code_segments import descriptor
from machine.instructions.segmentation.descriptor_tables import mark_accessed
from machine.processor.cpu import Cpu

PRESENT = 1 << 15
_CODE, _CONFORMING = 1 << 11, 1 << 10


def commit(cpu: Cpu, register: SegmentRegister, selector: int, at: int, segment: Segment) -> None:
    """Load a register, and mark its checked descriptor as accessed. Raises PageFault with nothing loaded."""
    mark_accessed(cpu, at, segment)
    register.load(selector, segment.base, segment.limit, segment.flags | ACCESSED << 8)


def load_data(cpu: Cpu, register: SegmentRegister, selector: int) -> None:
    """Load DS, ES, FS or GS. Raises Fault with nothing changed. The caller then calls `follow_segments`."""
    if not selector & 0xFFFC:
        register.load(selector, 0, 0, 0)
        return
    at, segment = descriptor(cpu, selector)
    error = selector & 0xFFFC
    readable = segment.is_data or (segment.is_code and segment.writable)
    shared = segment.is_code and segment.conforming
    if not readable or (not shared and segment.level < max(cpu.registers.cpl, selector & 3)):
        raise Fault(GP, error)
    if not segment.present:
        raise Fault(NP, error)
    commit(cpu, register, selector, at, segment)


def check_stack(cpu: Cpu, selector: int, ring: int, vector: int = GP, *, external: int = 0) -> tuple[int, Segment]:
    """Find and check the stack segment for a ring.

    Args:
        cpu: The processor.
        selector: The selector of the segment.
        ring: The ring that will use it, 0 to 3.
        vector: The exception for a segment that cannot be the ring's stack.
        external: The EXT bit of error codes.

    Returns:
        The linear address of the descriptor, and the descriptor.

    Raises:
        Fault: `vector`, #SS for a segment that is not present, or #PF.
    """
    at, segment = descriptor(cpu, selector, vector)
    error = selector & 0xFFFC | external
    if selector & 3 != ring or segment.level != ring or not segment.is_data or not segment.writable:
        raise Fault(vector, error)
    if not segment.present:
        raise Fault(SS, error)
    return at, segment


def load_null_stack(cpu: Cpu, selector: int) -> None:
    """Load SS with a null selector, which 64-bit mode allows: only its RPL matters."""
    cpu.registers.ss.load(selector, 0, 0, (selector & 3) << 13)


def load_stack(cpu: Cpu, selector: int) -> None:
    """Load SS for the current ring. Raises Fault with nothing changed. The caller then calls `follow_segments`."""
    registers = cpu.registers
    ring = registers.cpl
    if not selector & 0xFFFC:
        if not registers.in_64_bit_code or ring == 3 or selector & 3 != ring:
            raise Fault(GP, 0)
        load_null_stack(cpu, selector)
        return
    at, segment = check_stack(cpu, selector, ring)
    commit(cpu, registers.ss, selector, at, segment)


def leave_segments_of_inner_rings(cpu: Cpu, ring: int) -> None:
    """Clear each of DS, ES, FS and GS that a return to an outer ring must not keep (SDM volume 3, 5.8.6).

    The selector becomes null and the segment unusable. Its base is kept, because FS and GS use it in 64-bit mode.

    Args:
        cpu: The processor.
        ring: The ring to return to.
    """
    registers = cpu.registers
    for register in (registers.es, registers.ds, registers.fs, registers.gs):
        selector, flags = register.selector, register.flags
        if not selector & 0xFFFC:
            if selector:
                register.selector = 0
        elif flags >> 13 & 3 < ring and flags & (_CODE | _CONFORMING) != _CODE | _CONFORMING:
            register.selector, register.flags = 0, flags & ~PRESENT
