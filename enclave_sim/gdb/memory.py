"""Memory as a debugger sees it: whatever is mapped, at any privilege level; and the map of it."""

from functools import lru_cache

from enclave_sim.memory_map import regions
from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine

_LINEAR = 1 << 64


def physical(machine: Machine, address: int) -> int | None:
    """Where a linear address is in RAM; None where it is not mapped, or to no RAM. Changes nothing."""
    found = machine.cpu.memory.look(address)
    if found is None or found.reserved:
        return None
    place = found.physical + address % PAGE_SIZE
    return place if place < machine.ram.size else None


def read(machine: Machine, address: int, length: int) -> bytes:
    """Bytes at a linear address, as many as can be read: none where the first is not mapped to RAM.

    Devices are not read: they would notice.
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


def place_of(machine: Machine, address: int, length: int) -> range | None:
    """The physical range that a linear one is mapped to; None unless all of it is in RAM and in one piece."""
    if address + length > _LINEAR:
        return None
    base = physical(machine, address)
    if base is None:
        return None
    pages = range(address - address % PAGE_SIZE + PAGE_SIZE, address + length, PAGE_SIZE)
    whole = all(physical(machine, page) == base + page - address for page in pages)
    return range(base, base + length) if whole else None


@lru_cache(maxsize=1)  # gdb reads it in pieces, of one machine
def memory_map(ram_size: int) -> bytes:
    """The memory map: regions that belong to the measured image are read-only, all else in RAM is not.

    Linear addresses are physical ones while the enclave lives. Devices are left out, so that gdb does not ask for them.
    """
    lines, free = [], 0
    for region in regions():
        lines.append(_memory("ram", free, region.base, "other"))
        lines.append(_memory("rom" if region.measured else "ram", region.base, region.end, region.name))
        free = region.end
    lines.append(_memory("ram", free, ram_size, "other"))
    document = '<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN"'
    return (
        '<?xml version="1.0"?>\n'
        f'{document} "http://sourceware.org/gdb/gdb-memory-map.dtd">\n<memory-map>\n{"".join(lines)}</memory-map>\n'
    ).encode()


def _memory(kind: str, start: int, end: int, name: str) -> str:
    if start == end:
        return ""
    return f'<memory type="{kind}" start="{start:#x}" length="{end - start:#x}"/><!-- {name} -->\n'
