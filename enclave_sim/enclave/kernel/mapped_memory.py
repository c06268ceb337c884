"""RAM by linear address, as in a debugger: everything that is mapped, at any privilege level."""

from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine

_LINEAR = 1 << 64


def physical(machine: Machine, address: int) -> int | None:
    """Return the physical address to which a linear one is mapped; None if it is not mapped to RAM."""
    found = machine.cpu.memory.look(address)
    if found is None or found.reserved:
        return None
    place = found.physical + address % PAGE_SIZE
    return place if place < machine.ram.size else None


def read(machine: Machine, address: int, length: int) -> bytes:
    """Read RAM at a linear address. Devices are not read, because reading a register may change it.

    Args:
        machine: The machine.
        address: A linear address.
        length: The number of bytes.

    Returns:
        The bytes before the first one that is not mapped to RAM, at most `length`.
    """
    found = bytearray()
    while len(found) < length and address < _LINEAR:
        place = physical(machine, address)
        if place is None:
            break
        size = min(length - len(found), PAGE_SIZE - address % PAGE_SIZE)
        found += machine.ram.read(place, size)
        address += size
    return bytes(found)
