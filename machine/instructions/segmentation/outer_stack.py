"""The stack that a far RET or IRET to an outer ring returns to (SDM volume 2, RET and IRET)."""

from machine.architecture.descriptors import Segment
from machine.architecture.exceptions import GP, Fault
from machine.instructions.segmentation.data_segments import check_stack, commit, load_null_stack
from machine.processor.cpu import Cpu

OuterStack = tuple[int, Segment] | None
"""Where the descriptor of the stack segment is, and the descriptor; None where SS becomes null."""


def check_outer_stack(cpu: Cpu, selector: int, ring: int, *, long: bool) -> OuterStack:
    """Return the stack segment for a return to `ring`, to 64-bit mode if `long`. Raises Fault.

    A null selector is allowed there outside ring 3, and its RPL must be the ring.
    """
    if selector & 0xFFFC:
        return check_stack(cpu, selector, ring)
    if not long or ring == 3 or selector != ring:
        raise Fault(GP, 0)
    return None


def load_outer_stack(cpu: Cpu, selector: int, found: OuterStack, pointer: int, *, long: bool) -> None:
    """Load SS, and RSP with as many bits as the new stack has. The descriptor can be marked as accessed."""
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
