"""Finding descriptors in the GDT and the LDT (SDM volume 3, 3.5), and marking loaded ones as accessed."""

from machine.architecture.descriptors import ACCESSED, ACCESSED_BYTE, Segment, segment
from machine.architecture.paging import is_canonical
from machine.bus.writer import DESCRIPTOR_LOAD
from machine.processor.cpu import Cpu

_LOCAL = 4


def find(cpu: Cpu, selector: int) -> tuple[int, Segment] | None:
    """Find the descriptor of a selector. Raises PageFault.

    Returns:
        The linear address of the descriptor, and the descriptor. None if it is beyond its table or at a non-canonical
        address: both raise the same exception.
    """
    registers = cpu.registers
    table, at = registers.ldtr if selector & _LOCAL else registers.gdtr, selector & ~7
    if at + 7 > table.limit or (selector & _LOCAL and not registers.ldtr.selector & ~3):
        return None
    address = table.base + at & 2**64 - 1
    if not (is_canonical(address) and is_canonical(address + 7 & 2**64 - 1)):
        return None
    return address, segment(cpu.memory.read(address, 8))


def mark_accessed(cpu: Cpu, address: int, found: Segment) -> None:
    """Set the accessed flag of the code or data descriptor at a linear address. Raises PageFault."""
    access = found.flags >> 8 & 0xFF
    if not access & ACCESSED:
        cpu.memory.push(address + ACCESSED_BYTE, bytes([access | ACCESSED]), unit=1, by=DESCRIPTOR_LOAD)
