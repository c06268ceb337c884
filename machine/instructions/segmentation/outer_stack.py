"""The stack to which a far RET or IRET to an outer ring returns (SDM volume 2, RET and IRET)."""

from machine.architecture.descriptors import Segment
from machine.architecture.exceptions import GP, Fault
from machine.instructions.segmentation.data_segments import check_stack, commit, load_null_stack
from machine.processor.cpu import Cpu

OuterStack = tuple[int, Segment] | None
"""Linear address of the stack segment's descriptor, and the descriptor; None if SS becomes null."""


def check_outer_stack(cpu: Cpu, selector: int, ring: int, *, long: bool) -> OuterStack:
    """Find and check the stack segment for a return.

    A null selector is allowed for a return to 64-bit mode outside ring 3, if its RPL equals the ring.

    Args:
        cpu: The processor.
        selector: The new SS.
        ring: The ring to return to.
        long: The return is to 64-bit mode.

    Returns:
        The segment, or None if SS becomes null.

    Raises:
        Fault: #GP, #SS or #PF.
    """
    if selector & 0xFFFC:
        return check_stack(cpu, selector, ring)
    if not long or ring == 3 or selector != ring:
        raise Fault(GP, 0)
    return None


def load_outer_stack(cpu: Cpu, selector: int, found: OuterStack, pointer: int, *, long: bool) -> None:
    """Load SS, and RSP with the new stack's width. The caller has marked the descriptor as accessed."""
    registers = cpu.registers
    if found is None:
        load_null_stack(cpu, selector)
        registers.rsp = pointer
        return
    at, segment = found
    commit(cpu, registers.ss, selector, at, segment)
    if long:
        registers.rsp = pointer
    elif segment.default_32:
        registers.rsp = pointer & 0xFFFF_FFFF
    else:
        registers.rsp = registers.rsp & 0xFFFF_0000 | pointer & 0xFFFF
